//! How a worker keeps the leases of what it handles.

use std::time::Duration;

/// The shortest lease: a third of it has to be a time.
pub(super) const LEASE_MIN: Duration = Duration::from_millis(3);
/// Extensions within each lease: one or two of them may come late.
pub(super) const EXTENSIONS: u32 = 3;
