//! What a connection has done so far, for a program's metrics.
//!
//! Counted by the session under its lock; windows count for themselves and are added up on demand.

use std::ops::AddAssign;

/// Counters since the connection was made, over all sockets; read by
/// [`crate::Connection::statistics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Times that a connection came about; one more than the reconnections.
    pub connects: u64,
    /// Messages published; those that were published again are counted once.
    pub published: u64,
    /// Messages that the broker confirmed.
    pub confirmed: u64,
    /// Messages that were returned, nacked or refused, or whose fate is unknown.
    pub failed: u64,
    /// Deliveries that came, to consumers and pullers.
    pub delivered: u64,
    /// Deliveries that were acked.
    pub acked: u64,
    /// Deliveries that were nacked, rejected or dropped.
    pub rejected: u64,
}

/// What became of the messages of one publisher.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settled {
    pub(crate) confirmed: u64,
    pub(crate) failed: u64,
}

impl AddAssign<Settled> for Statistics {
    fn add_assign(&mut self, settled: Settled) {
        self.confirmed += settled.confirmed;
        self.failed += settled.failed;
    }
}
