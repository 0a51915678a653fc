//! Messages of a lane that are not simply ready or delivered: those taken back from whom held them too
//! long, those that are condemned, those that leave out of their order.

use super::Lane;
use crate::command::Run;
use crate::ids::Offset;
use crate::queue::dead::DeathReason;
use crate::queue::in_flight::Held;
use crate::queue::late::LateDelivery;
use crate::shard::clients::ChannelSlot;

impl Lane {
    /// What is in flight, ascending.
    pub(crate) fn held(&self) -> impl Iterator<Item = (Offset, &Held)> {
        self.in_flight.iter()
    }

    /// What channels were given and have not settled, and how many settlements of each they owe.
    pub(crate) fn held_or_owed(&self) -> impl Iterator<Item = (&Held, u64)> {
        self.in_flight.iter().map(|(_, held)| (held, 1)).chain(self.late.iter())
    }

    /// Whether a consumer was given any message that is not settled, and not taken back either.
    pub(crate) fn has_consumed(&self) -> bool {
        self.in_flight.consumed() > 0
    }

    /// Whether `channel` holds any of its messages, or still owes the settlement of one.
    pub(crate) fn is_held_by(&self, channel: ChannelSlot) -> bool {
        self.held_or_owed().any(|(held, _)| held.channel == channel)
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
}
