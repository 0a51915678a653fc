//! What the owner of a connection can watch: up, down, closed.

use std::{fmt, sync::Arc};

use crate::{ConnectError, Fault, Loss, connect::uri::Address};

/// The state of a connection, to be watched with [`crate::Connection::state`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Connected to this address, and everything declared is there again.
    Up(Address),
    /// Connected to this address, and the broker refused to restore a part of what was declared.
    /// Publishers and consumers work as far as they do not need it.
    Partial {
        /// Where it is connected to.
        address: Address,
        /// What is not there, never empty.
        missing: Arc<[Missing]>,
    },
    /// Lost, and being restored.
    Down(Outage),
    /// Closed; it is not restored.
    Closed,
}

impl ConnectionState {
    /// Whether it is connected: [`ConnectionState::Up`] or [`ConnectionState::Partial`].
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Partial { .. })
    }
}

/// A declaration or binding that the broker refused when the connection was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// What was asked, for example `queue.declare`.
    pub request: &'static str,
    /// The queue or exchange; for a binding the queue or exchange that is bound.
    pub name: String,
    /// What the broker said.
    pub fault: Fault,
    /// An exclusive queue that the broker still keeps for the lost connection: it is asked for again
    /// until the broker has noticed the loss. Anything else is asked for at the next reconnection.
    pub is_awaited: bool,
}

/// Why a connection is down, and what became of the attempts to restore it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outage {
    /// Why it was lost.
    pub loss: Loss,
    /// Attempts to connect again that failed so far.
    pub attempts: u32,
    /// Why the last one failed.
    pub last_failure: Option<Arc<ConnectError>>,
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.loss.fmt(f)?;
        match &self.last_failure {
            Some(failure) => {
                write!(f, "; {} attempts to reconnect, the last: {failure}", self.attempts)
            }
            None => Ok(()),
        }
    }
}
