//! What is known of a queue at one moment.

/// A queue at one moment. What is not known is `None`; only lag must be known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Seconds since a fixed beginning.
    pub at: u64,
    /// Messages that are not done: ready and unacked.
    pub lag: f64,
    /// Age of the oldest message, in seconds.
    pub oldest_age_seconds: Option<f64>,
    /// Messages that came in since the sample before.
    pub arrived: Option<f64>,
    /// Messages that consumers settled since the sample before.
    pub settled: Option<f64>,
    /// Consumers of the queue.
    pub consumers: Option<f64>,
    /// An operator has paused the queue: nothing is delivered from it.
    pub is_paused: bool,
}
