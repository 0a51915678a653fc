//! What the owner of a connection can watch: up, down, blocked, closed.

use std::sync::Arc;

use crate::{Loss, uri::Address};

/// The state of a connection, to be watched with [`crate::Connection::state`].
#[derive(Clone, Debug)]
pub enum ConnectionState {
    /// Connected to this address; topology and consumers are restored or being restored.
    Up(Address),
    /// Connected, but the broker asks publishers to wait, and says why.
    Blocked(Arc<str>),
    /// Lost, and being restored.
    Down(Loss),
    /// Closed for good.
    Closed,
}
