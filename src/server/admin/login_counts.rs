//! How many logins were right and wrong.

use std::sync::atomic::{AtomicU64, Ordering};

/// Logins here, and the counters of AMQP when somebody asked to count anew.
#[derive(Debug, Default)]
pub(super) struct LoginCounts {
    pub(super) http: Counts,
    pub(super) amqp_before: Counts,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
}

impl Counts {
    pub(super) fn load(&self) -> (u64, u64) {
        (self.accepted.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    pub(super) fn store(&self, (accepted, refused): (u64, u64)) {
        self.accepted.store(accepted, Ordering::Relaxed);
        self.refused.store(refused, Ordering::Relaxed);
    }
}

impl LoginCounts {
    /// Somebody logged in here, or was refused.
    pub(super) fn count(&self, is_accepted: bool) {
        let counter = if is_accepted { &self.http.accepted } else { &self.http.refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
