//! The end of all messages of a lane that nobody holds.

use super::Lane;
use crate::ids::Offset;
use crate::queue::offset_set::OffsetSet;

impl Lane {
    /// Settles every message that is not in flight; how many there were.
    pub(crate) fn purge(&mut self) -> u64 {
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
        for offset in self.volatile.offsets() {
            if !kept.contains(offset) {
                self.volatile.remove(offset);
                self.log.forget_counts(offset);
            }
        }
        for offset in (self.fresh.first().0..tail.0).map(Offset) {
            if !kept.contains(offset) {
                self.fresh.remove(offset);
            }
        }
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
}
