//! The addresses where AMQP is spoken: bound first, served once the broker has recovered.

use crate::config::settings::Settings;
use crate::connection::connection_task::ConnectionContext;
use crate::connection::connections::Connections;
use crate::net::listener::{AcceptContext, BoundSocket, accept_all};
use crate::net::places::Places;
use crate::start_error::StartError;
use crate::system::open_files;
use crate::tls::TlsAcceptor;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A socket for AMQP, and how it is spoken there.
pub(crate) struct Port {
    socket: BoundSocket,
    tls: Option<TlsAcceptor>,
    proxy_protocol: bool,
}

/// Takes the addresses, so that one that is taken is told before anything is touched.
pub(crate) fn bind_all(
    settings: &Settings,
    tls: Option<&TlsAcceptor>,
) -> Result<Vec<Port>, StartError> {
    let plain = settings.listen.iter().map(|address| (*address, None, "AMQP", "--listen"));
    let tls_listen = settings.tls.iter().flat_map(|tls| &tls.listen);
    let with_tls = tls_listen.map(|address| (*address, tls, "AMQP with TLS", "--tls-listen"));
    let bind = |(address, tls, purpose, flag): (_, Option<&TlsAcceptor>, _, _)| {
        let socket = BoundSocket::bind(address).map_err(|error| StartError::Listen {
            purpose,
            flag,
            address,
            error,
        })?;
        let proxy_protocol = match tls {
            None => settings.proxy_protocol,
            Some(_) => settings.tls.as_ref().is_some_and(|tls| tls.proxy_protocol),
        };
        Ok(Port { socket, tls: tls.cloned(), proxy_protocol })
    };
    plain.chain(with_tls).map(bind).collect()
}

/// Serves clients at all of them from now on, and tells their real addresses.
pub(crate) fn listen_all(
    ports: Vec<Port>,
    context: &Arc<ConnectionContext>,
    connections: &Connections,
    accepting: &CancellationToken,
) -> Result<Vec<SocketAddr>, StartError> {
    let connections_max = open_files::connections_max();
    let login_places = Places::new(open_files::login_places());
    let mut addresses = Vec::with_capacity(ports.len());
    for Port { socket, tls, proxy_protocol } in ports {
        let listener = socket.listen()?;
        let address = listener.local_addr()?;
        let manner = if tls.is_some() { " with TLS" } else { "" };
        tracing::info!("listening for AMQP 0-9-1{manner} on {address}");
        addresses.push(address);
        let (context, connections) = (Arc::clone(context), connections.clone());
        let login_places = login_places.clone();
        let context = AcceptContext {
            context,
            connections,
            connections_max,
            login_places,
            proxy_protocol,
            tls,
        };
        tokio::spawn(accept_all(listener, context, accepting.clone()));
    }
    Ok(addresses)
}
