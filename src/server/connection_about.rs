//! What operators are shown of a connection. Its task keeps it up to date, the register hands it out.

use forebay_engine::connection::OpenChannel;
use forebay_engine::time::WallClock;
use forebay_wire::ShortStr;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

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
    /// Channels that are open, by number.
    channels: Mutex<Vec<OpenChannel>>,
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
        Self {
            user,
            vhost,
            peer,
            name,
            connected_at,
            channels: Mutex::default(),
            blocked: AtomicBool::new(false),
            paced: AtomicBool::new(false),
        }
    }

    /// Channels that are open, by number.
    #[must_use]
    pub fn channels(&self) -> Vec<OpenChannel> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these are.
    pub fn set_channels(&self, open: Vec<OpenChannel>) {
        *self.channels.lock().unwrap_or_else(PoisonError::into_inner) = open;
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
