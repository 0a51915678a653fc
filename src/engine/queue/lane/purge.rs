//! The end of all messages of a lane that nobody holds.

use super::Lane;
use crate::ids::Offset;
use crate::queue::discarded::Discarded;
use crate::queue::offset_set::OffsetSet;

impl Lane {
    /// Settles every message that is not in flight; how many there were. What they took in memory is added
    /// to `discarded`.
    pub(crate) fn purge(&mut self, discarded: &mut Discarded) -> u64 {
        let purged = self.ready();
        let tail = self.log.tail();
        let octets_before = self.log.octets();
        let mut octets_held = 0;
        let mut from = self.log.low();
        let mut kept = OffsetSet::default();
        let held = self.in_flight.iter().map(|(offset, held)| (offset, held.size));
        let mut held: Vec<(Offset, u32)> = held.chain(self.condemned.sizes()).collect();
        held.sort_unstable();
        for (offset, size) in held {
            kept.insert(offset, offset);
            if offset < self.fresh.first() && !self.volatile.contains(offset) {
                octets_held += u64::from(size);
            }
            if from < offset {
                self.log.settle(from, Offset(offset.0 - 1), 0);
            }
            from = offset.next();
        }
        if from < tail {
            self.log.settle(from, Offset(tail.0 - 1), 0);
        }
        self.log.settle_octets(octets_before.saturating_sub(octets_held));
        self.log.retain_counts(|offset| kept.contains(offset));
        let held = || kept.offsets();
        let volatile = self.volatile.take_except(held());
        let fresh = self.fresh.take_except(held());
        let is_kept = |first: Offset, end: Offset| {
            kept.next_present(first).is_some_and(|offset| offset < end)
        };
        discarded.add(volatile, fresh, self.pages.take_content(is_kept));
        self.late.overtake_all();
        self.stored.changed_all(self.log.low(), tail);
        self.returned = OffsetSet::default();
        let in_flight = &self.in_flight;
        self.quarantine.retain(in_flight.iter().map(|(offset, _)| offset));
        self.time_outs.retain(|offset| in_flight.contains(offset));
        self.wanted = self.condemned.offsets();
        self.cursor = tail;
        self.pages.set_gap(None);
        let log = &self.log;
        self.pages.recount(|first, end| log.unsettled_in(first, end), &mut self.stored.dead_pages);
        self.tidy_when_empty();
        purged
    }

    /// The queue is gone: takes out what its messages take in memory.
    pub(crate) fn discard(&mut self, discarded: &mut Discarded) {
        let (volatile, fresh) =
            (std::mem::take(&mut self.volatile), std::mem::take(&mut self.fresh));
        discarded.add(volatile, fresh, self.pages.take_content(|_, _| false));
    }
}
