//! What an operator asks about the lives of the last messages of a queue (`x-trace`). Asked through
//! [`crate::command::Command::Trace`], a part at a time.

use crate::model::ObjectName;
use crate::trace::LifeNumber;
use forebay_wire::ShortStr;

/// A request for lives, the newest first.
#[derive(Clone, Debug)]
pub struct TraceRequest {
    /// The queue's name.
    pub queue: ObjectName,
    /// Only messages with this `message-id`; `None`: all.
    pub message_id: Option<ShortStr>,
    /// Only lives below this number, as an earlier answer had it in `next`; `None`: from the newest on.
    pub below: Option<LifeNumber>,
    /// So many at most, from 1 to [`TRACE_PAGE_MAX`](crate::limits::TRACE_PAGE_MAX).
    pub count_max: usize,
}
