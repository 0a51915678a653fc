//! Numbers for queues, never given twice, not even across restarts and when the newest queue was
//! deleted: the store keeps a ceiling that is raised before a number reaches it.

use super::limits::QUEUE_IDS_RESERVED;
use crate::model::QueueId;

/// What comes next, and how far the store knows of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueIds {
    next: u64,
    ceiling: u64,
}

impl QueueIds {
    /// For a store that has never seen a queue.
    pub(super) const fn new() -> Self {
        Self { next: 1, ceiling: 1 }
    }

    /// For a store where any number below `ceiling` may have been given.
    pub(super) const fn from_ceiling(ceiling: QueueId) -> Self {
        Self { next: ceiling.0, ceiling: ceiling.0 }
    }

    /// Whether the number may have been given before.
    pub(super) const fn was_given(&self, queue: QueueId) -> bool {
        queue.0 < self.next
    }

    /// The next number, and the new ceiling when the store must learn it first.
    pub(super) fn next(&mut self) -> (QueueId, Option<QueueId>) {
        let queue = QueueId(self.next);
        self.next += 1;
        if self.next <= self.ceiling {
            return (queue, None);
        }
        self.ceiling = queue.0 + QUEUE_IDS_RESERVED;
        (queue, Some(QueueId(self.ceiling)))
    }
}
