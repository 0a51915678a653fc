//! Accepts sockets and starts a task for each.

use crate::connection_task::{ConnectionContext, serve};
use crate::connections::Connections;
use crate::limits::{ACCEPT_BACKLOG_MAX, ACCEPT_ERROR_PAUSE};
use forebay_engine::connection::Peer;
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

/// Accepts until `stopped`.
pub async fn accept_all(
    listener: TcpListener,
    context: Arc<ConnectionContext>,
    connections: Connections,
    connections_max: usize,
    stopped: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stopped.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                start(stream, address, &context, &connections, connections_max)
            }
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

fn start(
    stream: TcpStream,
    address: SocketAddr,
    context: &Arc<ConnectionContext>,
    connections: &Connections,
    connections_max: usize,
) {
    let Some((entry, events)) = connections.enter(connections_max) else {
        tracing::warn!("connection from {address} dropped: {connections_max} are open already");
        return;
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("connection from {address} is gone: {error}");
        return;
    }
    tokio::spawn(serve(Arc::clone(context), stream, Peer { address }, entry, events));
}
