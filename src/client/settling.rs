//! Settling deliveries, and returning unsettled ones when a channel ends in an orderly way.
//!
//! Called by deliveries and consumers under the session's lock. Acks are collected and written by
//! the driver's next turn; a nack is written at once.

use std::mem;

use forebay_wire::method::{BasicAck, BasicCancel, BasicNack, BasicRecover};

use crate::{
    channel::{Channel, Stage},
    session::Session,
};

impl Session {
    /// Acks a delivery: written with the next batch. False when its channel is gone.
    pub(crate) fn ack(&mut self, number: u16, epoch: u64, tag: u64) -> bool {
        let Some(channel) = self.channel(number).filter(|channel| channel.epoch == epoch) else {
            return false;
        };
        let Some(unsettled) = channel.unsettled() else { return false };
        let is_open = unsettled.ack(tag);
        if !channel.is_ack_due {
            channel.is_ack_due = true;
            self.acks_due.push(number);
        }
        self.after_settling(number);
        is_open
    }

    /// Gives a delivery back, or to its dead-letter exchange. False when its channel is gone.
    pub(crate) fn reject(&mut self, number: u16, epoch: u64, tag: u64, is_requeued: bool) -> bool {
        let Some(channel) = self.channel(number).filter(|channel| channel.epoch == epoch) else {
            return false;
        };
        let Some(unsettled) = channel.unsettled() else { return false };
        let is_open = unsettled.reject(tag);
        let can_write = !matches!(channel.stage, Stage::Closing);
        if is_open && can_write {
            let nack = BasicNack { delivery_tag: tag, multiple: false, requeue: is_requeued };
            self.put(number, &nack.into());
        }
        self.after_settling(number);
        is_open
    }

    /// Leaves a delivery to the end of its channel: it was not tried, so it did not fail. Until
    /// then it counts against the prefetch limit, so only what ends leaves anything.
    pub(crate) fn leave(&mut self, number: u16, epoch: u64, tag: u64) {
        let channel = self.channel(number).filter(|channel| channel.epoch == epoch);
        let Some(unsettled) = channel.and_then(Channel::unsettled) else { return };
        unsettled.leave(tag);
        self.after_settling(number);
    }

    /// Whether an orderly end of the channel begins with `basic.recover`: the end of the channel
    /// alone would count as a failed delivery of whatever is unsettled.
    pub(crate) fn needs_recovery(&mut self, number: u16) -> bool {
        self.channel(number)
            .filter(|channel| channel.stage == Stage::Ready)
            .and_then(Channel::unsettled)
            .is_some_and(|unsettled| unsettled.needs_recovery())
    }

    /// Writes that a channel about to end has no more consumer, and returns what is unsettled.
    pub(crate) fn retire(&mut self, number: u16) {
        if !self.needs_recovery(number) {
            return;
        }
        let inbox = self.channel(number).and_then(Channel::inbox);
        if let Some(inbox) = inbox.filter(|inbox| inbox.end.is_none()) {
            let tag = inbox.spec.tag.clone();
            self.put(number, &BasicCancel { consumer_tag: tag, no_wait: true }.into());
        }
        self.put(number, &BasicRecover { requeue: true }.into());
        self.handle_recovered(number);
    }

    /// Everything that was unsettled is the broker's again.
    pub(crate) fn handle_recovered(&mut self, number: u16) {
        if let Some(unsettled) = self.channel(number).and_then(Channel::unsettled) {
            unsettled.clear();
        }
    }

    fn after_settling(&mut self, number: u16) {
        let mut wakes = mem::take(&mut self.wakes);
        if let Some(inbox) = self.channel(number).and_then(Channel::inbox) {
            inbox.wake_if_drained(&mut wakes);
        }
        self.wakes = wakes;
    }

    pub(crate) fn flush_acks(&mut self) {
        let mut due = mem::take(&mut self.acks_due);
        for number in due.drain(..) {
            let Self { channels, output, .. } = self;
            let channel =
                usize::from(number).checked_sub(1).and_then(|at| channels.get_mut(at)?.as_mut());
            let Some(channel) = channel else { continue };
            channel.is_ack_due = false;
            let can_write = matches!(channel.stage, Stage::Ready | Stage::Opening);
            if let Some(unsettled) = channel.unsettled().filter(|_| can_write) {
                unsettled.take_acks(|ack| {
                    output.put_method(
                        number,
                        &BasicAck { delivery_tag: ack.tag, multiple: ack.is_multiple },
                    );
                });
            }
        }
        self.acks_due = due;
    }
}
