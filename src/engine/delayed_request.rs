//! What an operator asks about the delayed messages of a queue: to list them, to cancel some, or to have
//! them delivered now. Asked through [`crate::command::Command::Delayed`].

use crate::model::{DelayedId, Message, ObjectName, WallClock};

/// A request.
#[derive(Clone, Debug)]
pub struct DelayedRequest {
    /// The queue's name.
    pub queue: ObjectName,
    /// What to do.
    pub action: DelayedAction,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayedAction {
    /// Show messages in the order in which they become due.
    List {
        /// Only those behind this one; `None`: from the first on.
        after: Option<DelayedId>,
        /// So many at most, at least 1. Fewer come when they are large.
        count_max: usize,
    },
    /// End the wait of one message. 404 when it is not there, or no more.
    One(DelayedId, DelayedFate),
    /// End the wait of all that wait when the request comes.
    All(DelayedFate),
}

/// What becomes of a message whose wait is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayedFate {
    /// It is dropped.
    Cancelled,
    /// It comes into its queue as if it were due.
    Delivered,
}

/// What a request came to.
#[derive(Clone, Debug, Default)]
pub struct DelayedPage {
    /// Those that were to be listed.
    pub listed: Vec<ListedDelayed>,
    /// Nothing lies behind them.
    pub is_end: bool,
    /// Messages whose wait was ended.
    pub ended: u64,
}

/// A delayed message, for people.
#[derive(Clone, Debug)]
pub struct ListedDelayed {
    /// How it is named in other requests.
    pub id: DelayedId,
    /// When it becomes due, as the wall clock shows it.
    pub due: WallClock,
    /// The message.
    pub message: Message,
}
