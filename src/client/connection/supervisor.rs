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
    ConnectError, ConnectOptions, ConnectionState, Error, Outage,
    backoff::Backoff,
    connect::handshake::{self, Opened},
    connect::transport::Transport,
    connect::uri::Address,
    connection::driver::{Driver, End},
    connection::restore,
    connection::shared::Shared,
    limits::BACKOFF_RESET_AFTER,
    session::Link,
    session::channel::Channel,
};

/// Tries every address once, in their order. TLS settings are read anew, so certificates that were
/// replaced meanwhile count.
pub(crate) async fn dial(options: &ConnectOptions) -> Result<Opened, ConnectError> {
    #[cfg(feature = "tls")]
    let tls = match &options.tls {
        Some(settings) => Some(settings.connector().map_err(ConnectError::TlsSettings)?),
        None => None,
    };
    #[cfg(not(feature = "tls"))]
    let tls = ();
    let mut faults = Vec::new();
    for address in &options.addresses {
        let limit = options.connect_timeout;
        let fault = match timeout(limit, dial_one(address, options, &tls)).await {
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

/// The first connection; attempts that time can mend are repeated as long as the options say.
pub(crate) async fn connect(options: &ConnectOptions) -> Result<Opened, Error> {
    let deadline = options.connect_for.map(|limit| Instant::now() + limit);
    let mut backoff = Backoff::new(options.backoff.0, options.backoff.1);
    loop {
        let error = match dial(options).await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let wait = backoff.next_wait();
        let is_repeated = deadline.is_some_and(|deadline| Instant::now() + wait < deadline);
        if !is_repeated || !error.is_transient() {
            return Err(match error {
                ConnectError::TlsSettings(text) => Error::TlsSettings(text),
                error => Error::Connect(error),
            });
        }
        tracing::warn!(%error, "not yet connected; trying again");
        sleep(wait).await;
    }
}

#[cfg(feature = "tls")]
type Tls = Option<crate::connect::tls::Connector>;
#[cfg(not(feature = "tls"))]
type Tls = ();

async fn dial_one(
    address: &Address,
    options: &ConnectOptions,
    tls: &Tls,
) -> Result<Opened, ConnectError> {
    let unreachable = |source: std::io::Error| ConnectError::Unreachable {
        address: address.clone(),
        source: source.into(),
    };
    let stream =
        TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    // Batches are made before they are written; Nagle's algorithm would only delay the last one.
    stream.set_nodelay(true).map_err(unreachable)?;
    let transport = wrap(stream, address, tls).await?;
    handshake::open(transport, address, options).await
}

#[cfg(feature = "tls")]
async fn wrap(stream: TcpStream, address: &Address, tls: &Tls) -> Result<Transport, ConnectError> {
    let Some(connector) = tls else { return Ok(Transport::Tcp(stream)) };
    match connector.wrap(&address.host, stream).await {
        Ok(stream) => Ok(Transport::Tls(Box::new(stream))),
        Err(error) => Err(crate::connect::tls::refused(address, error)),
    }
}

#[cfg(not(feature = "tls"))]
async fn wrap(stream: TcpStream, _: &Address, (): &Tls) -> Result<Transport, ConnectError> {
    Ok(Transport::Tcp(stream))
}

/// `first` is the first connection, or why there is none yet.
pub(crate) async fn supervise(shared: Arc<Shared>, first: Result<Opened, Outage>) {
    let _guard = EarlyEnd(Arc::clone(&shared));
    let options = &shared.options;
    let mut backoff = Backoff::new(options.backoff.0, options.backoff.1);
    let mut next = match first {
        Ok(opened) => Ok(opened),
        Err(outage) => reconnect(&shared, outage, &mut backoff).await,
    };
    let end = loop {
        let opened = match next {
            Ok(opened) => opened,
            Err(error) => break error,
        };
        let since = Instant::now();
        let address = opened.address.clone();
        let loss = match drive(&shared, opened).await {
            End::Closed => break Error::Closed,
            End::Lost(loss) => loss,
        };
        tracing::warn!(%address, %loss, "connection lost");
        shared.with(|session| session.handle_loss(&loss));
        shared.blocked.send_replace(None);
        let outage = Outage { loss, attempts: 0, last_failure: None };
        shared.state.send_replace(ConnectionState::Down(outage.clone()));
        if since.elapsed() >= BACKOFF_RESET_AFTER {
            backoff.reset();
        }
        next = reconnect(&shared, outage, &mut backoff).await;
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
        loss = restore::run(shared, address) => {
            tracing::warn!(%loss, "the connection could not be restored on this socket");
            End::Lost(loss)
        }
    }
}

async fn reconnect(
    shared: &Shared,
    mut outage: Outage,
    backoff: &mut Backoff,
) -> Result<Opened, Error> {
    let deadline = shared.options.reconnect_for.map(|limit| Instant::now() + limit);
    loop {
        let attempt = async {
            sleep(backoff.next_wait()).await;
            dial(&shared.present_options()).await
        };
        let outcome = tokio::select! {
            outcome = attempt => outcome,
            () = closing(shared) => return Err(Error::Closed),
        };
        match outcome {
            Ok(opened) => {
                tracing::info!(address = %opened.address, "connected");
                return Ok(opened);
            }
            Err(error) => {
                tracing::warn!(%error, "not yet connected again");
                let error = Arc::new(error);
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return Err(Error::GivenUp(error));
                }
                outage.attempts = outage.attempts.saturating_add(1);
                outage.last_failure = Some(error);
                shared.state.send_replace(ConnectionState::Down(outage.clone()));
            }
        }
    }
}

async fn closing(shared: &Shared) {
    while !shared.with(|session| matches!(session.link, Link::Closing(_))) {
        shared.closing.notified().await;
    }
}

/// Says what a program loses that ends its runtime without closing the connection.
struct EarlyEnd(Arc<Shared>);

impl Drop for EarlyEnd {
    fn drop(&mut self) {
        let unsettled: usize = self.0.with(|session| {
            let is_closed = matches!(session.link, Link::Closed(_));
            let windows = session.channels.iter_mut().flatten().filter_map(Channel::window);
            if is_closed { 0 } else { windows.map(|window| window.unsettled()).sum() }
        });
        if unsettled > 0 {
            tracing::error!(
                unsettled,
                "the runtime ended before messages were confirmed; they may not be stored. Await Connection::close before the program ends"
            );
        }
    }
}
