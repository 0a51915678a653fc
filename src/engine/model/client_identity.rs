//! Who is at the other end of a connection, for people: it stays known when the connection is gone.

use super::{ChannelId, ConnectionId};
use forebay_wire::ShortStr;
use std::sync::Arc;

/// The other end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Who logged in.
    pub user: ShortStr,
    /// The connection's name, as operators are shown it; empty: the broker itself acts for the user.
    pub connection: ShortStr,
    /// What the client calls the connection.
    pub client_name: Option<ShortStr>,
}

impl ClientIdentity {
    /// One of whom no more is known than the user.
    #[must_use]
    pub fn of(user: ShortStr) -> Self {
        Self { user, ..Self::default() }
    }
}

/// A channel, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Its connection.
    pub connection: ConnectionId,
    /// The channel on it.
    pub channel: ChannelId,
    /// Whose connection that is, or was.
    pub identity: Arc<ClientIdentity>,
}
