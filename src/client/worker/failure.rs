//! What a worker's handler says about a message that it could not handle.

use std::{error::Error, fmt, time::Duration};

type Cause = Box<dyn Error + Send + Sync>;

/// Why a handler failed, and what shall become of the message. Any error that `?` meets in a handler
/// means "try again"; what can never succeed is said with [`Failure::dead_letter`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// Try again, as [`crate::Worker::retry`] says. When no attempt is left, the message returns to
    /// its place in the queue and counts as one failed delivery. A queue with a delivery limit
    /// dead-letters it in the end; one without (a classic queue of RabbitMQ) delivers it again and
    /// again.
    Retry(Cause),
    /// As [`Failure::Retry`], but not before this time has passed.
    RetryAfter(Cause, Duration),
    /// Never again: to the dead-letter exchange, at once.
    DeadLetter(Cause),
}

impl Failure {
    /// It may succeed another time.
    pub fn retry(cause: impl Into<Cause>) -> Self {
        Self::Retry(cause.into())
    }

    /// It may succeed after this time, for example because a service said so (`Retry-After`). The
    /// message waits in the worker and occupies no handler; without an attempt left
    /// ([`crate::Worker::retry`]) it is given back to the queue then.
    pub fn retry_after(wait: Duration, cause: impl Into<Cause>) -> Self {
        Self::RetryAfter(cause.into(), wait)
    }

    /// It can't succeed, for example because it can't be parsed.
    pub fn dead_letter(cause: impl Into<Cause>) -> Self {
        Self::DeadLetter(cause.into())
    }
}

impl<E: Into<Cause>> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self::Retry(cause.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(cause) => write!(f, "{cause}; to be tried again"),
            Self::RetryAfter(cause, wait) => write!(f, "{cause}; to be tried again after {wait:?}"),
            Self::DeadLetter(cause) => write!(f, "{cause}; to be dead-lettered"),
        }
    }
}
