//! How many lists may be written at once, and how much of them may wait for clients.

use crate::limits::{ADMIN_ANSWERS_KIB_MAX, ADMIN_LISTS_AT_ONCE_MAX};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What bounds the lists of a broker. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct ListingTurns {
    /// For writing one.
    pub(super) writing: Arc<Semaphore>,
    /// For KiB that were written and wait for their clients.
    pub(super) unsent: Arc<Semaphore>,
}

impl Default for ListingTurns {
    fn default() -> Self {
        Self {
            writing: Arc::new(Semaphore::new(ADMIN_LISTS_AT_ONCE_MAX)),
            unsent: Arc::new(Semaphore::new(ADMIN_ANSWERS_KIB_MAX as usize)),
        }
    }
}
