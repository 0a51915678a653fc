//! When the messages at the head of a level expire. A head whose content is not in memory is read
//! once: what expiry needs of it is kept, otherwise each turn of the queue would read it again.

use super::PriorityLevel;
use crate::model::{Message, Offset, WallClock};

/// Which message of a level is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The one that is to be delivered next.
    Ready,
    /// The one that is to be delivered next when quarantined ones have to wait.
    Unquarantined,
    /// The one that is to be delivered alone next.
    Quarantined,
}

/// What the expiry of a message depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageTimes {
    pub(crate) offset: Offset,
    pub(crate) published_at: WallClock,
    /// Its own time to live, in ms.
    pub(crate) expiration: Option<u64>,
}

impl MessageTimes {
    /// Those of a message.
    pub(crate) fn of(offset: Offset, message: &Message) -> Self {
        let (published_at, expiration) = (message.published_at(), message.expiration());
        Self { offset, published_at, expiration }
    }
}

/// The times of the heads that were looked at last.
#[derive(Debug, Default)]
pub(super) struct HeadTimes {
    ready: Option<MessageTimes>,
    unquarantined: Option<MessageTimes>,
    quarantined: Option<MessageTimes>,
}

impl HeadTimes {
    fn of(&mut self, head: Head) -> &mut Option<MessageTimes> {
        match head {
            Head::Ready => &mut self.ready,
            Head::Unquarantined => &mut self.unquarantined,
            Head::Quarantined => &mut self.quarantined,
        }
    }
}

impl PriorityLevel {
    /// The message that is to be delivered next.
    pub(crate) fn head(&self, head: Head) -> Option<Offset> {
        match head {
            Head::Ready => self.first_ready(),
            Head::Unquarantined => self.first_unquarantined(),
            Head::Quarantined => self.next_quarantined(),
        }
    }

    /// The times of a head; `None` when its content has to be read first.
    pub(crate) fn head_times(&mut self, head: Head) -> Option<MessageTimes> {
        let offset = self.head(head)?;
        let read = self.content(offset).map(|message| MessageTimes::of(offset, message));
        let known = self.head_times.of(head);
        if read.is_some() {
            *known = read;
        }
        known.filter(|times| times.offset == offset)
    }
}
