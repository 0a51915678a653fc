//! What a worker tells an observer: for metrics, without a choice of a metrics crate.

use std::time::Duration;

use crate::Incoming;

/// How a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It succeeded: the message is acked.
    Done,
    /// It failed, and the message is tried again: by this worker, or by whoever gets it next.
    Retried,
    /// It failed for good: the message is dead-lettered.
    DeadLettered,
}

/// One run of a handler; see [`crate::Worker::observe`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Handled<'a> {
    /// The message.
    pub message: &'a Incoming,
    /// How it ended.
    pub outcome: Outcome,
    /// From the handler's begin to its end, without waiting for a turn or a claim.
    pub took: Duration,
    /// Which attempt of this delivery it was, from 1.
    pub attempt: u32,
}

/// What is told of each run of a handler.
pub(crate) type Observer = Box<dyn Fn(&Handled<'_>) + Send + Sync>;
