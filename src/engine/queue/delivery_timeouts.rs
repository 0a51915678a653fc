//! How long a consumer may hold a message: its lease (`x-lease`), or else its queue's
//! `x-consumer-timeout`.
//!
//! What is timed: the oldest unsettled message of each consumer, from the later of its delivery
//! and the consumer's last settlement or extension. What waits in a prefetch window behind a slow message is
//! not timed until its consumer gets to it. After `basic.get` each message is timed on its own, and so is
//! each that its client asked more time for.
//!
//! A consumer that lets the time pass loses that message, and its channel is sent no more until the
//! client is heard of on it. What else it holds goes back as soon as another consumer is there, but for what
//! its client asked more time for. A consumer that was cancelled is timed as before.

use super::Queue;
use super::clock_skew::Instants;
use super::delivery_pass::DeliveryPass;
use super::message_states::Held;
use super::parking::Return;
use super::settled_state::Counts;
use crate::credit::{ChannelSlot, Clients, ConsumerId, Outbox};
use crate::event::Event;
use crate::model::{ConnectionId, DeathReason, Monotonic, Offset, Position, ReturnReason};
use crate::trace::{Happening, ReturnCause};
use std::collections::BTreeMap;

/// What becomes of a message that was held too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It goes back, with so much counted.
    Counts(Counts),
    /// It failed too often.
    Ends,
}

/// A delivery: when its time ends, and of what it is.
type Timed = (Monotonic, usize, Offset);

impl Queue {
    /// How long a consumer may hold a message, in ms, where it does not say itself.
    pub(crate) fn consumer_timeout(&self) -> Option<u64> {
        self.rules.consumer_timeout
    }

    /// Something was delivered that has to be settled in time.
    pub(super) fn watch(&mut self, held: &Held) {
        let lease = held.consumer.and_then(|consumer| self.consumers.lease(consumer));
        if let Some(time) = lease.or(self.rules.consumer_timeout) {
            self.look_at(held.delivered_at.plus(time));
        }
    }

    /// The time that a delivery may be held was another one `before`. Where it is set now, or made
    /// shorter, it begins now.
    pub(super) fn change_consumer_timeout(&mut self, before: Option<u64>, now: Monotonic) {
        let Some(timeout) = self.rules.consumer_timeout else { return };
        if before.is_none_or(|before| timeout < before) {
            self.timed_since = now;
        }
        if before != Some(timeout) {
            self.overdue_at = Some(now);
        }
    }

    /// The client asks for more time: it may hold a message for `lease` ms from now on. Returns whether it
    /// holds it. That is a sign of life, so what its consumer holds beside it is timed from now on.
    pub(crate) fn extend(
        &mut self,
        channel: ChannelSlot,
        position: Position,
        lease: u64,
        now: Monotonic,
    ) -> bool {
        let to = now.plus(lease);
        let level = self.levels.get_mut(usize::from(position.level.0));
        let extended = level.and_then(|level| level.extend(position.offset, channel, to));
        if let Some(Some(consumer)) = extended {
            self.consumers.set_active_since(consumer, now);
        }
        if extended.is_some() {
            self.counters.extended += 1;
            self.look_at(to);
        }
        extended.is_some()
    }

    /// Takes back what was held too long, and what clients hold that hang.
    pub(super) fn expire_overdue(
        &mut self,
        at: Instants,
        clients: &mut Clients,
        out: &mut Outbox,
        pass: &mut DeliveryPass,
    ) {
        if self.overdue_at.is_some_and(|due| due <= at.monotonic) {
            self.overdue_at = None;
            self.time_out(at, clients, out, pass);
        }
        self.take_from_hung(clients, at);
    }

    fn time_out(
        &mut self,
        at: Instants,
        clients: &mut Clients,
        out: &mut Outbox,
        pass: &mut DeliveryPass,
    ) {
        let now = at.monotonic;
        let mut timed = self.timed();
        let overdue = timed.iter().filter(|(end, ..)| *end <= now);
        let overdue: Vec<Timed> = overdue.copied().collect();
        for (_, priority, offset) in &overdue {
            self.expire_delivery(*priority, *offset, at, clients, out, pass);
            pass.needs_commit = true;
        }
        if !overdue.is_empty() {
            // Others are their consumers' oldest ones now.
            timed = self.timed();
        }
        self.overdue_at = timed.into_iter().map(|(end, ..)| end).min();
    }

    /// What is timed, and until when.
    fn timed(&self) -> Vec<Timed> {
        let mut oldest: BTreeMap<ConsumerId, (Monotonic, usize, Offset)> = BTreeMap::new();
        let mut timed = Vec::new();
        for (priority, level) in self.levels.iter().enumerate() {
            for (offset, held) in level.delivered() {
                let delivery = (held.delivered_at, priority, offset);
                match held.consumer {
                    _ if held.extended_to != Monotonic::AT_ONCE => {
                        timed.push((held.extended_to, priority, offset));
                    }
                    None => timed.extend(self.end_of(None, delivery)),
                    Some(consumer) => {
                        let known = oldest.entry(consumer).or_insert(delivery);
                        *known = delivery.min(*known);
                    }
                }
            }
        }
        let oldest = oldest.into_iter();
        timed.extend(oldest.filter_map(|(consumer, held)| self.end_of(Some(consumer), held)));
        timed
    }

    /// Until when a delivery may be held that is timed; `None`: without limit.
    fn end_of(
        &self,
        consumer: Option<ConsumerId>,
        (delivered_at, priority, offset): (Monotonic, usize, Offset),
    ) -> Option<Timed> {
        let active_since = consumer.map(|consumer| self.consumers.active_since(consumer));
        let since = active_since.unwrap_or_default().max(delivered_at);
        let end = match consumer.and_then(|consumer| self.consumers.lease(consumer)) {
            Some(lease) => since.plus(lease),
            None => since.max(self.timed_since).plus(self.rules.consumer_timeout?),
        };
        Some((end, priority, offset))
    }

    /// Looks then at the latest whether a delivery was held too long.
    fn look_at(&mut self, when: Monotonic) {
        self.overdue_at = Some(self.overdue_at.map_or(when, |other| other.min(when)));
    }

    fn expire_delivery(
        &mut self,
        priority: usize,
        offset: Offset,
        at: Instants,
        clients: &mut Clients,
        out: &mut Outbox,
        pass: &mut DeliveryPass,
    ) {
        let Some(level) = self.levels.get_mut(priority) else { return };
        let Some(held) = level.expire_delivery(offset) else { return };
        self.counters.timed_out += 1;
        // What a client holds that hangs already is not what it hangs at.
        let is_first = !clients.is_overdue(held.channel);
        if is_first && let Some(key) = clients.key(held.channel) {
            clients.set_overdue(held.channel);
            pass.overdue.push(held.channel);
            out.push(key.connection, Event::Overdue { channel: key.channel });
        }
        if let Some(consumer) = held.consumer {
            self.consumers.set_active_since(consumer, at.monotonic);
            self.hung.retain(|(other, _)| *other != consumer);
            self.hung.push((consumer, held.channel));
        }
        let connection = clients.connection(held.channel).filter(|_| is_first);
        let verdict = self.judge(priority, offset, connection);
        self.record_return(priority, offset, at, self.cause_of_time_out(&held));
        if verdict == Verdict::Ends {
            self.record_death(priority, offset, at, DeathReason::DeliveryLimit);
        }
        let has_destination = self.rules.has_destination(DeathReason::DeliveryLimit);
        let Some(level) = self.levels.get_mut(priority) else { return };
        match (verdict, has_destination) {
            (Verdict::Ends, true) => level.mark_dead(offset, DeathReason::DeliveryLimit, held.size),
            (Verdict::Ends, false) => {
                level.settle([(offset, held.size)]);
                self.counters.failed += 1;
            }
            (Verdict::Counts(Counts::NONE), _) => {
                level.requeue(&[(offset, held)], Counts::NONE);
            }
            (Verdict::Counts(counts), _) => {
                let how = Return { counts, reason: ReturnReason::TimedOut, delay: None };
                self.send_back(priority, (offset, held), how, at);
            }
        }
        let Some(level) = self.levels.get_mut(priority) else { return };
        level.await_settlement(offset, held, verdict != Verdict::Ends);
    }

    /// Whose time it was that a delivery took longer than.
    fn cause_of_time_out(&self, held: &Held) -> ReturnCause {
        let has_lease = || held.consumer.is_some_and(|id| self.consumers.lease(id).is_some());
        if held.extended_to != Monotonic::AT_ONCE || has_lease() {
            ReturnCause::LeaseEnded
        } else {
            ReturnCause::TimedOut
        }
    }

    /// What a time-out does to its message. `connection`: the one that let the time pass; `None` when
    /// it hung already, so that the time-out is not a failure of this message.
    fn judge(
        &mut self,
        priority: usize,
        offset: Offset,
        connection: Option<ConnectionId>,
    ) -> Verdict {
        let limit = self.rules.delivery_limit;
        let level = self.levels.get_mut(priority);
        let (Some(level), Some(connection)) = (level, connection) else {
            return Verdict::Counts(Counts::NONE);
        };
        let reaches_limit = limit.is_some_and(|limit| level.failures(offset) + 1 >= limit);
        let is_of_one = level.note_time_out(offset, connection);
        match (reaches_limit, is_of_one) {
            (false, _) => Verdict::Counts(Counts::FAILURE),
            (true, false) => Verdict::Ends,
            (true, true) => {
                level.uncount_time_out(offset);
                Verdict::Counts(Counts::NONE)
            }
        }
    }

    /// What consumers hold that hang goes to others, but for what their clients asked more time for: that
    /// is timed by itself.
    fn take_from_hung(&mut self, clients: &Clients, at: Instants) {
        self.hung.retain(|(_, channel)| clients.is_overdue(*channel));
        if self.hung.is_empty() || !self.consumers.is_anybody_there(clients) {
            return;
        }
        // They are sent no more: none is needed here again.
        for (consumer, _) in std::mem::take(&mut self.hung) {
            for priority in 0..self.levels.len() {
                let Some(level) = self.levels.get_mut(priority) else { continue };
                let held = level.delivered().filter(|(_, held)| {
                    held.consumer == Some(consumer) && held.extended_to <= at.monotonic
                });
                let held: Vec<(Offset, Held)> =
                    held.map(|(offset, held)| (offset, *held)).collect();
                self.counters.timed_out += held.len() as u64;
                for (offset, held) in &held {
                    level.expire_delivery(*offset);
                    level.await_settlement(*offset, *held, true);
                }
                level.requeue(&held, Counts::NONE);
                let cause = ReturnCause::ConsumerHangs;
                self.record_ended(priority, &held, at, &Happening::CameBack { cause });
            }
        }
    }
}
