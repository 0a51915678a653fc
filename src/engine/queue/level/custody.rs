//! Messages of a level that are not simply ready or delivered: those taken back from whom held them too
//! long, those that are pending_dead, those that remove_ready out of their order.

use super::PriorityLevel;
use crate::credit::ChannelSlot;
use crate::model::{Offset, OffsetRange};
use crate::queue::dead_letter::DeathReason;
use crate::queue::in_flight::Held;
use crate::queue::overdue_deliveries::OverdueDelivery;

impl PriorityLevel {
    /// What is in flight, ascending.
    pub(crate) fn held(&self) -> impl Iterator<Item = (Offset, &Held)> {
        self.in_flight.iter()
    }

    /// What channels were given and have not settled, and how many settlements of each they await_settlement.
    pub(crate) fn held_or_owed(&self) -> impl Iterator<Item = (&Held, u64)> {
        self.in_flight.iter().map(|(_, held)| (held, 1)).chain(self.overdue.iter())
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
    pub(crate) fn expire_delivery(&mut self, offset: Offset) -> Option<Held> {
        self.in_flight.remove(offset)
    }

    /// Whoever held it still owes its settlement.
    pub(crate) fn await_settlement(&mut self, offset: Offset, held: Held, is_last: bool) {
        self.overdue.insert(offset, held, is_last);
    }

    /// What `channel` owes of `run` and holds nothing later of: settled now, however it ended.
    pub(crate) fn settle_overdue(
        &mut self,
        channel: ChannelSlot,
        run: OffsetRange,
    ) -> Vec<(Offset, OverdueDelivery)> {
        let in_flight = &self.in_flight;
        self.overdue
            .take(channel, run.first..=run.last, |offset| in_flight.is_held(offset, channel))
    }

    /// A channel that owed settlements is gone.
    pub(crate) fn forget_overdue(&mut self, channel: ChannelSlot) {
        self.overdue.forget(channel);
    }

    /// A message that was taken is to remove_ready for `reason`.
    pub(crate) fn mark_dead(&mut self, offset: Offset, reason: DeathReason, bytes: u32) {
        self.pending_dead.insert(offset, reason, bytes);
        self.wanted.insert(offset, offset);
    }

    /// The lowest pending_dead message.
    pub(crate) fn next_dead(&self) -> Option<(Offset, DeathReason)> {
        self.pending_dead.first()
    }

    /// A pending_dead message leaves. Returns whether the store has to learn of it.
    pub(crate) fn remove_dead(&mut self, offset: Offset) -> bool {
        let bytes = self.pending_dead.remove(offset);
        self.wanted.remove(offset, offset);
        self.settle([(offset, bytes)])
    }

    /// The first and the last offset between which its ready messages stand.
    pub(crate) fn extent(&self) -> Option<(Offset, Offset)> {
        let first = self.next_ready()?;
        Some((first, Offset(self.settled.tail().0.checked_sub(1)?)))
    }

    /// The lowest ready message that is not below `from`.
    pub(crate) fn next_ready_from(&self, from: Offset) -> Option<Offset> {
        let ahead = self.next_live(from.max(self.cursor));
        self.returned.next_present(from).into_iter().chain(ahead).min()
    }

    /// A ready message, at the front of the order or not, leaves. Returns whether the store has to
    /// learn of it.
    pub(crate) fn remove_at(&mut self, offset: Offset, bytes: u32) -> bool {
        if offset < self.cursor {
            self.take(offset);
        }
        self.settle([(offset, bytes)])
    }
}
