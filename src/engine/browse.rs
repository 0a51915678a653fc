//! What an operator asks about the messages of a queue without consuming them: to look at them, to
//! count them, or to send dead letters back to the queues they died in. Asked through
//! [`crate::command::Command::Browse`].
//!
//! A browse walks over messages that are ready, or over those that wait after they came back, in runs of neighbours, and says which runs are left
//! when it has done as much as one request may do. Who goes on with those runs sees each message
//! once, and none that came meanwhile: a message that is sent back and dies again is not sent back
//! again by the same walk. Who stops in the middle has lost nothing.

use crate::model::{Message, ObjectName, OffsetRange, Position, Retry, WallClock};
use forebay_wire::{FieldTable, FieldValue, ShortStr};
use std::collections::BTreeMap;

/// One step of a walk over a queue.
#[derive(Clone, Debug)]
pub struct Browse {
    /// The queue's name.
    pub queue: ObjectName,
    /// What an earlier step left over; nothing: all that are ready now.
    pub runs: Option<Vec<OffsetRange>>,
    /// Which of them.
    pub filter: BrowseFilter,
    /// What to do with those.
    pub action: BrowseAction,
    /// With how many at most, at least 1.
    pub taken_max: usize,
    /// Whether to believe the header `x-death` of messages of which the broker itself knows no death:
    /// of those that clients published. Whoever may publish to the queue chooses then where they go.
    pub trust_headers: bool,
}

/// What to do with the messages that a browse is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrowseAction {
    /// Only count what `Redrive` would do.
    Count,
    /// Hand them out as they are.
    Show,
    /// Hand out those that came back and wait for their next delivery, instead of those that are ready.
    ShowParked,
    /// Move each back to the queue that it died in, atomically: after a crash it is in one of the
    /// two. One that has no way back stays.
    Redrive,
}

/// Which messages a browse is for: those that fit everything that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrowseFilter {
    /// The queue that it died in last.
    pub queue: Option<ShortStr>,
    /// Why it died last, as `rejected`.
    pub reason: Option<ShortStr>,
    /// The routing key that it had there.
    pub routing_key: Option<ShortStr>,
    /// A header, and what it says when its value is written as text.
    pub header: Option<(ShortStr, String)>,
}

/// What became of a message that a browse was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RedriveOutcome {
    /// It went back, or could.
    Redriven,
    /// It stays: nothing in it tells of another queue.
    NoOrigin,
    /// It stays: only its header `x-death` tells of another queue, and the broker did not write that.
    Unproven,
    /// It stays: the queue that it died in is gone.
    QueueGone,
    /// It stays: the queue that it died in has no room.
    QueueFull,
}

/// Messages that a browse was for, by where and why they died last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadLetterGroup {
    /// The queue that they died in; nothing where they don't say.
    pub queue: Option<ShortStr>,
    /// Why.
    pub reason: Option<ShortStr>,
    /// What became of them.
    pub outcome: RedriveOutcome,
}

/// A message that is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Where it stands.
    pub position: Position,
    /// The message.
    pub message: Message,
    /// Deliveries of it that failed.
    pub failures: u32,
    /// Deliveries of it that a client returned in good order.
    pub returns: u32,
    /// Its last wait, with why it came back then; `None`: it never had to wait.
    pub retry: Option<Retry>,
    /// In how many ms it is ready, when it waits.
    pub due_in: Option<u64>,
}

/// What a browse did.
#[derive(Clone, Debug, Default)]
pub struct BrowsePage {
    /// Messages looked at.
    pub examined: u64,
    /// How many it was for, by group.
    pub groups: BTreeMap<DeadLetterGroup, u64>,
    /// When the oldest of those looked at came into the queue.
    pub oldest: Option<WallClock>,
    /// Those that were to be shown, in the order of the queue.
    pub shown: Vec<Shown>,
    /// What is left; empty: the walk is over.
    pub rest: Vec<OffsetRange>,
}

impl BrowsePage {
    /// How many it was for.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.groups.values().sum()
    }
}

impl BrowseFilter {
    /// Whether nothing is set: every message fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the headers have what is asked of them.
    pub(crate) fn fits_headers(&self, headers: &FieldTable) -> bool {
        let Some((name, expected)) = &self.header else { return true };
        headers.get(name).and_then(text).is_some_and(|value| value == *expected)
    }
}

/// A simple value as text.
fn text(value: &FieldValue) -> Option<String> {
    match value {
        FieldValue::LongStr(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        FieldValue::Bool(value) => Some(value.to_string()),
        FieldValue::Timestamp(seconds) => Some(seconds.to_string()),
        value => value.as_integer().map(|value| value.to_string()),
    }
}
