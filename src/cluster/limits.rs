//! Bounds of this crate.

use std::time::Duration;

/// Jobs that the writer takes together, with one sync for all of them.
pub(crate) const JOBS_AT_ONCE_MAX: usize = 256;

/// Bytes of entries that are applied in one batch, unless a single one is larger.
pub(crate) const APPLY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Entries that are applied in one batch.
pub(crate) const APPLY_ENTRIES_MAX: usize = 256;

/// Bytes of entries that one request to another node carries, unless a single one is larger.
pub(crate) const APPEND_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Entries that one request to another node carries.
pub(crate) const APPEND_ENTRIES_MAX: u64 = 256;

/// How long the sending of one snapshot may take.
pub(crate) const SNAPSHOT_DURATION_MAX: Duration = Duration::from_secs(3600);

/// How often a chunk of a snapshot is sent before the snapshot is given up.
pub(crate) const CHUNK_TRIES_MAX: u32 = 5;

/// How long is waited between two tries.
pub(crate) const CHUNK_RETRY_INTERVAL: Duration = Duration::from_millis(100);
