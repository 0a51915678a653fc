//! What was published to an exchange since it was made, or since the start. Shared by all versions of
//! the routes, and added to by connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one exchange.
#[derive(Debug, Default)]
pub struct ExchangeCounters {
    published_in: AtomicU64,
    published_out: AtomicU64,
}

impl ExchangeCounters {
    /// So many messages were published to it, and so many went to queues: one that went to two
    /// counts twice.
    pub(crate) fn add(&self, published_in: u64, published_out: u64) {
        self.published_in.fetch_add(published_in, Ordering::Relaxed);
        self.published_out.fetch_add(published_out, Ordering::Relaxed);
    }

    /// Messages that clients published to it.
    #[must_use]
    pub fn published_in(&self) -> u64 {
        self.published_in.load(Ordering::Relaxed)
    }

    /// Messages that went from it to queues.
    #[must_use]
    pub fn published_out(&self) -> u64 {
        self.published_out.load(Ordering::Relaxed)
    }
}
