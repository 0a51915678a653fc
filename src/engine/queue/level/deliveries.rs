//! The deliveries of a level: how a message becomes one, and what a settlement or a time-out makes of
//! it. A delivery that was taken back stays *overdue* until its channel settles it.

use super::PriorityLevel;
use crate::credit::{ChannelSlot, ConsumerId};
use crate::model::{ConnectionId, DeathReason, Monotonic, Offset, OffsetRange};
use crate::queue::message_states::Held;
use crate::queue::overdue_deliveries::OverdueDelivery;
use crate::queue::settled_state::Counts;
use std::collections::BTreeSet;

impl PriorityLevel {
    /// The delivered messages, ascending.
    pub(crate) fn delivered(&self) -> impl Iterator<Item = (Offset, &Held)> {
        self.states.delivered()
    }

    /// The deliveries that channels have not settled, overdue ones among them.
    pub(crate) fn unsettled_deliveries(&self) -> impl Iterator<Item = &Held> {
        self.states.delivered().map(|(_, held)| held).chain(self.overdue.iter())
    }

    /// Whether consumers but this one hold messages.
    pub(crate) fn is_held_beside(&self, consumer: ConsumerId) -> bool {
        let is_other = |held: &Held| held.consumer.is_some_and(|holder| holder != consumer);
        self.states.consumed() > 0 && self.states.delivered().any(|(_, held)| is_other(held))
    }

    /// Whether `channel` has a delivery that it has not settled, overdue ones among them.
    pub(crate) fn is_held_by(&self, channel: ChannelSlot) -> bool {
        self.unsettled_deliveries().any(|held| held.channel == channel)
    }

    /// A message that `channel` holds may be held until then. Returns the consumer that it was delivered to;
    /// `None`: the channel does not hold it.
    pub(crate) fn extend(
        &mut self,
        offset: Offset,
        channel: ChannelSlot,
        to: Monotonic,
    ) -> Option<Option<ConsumerId>> {
        let is_extended = self.states.extend(offset, channel, to);
        self.states.holder(offset).filter(|_| is_extended).map(|held| held.consumer)
    }

    /// A message that left the order is delivered.
    pub(crate) fn deliver(&mut self, offset: Offset, held: Held) {
        self.states.deliver(offset, held);
    }

    /// Ends the deliveries of `run` to `channel` and adds them to `ended`, ascending. The caller
    /// settles the messages, requeues them or marks them dead.
    pub(crate) fn end_deliveries(
        &mut self,
        channel: ChannelSlot,
        run: OffsetRange,
        ended: &mut Vec<(Offset, Held)>,
    ) {
        self.states.end_deliveries(channel, run.first..=run.last, ended);
    }

    /// The channels ended: ends all their deliveries as [`Self::end_deliveries`] does, and awaits no
    /// settlement of them.
    pub(crate) fn end_channels(
        &mut self,
        channels: &BTreeSet<ChannelSlot>,
        ended: &mut Vec<(Offset, Held)>,
    ) {
        self.states.end_channels(channels, ended);
        self.overdue.forget(channels);
    }

    /// Takes back a message that was held too long. The caller says what becomes of it, and calls
    /// [`Self::await_settlement`].
    pub(crate) fn expire_delivery(&mut self, offset: Offset) -> Option<Held> {
        self.states.end_delivery(offset)
    }

    /// The channel that held the message has yet to settle it. `may_settle`: its acknowledgement
    /// counts as long as the message is not delivered again.
    pub(crate) fn await_settlement(&mut self, offset: Offset, held: Held, may_settle: bool) {
        self.overdue.insert(offset, held, may_settle);
    }

    /// Takes the overdue deliveries of `run` that `channel` settles now. Of a message that it was
    /// given again it settles the later delivery first.
    pub(crate) fn settle_overdue(
        &mut self,
        channel: ChannelSlot,
        run: OffsetRange,
    ) -> Vec<(Offset, OverdueDelivery)> {
        let states = &self.states;
        self.overdue
            .take(channel, run.first..=run.last, |offset| states.is_held_by(offset, channel))
    }

    /// Makes messages whose deliveries ended ready again, each in its place. Returns whether the store has to
    /// learn of it.
    pub(crate) fn requeue(&mut self, ended: &[(Offset, Held)], counts: Counts) -> bool {
        let mut is_changed = false;
        for (offset, _) in ended {
            self.states.requeue(*offset);
            let is_counted = self.settled.count(*offset, counts);
            if self.settled.set_retry(*offset, None) || is_counted {
                self.changes.changed(*offset);
                is_changed = true;
            }
        }
        is_changed
    }

    /// A connection let the message time out. Returns whether each of its failures was a time-out on
    /// that connection.
    pub(crate) fn note_time_out(&mut self, offset: Offset, connection: ConnectionId) -> bool {
        self.time_outs.note(offset, connection, self.settled.failures(offset))
    }

    /// The time-out that was just noted does not count.
    pub(crate) fn uncount_time_out(&mut self, offset: Offset) {
        self.time_outs.uncount(offset);
    }

    /// A message that left the order, or whose delivery ended, becomes a dead letter as soon as its
    /// content is in memory.
    pub(crate) fn mark_dead(&mut self, offset: Offset, reason: DeathReason, size: u32) {
        self.states.mark_dead(offset, reason, size);
        self.leave_group(offset);
    }

    /// The lowest dead message.
    pub(crate) fn first_dead(&self) -> Option<(Offset, DeathReason)> {
        self.states.first_dead()
    }

    /// Settles a dead message. Returns whether the store has to learn of it.
    pub(crate) fn remove_dead(&mut self, offset: Offset) -> bool {
        let size = self.states.remove_dead(offset);
        self.settle([(offset, size)])
    }
}
