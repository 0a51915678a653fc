//! What operators are shown of a connection. Its task keeps it up to date, the register hands it out.

use crate::connection::connection_traffic::ConnectionTraffic;
use crate::tls::TlsDetails;
use forebay_engine::connection::{ClientDetails, OpenChannel};
use forebay_engine::model::{ConnectionId, WallClock};
use forebay_wire::ShortStr;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// What is known of a connection that is open in a virtual host.
#[derive(Debug)]
pub struct ConnectionAbout {
    /// Who logged in.
    pub user: ShortStr,
    /// Where it works.
    pub vhost: ShortStr,
    /// The other end.
    pub peer: SocketAddr,
    /// What the client calls it.
    pub name: Option<ShortStr>,
    /// When it was opened, by the wall clock.
    pub connected_at: WallClock,
    /// Our end of the socket.
    pub local: Option<SocketAddr>,
    /// What the client said of itself, and what was agreed with it.
    pub client: ClientDetails,
    /// What was agreed in the TLS handshake; nothing without TLS.
    pub tls: Option<TlsDetails>,
    /// What has passed through its socket.
    pub traffic: ConnectionTraffic,
    /// Channels that are open, by number.
    channels: Mutex<Vec<OpenChannel>>,
    /// Channels were told.
    told: Notify,
    /// It published during an alarm, and waits.
    pub blocked: AtomicBool,
    /// It published faster than it may, and waits for its turn.
    pub paced: AtomicBool,
}

impl ConnectionAbout {
    /// One that was just opened.
    #[must_use]
    pub fn new(
        user: ShortStr,
        vhost: ShortStr,
        peer: SocketAddr,
        name: Option<ShortStr>,
        connected_at: WallClock,
    ) -> Self {
        let (local, client, tls) = (None, ClientDetails::default(), None);
        Self {
            user,
            vhost,
            peer,
            name,
            connected_at,
            local,
            client,
            tls,
            traffic: ConnectionTraffic::default(),
            channels: Mutex::default(),
            told: Notify::new(),
            blocked: AtomicBool::new(false),
            paced: AtomicBool::new(false),
        }
    }

    /// How operators are shown it, who find it by that.
    #[must_use]
    pub fn shown_name(&self, id: ConnectionId) -> String {
        format!("{} -> {id}", self.peer)
    }

    /// Channels that are open, by number.
    #[must_use]
    pub fn channels(&self) -> Vec<OpenChannel> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these are.
    pub fn set_channels(&self, open: Vec<OpenChannel>) {
        *self.channels.lock().unwrap_or_else(PoisonError::into_inner) = open;
        self.told.notify_waiters();
    }

    /// Waits until channels are told once more.
    pub fn told(&self) -> Notified<'_> {
        self.told.notified()
    }

    /// How it does; RabbitMQ calls it flow when a publisher is slowed.
    #[must_use]
    pub fn state(&self) -> &'static str {
        let is_so = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        match (is_so(&self.blocked), is_so(&self.paced)) {
            (true, _) => "blocked",
            (false, true) => "flow",
            (false, false) => "running",
        }
    }
}
