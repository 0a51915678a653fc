//! Settling deliveries, and returning unsettled ones when a channel ends in an orderly way.
//!
//! Called by deliveries and consumers under the session's lock. Acks are collected and written by
//! the driver's next turn; a nack is written at once.

use std::{mem, ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use forebay_wire::{
    FieldTable, FieldValue, Properties, ShortStr,
    method::{BasicAck, BasicCancel, BasicNack, BasicRecover},
};

use crate::{
    session::Session,
    session::channel::{Channel, Role, Stage},
};

/// Routing key of the instruction to make a delivery again after some time.
const RETRY_KEY: &[u8] = b"amq.forebay.retry";
/// The routing key of the default exchange under which the broker takes such requests.
const EXTEND: &str = "amq.forebay.extend";
/// Names the delivery.
const TAG_HEADER: &str = "x-delivery-tag";
/// How long it may be held from now on, in ms.
const LEASE_HEADER: &str = "x-lease";
/// What the broker takes, in ms: up to ten years.
const LEASE_MS: RangeInclusive<u128> = 1..=315_360_000_000;

fn extension(tag: u64, lease: Duration) -> Properties {
    let lease = lease.as_millis().clamp(*LEASE_MS.start(), *LEASE_MS.end());
    let number = |number: u128| FieldValue::I64(i64::try_from(number).unwrap_or(i64::MAX));
    let mut headers = FieldTable::new();
    headers.insert(ShortStr::from_static(TAG_HEADER), number(tag.into()));
    headers.insert(ShortStr::from_static(LEASE_HEADER), number(lease));
    Properties { headers: Some(headers), ..Properties::default() }
}

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
        self.statistics.acked += u64::from(is_open);
        self.after_settling(number);
        is_open
    }

    /// Gives a delivery back, or to its dead-letter exchange. False when its channel is gone.
    pub(crate) fn reject(&mut self, number: u16, epoch: u64, tag: u64, is_requeued: bool) -> bool {
        self.reject_by(number, epoch, tag, |session| {
            let nack = BasicNack { delivery_tag: tag, multiple: false, requeue: is_requeued };
            session.put(number, &nack.into());
        })
    }

    /// Gives a delivery back that is to be made again after `delay` ms; to a broker that takes no such
    /// instruction, as one that failed. False when its channel is gone.
    pub(crate) fn retry_after(&mut self, number: u16, epoch: u64, tag: u64, delay: u64) -> bool {
        if !self.tuning.takes_instructions {
            return self.reject(number, epoch, tag, true);
        }
        self.reject_by(number, epoch, tag, |session| {
            let headers: FieldTable = [("x-delivery-tag", tag), ("x-delay", delay)]
                .map(|(name, value)| {
                    (ShortStr::from_static(name), FieldValue::I64(value.cast_signed()))
                })
                .into_iter()
                .collect();
            let properties = Properties { headers: Some(headers), ..Properties::default() };
            let frame_size_max = session.tuning.frame_size_max;
            session.output.put_publish(
                number,
                b"",
                RETRY_KEY,
                false,
                properties.encode().as_bytes(),
                &Bytes::new(),
                frame_size_max,
            );
        })
    }

    fn reject_by(
        &mut self,
        number: u16,
        epoch: u64,
        tag: u64,
        write: impl FnOnce(&mut Self),
    ) -> bool {
        let Some(channel) = self.channel(number).filter(|channel| channel.epoch == epoch) else {
            return false;
        };
        let Some(unsettled) = channel.unsettled() else { return false };
        let is_open = unsettled.reject(tag);
        let can_write = !matches!(channel.stage, Stage::Closing);
        if is_open && can_write {
            write(self);
        }
        self.statistics.rejected += u64::from(is_open);
        self.after_settling(number);
        is_open
    }

    /// Asks for more time for a delivery. False when its channel is gone, or the delivery is settled.
    pub(crate) fn extend(&mut self, number: u16, epoch: u64, tag: u64, lease: Duration) -> bool {
        let is_open = self.channel(number).is_some_and(|channel| {
            let can_write = channel.stage == Stage::Ready && channel.epoch == epoch;
            can_write && channel.unsettled().is_some_and(|unsettled| unsettled.is_open(tag))
        });
        if is_open {
            let frame_size_max = self.tuning.frame_size_max;
            let properties = extension(tag, lease).encode();
            let (exchange, key) = ("".as_bytes(), EXTEND.as_bytes());
            self.output.put_publish(
                number,
                exchange,
                key,
                false,
                properties.as_bytes(),
                &Bytes::new(),
                frame_size_max,
            );
        }
        is_open
    }

    /// Leaves a delivery to the end of its channel: it was not tried, so it did not fail. Until
    /// then it counts against the prefetch limit, so only what ends leaves anything.
    pub(crate) fn leave_untried(&mut self, number: u16, epoch: u64, tag: u64) {
        let channel = self.channel(number).filter(|channel| channel.epoch == epoch);
        let Some(unsettled) = channel.and_then(Channel::unsettled) else { return };
        unsettled.leave_untried(tag);
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

    /// Writes that a channel about to end has no more consumer, and returns what is unsettled. That
    /// includes what the broker sent before it heard of the end: so a consumer with acks returns
    /// even when the client knows of no delivery.
    pub(crate) fn put_cancel_and_recover(&mut self, number: u16) {
        let mut needs_recovery = self.needs_recovery(number);
        // Dropped while it is started, a consumer may have begun at the broker.
        let has_begun =
            |channel: &&mut Channel| matches!(channel.stage, Stage::Ready | Stage::Opening);
        let channel = self.channel(number).filter(has_begun);
        if let Some(inbox) = channel.and_then(Channel::inbox) {
            needs_recovery |= !inbox.spec.is_no_ack;
            if inbox.end.is_none() {
                let tag = inbox.spec.tag.clone();
                self.put(number, &BasicCancel { consumer_tag: tag, no_wait: true }.into());
            }
        }
        if !needs_recovery {
            return;
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
        let mut is_unwanted = false;
        match self.channel(number).map(|channel| &mut channel.role) {
            Some(Role::Consumer(inbox)) => inbox.wake_if_drained(&mut wakes),
            Some(Role::Puller(pulling)) => is_unwanted = pulling.is_unwanted(),
            _ => {}
        }
        self.wakes = wakes;
        if is_unwanted {
            self.return_unwanted(number);
        }
    }

    /// Gives back what came to a puller after its futures were dropped, without counting as a failed delivery.
    /// Not while a `basic.get` is under way: what that brings would be returned as well.
    pub(crate) fn return_unwanted(&mut self, number: u16) {
        let Some(channel) = self.channel(number) else { return };
        let is_ready = channel.stage == Stage::Ready && channel.pending_requests.is_empty();
        if is_ready && channel.pulling().is_some_and(|pulling| pulling.is_unwanted()) {
            // The answer is not waited for.
            let asked = self.request(number, &BasicRecover { requeue: true }.into(), None);
            if asked.is_ok()
                && let Some(pulling) = self.channel(number).and_then(Channel::pulling)
            {
                pulling.clear();
            }
        }
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
