//! What the scrubber counts.

use std::sync::atomic::AtomicU64;

/// What a scrubber has done.
#[derive(Debug, Default)]
pub(crate) struct ScrubCounters {
    pub(crate) rounds: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) files_damaged: AtomicU64,
}
