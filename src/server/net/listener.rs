//! Accepts sockets and starts a task for each; with TLS it begins with a handshake.

use crate::connection::connection_task::{ConnectionContext, serve};
use crate::connection::connections::{Connections, Entry, EventReceiver};
use crate::limits::{
    ACCEPT_BACKLOG_MAX, ACCEPT_ERROR_PAUSE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES_MAX,
    KEEPALIVE_SILENCE,
};
use crate::net::places::{Place, Places};
use crate::net::proxy_protocol::read_client_address;
use crate::net::socket::Socket;
use crate::tls::{HandshakeError, Handshaken, TlsAcceptor};
use forebay_engine::connection::Peer;
use rustix::net::sockopt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

/// A socket that is bound, so that nobody else takes the address, but does not listen yet:
/// clients are refused until the broker is ready.
#[derive(Debug)]
pub struct BoundSocket {
    socket: TcpSocket,
}

impl BoundSocket {
    /// Binds an address.
    ///
    /// # Errors
    /// What the system says: mostly that the address is taken.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A broker that starts again must not wait for the last one's closed connections.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { socket })
    }

    /// Starts to listen.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(self) -> io::Result<TcpListener> {
        self.socket.listen(ACCEPT_BACKLOG_MAX)
    }
}

/// What the sockets of a listener are served with.
#[derive(Clone)]
pub struct AcceptContext {
    /// For every connection.
    pub context: Arc<ConnectionContext>,
    /// Where they are entered.
    pub connections: Connections,
    /// How many there may be, over all listeners.
    pub connections_max: usize,
    /// Places for those that have not logged in, over all listeners.
    pub login_places: Places,
    /// Whether they come through a balancer that says whose they are.
    pub proxy_protocol: bool,
    /// Certificates, where clients are to speak TLS.
    pub tls: Option<TlsAcceptor>,
}

/// Accepts until `stopped`.
pub async fn accept_all(listener: TcpListener, context: AcceptContext, stopped: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stopped.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => context.start(stream, address).await,
            // The client was faster.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Too many open files, mostly: trying again at once would only burn a core.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
    }
}

impl AcceptContext {
    async fn start(&self, stream: TcpStream, address: SocketAddr) {
        // Behind a balancer the address is known later.
        let counted = (!self.proxy_protocol).then_some(address.ip());
        let place = self.login_places.enter(counted).await;
        let context = self.clone();
        tokio::spawn(async move { context.receive(stream, address, place).await });
    }

    async fn receive(self, mut stream: TcpStream, mut address: SocketAddr, place: Place) {
        if let Err(error) = prepare(&stream) {
            tracing::debug!("connection from {address} is gone: {error}");
            return;
        }
        if self.proxy_protocol {
            let client = tokio::select! {
                client = read_client_address(&mut stream) => client,
                () = place.left() => return,
            };
            match client {
                Ok(client) => address = client.unwrap_or(address),
                Err(error) => {
                    tracing::warn!("connection from {address} dropped: {error}");
                    return;
                }
            }
            place.set_address(address.ip());
        }
        let Some(_counted) = self.context.connection_limits.connect(address.ip()) else {
            tracing::warn!("connection from {address} dropped: its address has too many already");
            return;
        };
        let max = self.connections_max;
        let Some((entry, events)) = self.connections.enter(max) else {
            tracing::warn!("connection from {address} dropped: {max} are open already");
            return;
        };
        match self.tls {
            None => {
                let (socket, peer) = (Socket::new(stream), Peer::at(address));
                serve(self.context, socket, peer, entry, events, place).await;
            }
            Some(tls) => {
                serve_tls(self.context, tls, stream, address, (entry, events), place).await
            }
        }
    }
}

/// Replies leave at once, and a client whose machine is gone is found out even without heartbeats.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_SILENCE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES_MAX)?;
    Ok(sockopt::set_socket_keepalive(stream, true)?)
}

async fn serve_tls(
    context: Arc<ConnectionContext>,
    tls: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    (entry, mut events): (Entry, EventReceiver),
    place: Place,
) {
    let handshake = tokio::select! {
        handshake = tls.accept(&stream) => handshake,
        // The broker stops: nothing else is told to who is not logged in.
        _ = events.recv() => return,
        () = place.left() => return,
    };
    match handshake {
        Ok(Handshaken { session, certificate_user }) => {
            let peer = Peer { address, certificate_user };
            serve(context, Socket::with_tls(stream, session), peer, entry, events, place).await;
        }
        Err(HandshakeError::Ended) => tracing::debug!("{address} ended its TLS handshake"),
        Err(error) => {
            tracing::warn!("TLS handshake with {address} failed: {error}");
            // What is unread would make the kernel throw away the alert on its way.
            Socket::new(stream).finish(&mut &[][..]).await;
        }
    }
}
