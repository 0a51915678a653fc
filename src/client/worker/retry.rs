//! How often and how soon a worker tries a failed message again by itself.

use std::time::Duration;

/// Attempts with waits between them; see [`crate::Worker::retry`].
///
/// A message whose attempts are used up is given back to the queue, which counts as one failed
/// delivery there: a queue with a delivery limit dead-letters it in the end. All the while it counts
/// as held by its consumer, so attempts and waits together stay below the queue's
/// `x-consumer-timeout` (30 min by default).
#[derive(Clone, Debug)]
pub struct Retry {
    pub(crate) attempts: u32,
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Retry {
    pub(crate) fn none() -> Self {
        Self { attempts: 1, first: Duration::ZERO, longest: Duration::ZERO }
    }

    /// Waits that double from the first to the longest, up to half of each taken away at random. Five
    /// attempts.
    pub fn backoff(first: Duration, longest: Duration) -> Self {
        Self { attempts: 5, first, longest: longest.max(first) }
    }

    /// How often the handler runs for one delivery, the first time included.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }
}
