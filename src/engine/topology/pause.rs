//! That somebody has paused a queue.

use crate::model::WallClock;
use forebay_wire::ShortStr;

/// That a queue is paused, since when, and by whom: it delivers nothing until somebody resumes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When it was paused.
    pub since: WallClock,
    /// The user that paused it.
    pub by: ShortStr,
}
