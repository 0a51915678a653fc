//! Neighbouring messages of a queue.

use super::{Level, Offset};

/// Neighbouring offsets of one level, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// The level.
    pub level: Level,
    /// The first offset.
    pub first: Offset,
    /// The last offset, `>= first`.
    pub last: Offset,
}
