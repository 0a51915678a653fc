//! What the owner of a connection can watch: up, down, closed.

use crate::{Loss, uri::Address};

/// The state of a connection, to be watched with [`crate::Connection::state`].
#[derive(Clone, Debug)]
pub enum ConnectionState {
    /// Connected to this address, and everything declared is there again.
    Up(Address),
    /// Lost, and being restored.
    Down(Loss),
    /// Closed for good.
    Closed,
}
