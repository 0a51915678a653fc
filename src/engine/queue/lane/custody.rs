//! Messages of a lane that are not simply ready or delivered: suspects, those taken back from whom
//! held them too long, those that are condemned; and the end of all that are ready.

use super::Lane;
use crate::command::Run;
use crate::ids::Offset;
use crate::queue::dead::DeathReason;
use crate::queue::in_flight::Held;
use crate::queue::late::LateDelivery;
use crate::queue::offset_set::OffsetSet;
use crate::shard::clients::ChannelSlot;

impl Lane {
    /// The next failure of this message tells something only if its consumer holds nothing else.
    pub(crate) fn suspect(&mut self, offset: Offset) {
        self.suspects.insert(offset, offset);
    }

    /// Whether it must be delivered to a consumer that holds nothing else.
    pub(crate) fn is_suspect(&self, offset: Offset) -> bool {
        self.has_suspects() && self.suspects.contains(offset)
    }

    /// Whether any message is one, ready or held.
    pub(crate) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// The message that is to be delivered next when suspects have to wait.
    pub(crate) fn next_trusted(&self) -> Option<Offset> {
        if !self.has_suspects() {
            return self.next_ready();
        }
        // What was never delivered is no suspect.
        let mut returned = self.returned.first();
        while let Some(offset) = returned.filter(|offset| self.suspects.contains(*offset)) {
            returned = self.returned.next_present(self.suspects.next_absent(offset));
        }
        returned.into_iter().chain(self.next_live(self.cursor)).min()
    }

    /// What is in flight, ascending.
    pub(crate) fn held(&self) -> impl Iterator<Item = (Offset, &Held)> {
        self.in_flight.iter()
    }

    /// What consumers were given and the channels have not settled, one by one.
    pub(crate) fn held_by_consumers(&self) -> impl Iterator<Item = (ChannelSlot, u64)> {
        let held = self.in_flight.iter().map(|(_, held)| (held, 1)).chain(self.late.iter());
        held.filter(|(held, _)| held.consumer.is_some()).map(|(held, count)| (held.channel, count))
    }

    /// Takes a message out of flight that was held too long.
    pub(crate) fn take_back(&mut self, offset: Offset) -> Option<Held> {
        self.in_flight.remove(offset)
    }

    /// Whoever held it still owes its settlement.
    pub(crate) fn owe(&mut self, offset: Offset, held: Held, is_last: bool) {
        self.late.insert(offset, held, is_last);
    }

    /// What `channel` owes of `run` and holds nothing later of: settled now, however it ended.
    pub(crate) fn release_late(
        &mut self,
        channel: ChannelSlot,
        run: Run,
    ) -> Vec<(Offset, LateDelivery)> {
        let in_flight = &self.in_flight;
        self.late.take(channel, run.first..=run.last, |offset| in_flight.is_held(offset, channel))
    }

    /// A channel that owed settlements is gone.
    pub(crate) fn forget_late(&mut self, channel: ChannelSlot) {
        self.late.forget(channel);
    }

    /// A message that was taken is to leave for `reason`.
    pub(crate) fn condemn(&mut self, offset: Offset, reason: DeathReason, octets: u32) {
        self.condemned.insert(offset, reason, octets);
        self.wanted.insert(offset, offset);
    }

    /// The lowest condemned message.
    pub(crate) fn next_condemned(&self) -> Option<(Offset, DeathReason)> {
        self.condemned.first()
    }

    /// A condemned message leaves. Returns whether the store has to learn of it.
    pub(crate) fn execute(&mut self, offset: Offset) -> bool {
        let octets = self.condemned.remove(offset);
        self.wanted.remove(offset, offset);
        self.settle([(offset, octets)])
    }

    /// The first and the last offset between which its ready messages stand.
    pub(crate) fn extent(&self) -> Option<(Offset, Offset)> {
        let first = self.next_ready()?;
        Some((first, Offset(self.log.tail().0.checked_sub(1)?)))
    }

    /// The lowest ready message that is not below `from`.
    pub(crate) fn next_ready_from(&self, from: Offset) -> Option<Offset> {
        let ahead = self.next_live(from.max(self.cursor));
        self.returned.next_present(from).into_iter().chain(ahead).min()
    }

    /// A ready message, at the front of the order or not, leaves. Returns whether the store has to
    /// learn of it.
    pub(crate) fn withdraw(&mut self, offset: Offset, octets: u32) -> bool {
        if offset < self.cursor {
            self.take(offset);
        }
        self.settle([(offset, octets)])
    }

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
        self.suspects = self.in_flight.suspects(&self.suspects);
        self.wanted = self.condemned.offsets();
        self.cursor = tail;
        self.pages.set_gap(None);
        let log = &self.log;
        self.pages.recount(|first, end| log.unsettled_in(first, end), &mut self.stored.dead_pages);
        self.tidy_when_empty();
        purged
    }
}
