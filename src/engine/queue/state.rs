//! Whether a queue can be served.

use std::sync::Arc;

/// What an operator sees of a queue as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueueState {
    /// It takes and delivers messages.
    #[default]
    Running,
    /// StoreChanges messages of it can't be read: it is set aside until it is purged, deleted or repaired, so
    /// that the other queues go on. Says what was found.
    Damaged(Arc<str>),
}

impl QueueState {
    /// Whether it is set aside.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}
