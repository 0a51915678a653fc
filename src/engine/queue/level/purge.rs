//! The end of all messages of a level that nobody holds.

use super::PriorityLevel;
use crate::model::Offset;
use crate::queue::discarded::Discarded;
use crate::queue::offset_set::OffsetSet;

impl PriorityLevel {
    /// Settles every message that is not in flight; how many there were. What they took in memory is added
    /// to `discarded`.
    pub(crate) fn purge(&mut self, discarded: &mut Discarded) -> u64 {
        let purged = self.ready();
        let tail = self.settled.tail();
        let bytes_before = self.settled.bytes();
        let mut bytes_held = 0;
        let mut from = self.settled.low();
        let mut kept = OffsetSet::default();
        let held = self.in_flight.iter().map(|(offset, held)| (offset, held.size));
        let mut held: Vec<(Offset, u32)> = held.chain(self.pending_dead.sizes()).collect();
        held.sort_unstable();
        for (offset, size) in held {
            kept.insert(offset, offset);
            if offset < self.unwritten.first() && !self.volatile.contains(offset) {
                bytes_held += u64::from(size);
            }
            if from < offset {
                self.settled.settle(from, Offset(offset.0 - 1), 0);
            }
            from = offset.next();
        }
        if from < tail {
            self.settled.settle(from, Offset(tail.0 - 1), 0);
        }
        self.settled.settle_bytes(bytes_before.saturating_sub(bytes_held));
        self.settled.retain_counts(|offset| kept.contains(offset));
        let held = || kept.offsets();
        let volatile = self.volatile.take_except(held());
        let unwritten = self.unwritten.take_except(held());
        let is_kept = |first: Offset, end: Offset| {
            kept.next_present(first).is_some_and(|offset| offset < end)
        };
        discarded.add(volatile, unwritten, self.pages.take_content(is_kept));
        self.overdue.overtake_all();
        self.changes.changed_all(self.settled.low(), tail);
        self.returned = OffsetSet::default();
        let in_flight = &self.in_flight;
        self.quarantine.retain(in_flight.iter().map(|(offset, _)| offset));
        self.time_outs.retain(|offset| in_flight.contains(offset));
        self.wanted = self.pending_dead.offsets();
        self.cursor = tail;
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
