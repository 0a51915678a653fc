//! The end of a command for want of messages.

use std::time::Duration;

/// Ends after this long; never without a limit.
pub(crate) async fn idle(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
