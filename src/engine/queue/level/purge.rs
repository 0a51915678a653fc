//! The end of all ready messages of a level.

use super::PriorityLevel;
use crate::model::Offset;
use crate::queue::discarded::Discarded;
use crate::queue::offset_set::OffsetSet;

impl PriorityLevel {
    /// Whether [`Self::purge`] would settle this message.
    pub(crate) fn is_to_be_purged(&self, offset: Offset) -> bool {
        self.next_live(offset) == Some(offset) && !self.states.is_taken(offset)
    }

    /// Settles every message that is ready or parked, and returns how many there were. What they took in memory is added
    /// to `discarded`.
    pub(crate) fn purge(&mut self, discarded: &mut Discarded) -> u64 {
        let purged = self.ready() + self.parked();
        let tail = self.settled.tail();
        let bytes_before = self.settled.bytes();
        let mut bytes_kept = 0;
        let mut from = self.settled.low();
        let mut kept = OffsetSet::default();
        for (offset, size) in self.states.unready_sizes() {
            kept.insert(offset, offset);
            if offset < self.unwritten.first() && !self.volatile.contains(offset) {
                bytes_kept += u64::from(size);
            }
            if from < offset {
                self.settled.settle(from, Offset(offset.0 - 1), 0);
            }
            from = offset.next();
        }
        if from < tail {
            self.settled.settle(from, Offset(tail.0 - 1), 0);
        }
        self.settled.settle_bytes(bytes_before.saturating_sub(bytes_kept));
        self.settled.retain_counts(|offset| kept.contains(offset));
        let volatile = self.volatile.take_except(kept.offsets());
        let unwritten = self.unwritten.take_except(kept.offsets());
        let is_kept = |first: Offset, end: Offset| {
            kept.next_present(first).is_some_and(|offset| offset < end)
        };
        discarded.add(volatile, unwritten, self.pages.take_content(is_kept));
        self.overdue.end_all_claims();
        let members: Vec<Offset> = self.member_groups.keys().copied().collect();
        members
            .into_iter()
            .filter(|offset| !kept.contains(*offset))
            .for_each(|offset| self.leave_group(offset));
        self.changes.changed_all(self.settled.low(), tail);
        self.states.purge(tail);
        let states = &self.states;
        self.quarantine.retain(states.delivered().map(|(offset, _)| offset));
        self.time_outs.retain(|offset| states.holder(offset).is_some());
        self.pages.set_gap(None);
        let log = &self.settled;
        self.pages.recount(|first, end| log.unsettled_in(first, end), &mut self.changes.dead_pages);
        self.tidy_when_empty();
        purged
    }

    /// The queue is gone: takes out what its messages take in memory.
    pub(crate) fn discard(&mut self, discarded: &mut Discarded) {
        let (volatile, unwritten) =
            (std::mem::take(&mut self.volatile), std::mem::take(&mut self.unwritten));
        discarded.add(volatile, unwritten, self.pages.take_content(|_, _| false));
    }
}
