//! What the tests stand on: a broker process, and sessions with it.

pub(crate) mod broker;
pub(crate) mod fake_clock;
pub(crate) mod http;
pub(crate) mod launch;
pub(crate) mod python;
pub(crate) mod random;
pub(crate) mod raw;
pub(crate) mod session;
pub(crate) mod small_disk;

use std::time::Duration;

/// How long a test waits for an event that must come. Generous: a loaded machine is slow, and
/// nothing here measures time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for what must come.
pub(crate) async fn must<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}
