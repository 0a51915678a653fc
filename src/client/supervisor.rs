//! The one task behind a connection: connects, drives, and connects again.
//!
//! ```text
//! connect --> drive (and restore beside it) --closed--> end
//!    ^                   | lost
//!    +---- back-off <----+
//! ```
//!
//! Started by [`crate::Connection::connect`]; ends when the program closes the connection or drops
//! its last handle, or when reconnection is given up.

use std::sync::Arc;

use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    ConnectError, ConnectOptions, ConnectionState, Error,
    backoff::Backoff,
    driver::{Driver, End},
    handshake::{self, Opened},
    limits::BACKOFF_RESET_AFTER,
    restore,
    session::Link,
    shared::Shared,
    transport::Transport,
    uri::Address,
};

#[cfg(feature = "tls")]
type Connector = Option<tokio_rustls::TlsConnector>;
#[cfg(not(feature = "tls"))]
type Connector = ();

/// How sockets are made, for the first time and every other.
pub(crate) struct Dialer {
    connector: Connector,
}

impl Dialer {
    pub(crate) fn new(options: &ConnectOptions) -> Result<Self, Error> {
        #[cfg(feature = "tls")]
        let connector = match &options.tls {
            Some(settings) => Some(settings.connector().map_err(Error::TlsSettings)?),
            None => None,
        };
        #[cfg(not(feature = "tls"))]
        let connector = {
            let _ = options;
        };
        Ok(Self { connector })
    }

    /// Tries every address once, in their order.
    pub(crate) async fn dial(&self, options: &ConnectOptions) -> Result<Opened, ConnectError> {
        let mut faults = Vec::new();
        for address in &options.addresses {
            let limit = options.connect_timeout;
            let fault = match timeout(limit, self.dial_one(address, options)).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(fault)) => fault,
                Err(_) => ConnectError::TimedOut { address: address.clone(), limit },
            };
            faults.push(fault);
        }
        match faults.len() {
            1 => faults.pop().map_or(Err(ConnectError::EveryAddress(Vec::new())), Err),
            _ => Err(ConnectError::EveryAddress(faults)),
        }
    }

    async fn dial_one(
        &self,
        address: &Address,
        options: &ConnectOptions,
    ) -> Result<Opened, ConnectError> {
        let unreachable = |source: std::io::Error| ConnectError::Unreachable {
            address: address.clone(),
            source: source.into(),
        };
        let stream =
            TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
        // Batches are made before they are written; Nagle's algorithm would only delay the last one.
        stream.set_nodelay(true).map_err(unreachable)?;
        let transport = self.wrap(stream, address).await?;
        handshake::open(transport, address, options).await
    }

    #[cfg(feature = "tls")]
    async fn wrap(&self, stream: TcpStream, address: &Address) -> Result<Transport, ConnectError> {
        let Some(connector) = &self.connector else { return Ok(Transport::Tcp(stream)) };
        match crate::tls::wrap(connector, &address.host, stream).await {
            Ok(stream) => Ok(Transport::Tls(Box::new(stream))),
            Err(text) => Err(ConnectError::Tls { address: address.clone(), text }),
        }
    }

    #[cfg(not(feature = "tls"))]
    async fn wrap(&self, stream: TcpStream, _: &Address) -> Result<Transport, ConnectError> {
        let () = self.connector;
        Ok(Transport::Tcp(stream))
    }
}

pub(crate) async fn supervise(shared: Arc<Shared>, dialer: Dialer, first: Opened) {
    let options = &shared.options;
    let mut backoff = Backoff::new(options.backoff.0, options.backoff.1);
    let mut opened = first;
    let end = loop {
        let since = Instant::now();
        let address = opened.address.clone();
        let loss = match drive(&shared, opened).await {
            End::Closed => break Error::Closed,
            End::Lost(loss) => loss,
        };
        tracing::warn!(%address, %loss, "connection lost");
        shared.with(|session| session.handle_loss(&loss));
        shared.blocked.send_replace(None);
        shared.state.send_replace(ConnectionState::Down(loss));
        if since.elapsed() >= BACKOFF_RESET_AFTER {
            backoff.reset();
        }
        match reconnect(&shared, &dialer, &mut backoff).await {
            Ok(again) => opened = again,
            Err(error) => break error,
        }
    };
    shared.with(|session| session.handle_end(&end));
    shared.state.send_replace(ConnectionState::Closed);
}

async fn drive(shared: &Shared, opened: Opened) -> End {
    let address = opened.address.clone();
    shared.with(|session| session.handle_up(opened.tuning));
    let driver = Driver::new(shared, opened);
    tokio::select! {
        end = driver.run() => end,
        () = restore::run(shared, address) => End::Closed,
    }
}

async fn reconnect(
    shared: &Shared,
    dialer: &Dialer,
    backoff: &mut Backoff,
) -> Result<Opened, Error> {
    let deadline = shared.options.reconnect_for.map(|limit| Instant::now() + limit);
    loop {
        let attempt = async {
            sleep(backoff.next_wait()).await;
            dialer.dial(&shared.present_options()).await
        };
        let outcome = tokio::select! {
            outcome = attempt => outcome,
            () = closing(shared) => return Err(Error::Closed),
        };
        match outcome {
            Ok(opened) => {
                tracing::info!(address = %opened.address, "connected again");
                return Ok(opened);
            }
            Err(error) => {
                tracing::warn!(%error, "not yet connected again");
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return Err(Error::GivenUp(error.into()));
                }
            }
        }
    }
}

async fn closing(shared: &Shared) {
    while !shared.with(|session| matches!(session.link, Link::Closing(_))) {
        shared.closing.notified().await;
    }
}
