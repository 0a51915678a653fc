//! How long a consumer may hold a message (`x-consumer-timeout`).
//!
//! What is timed: the oldest unsettled message of each consumer, from the later of its delivery
//! and the consumer's last settlement. What waits in a prefetch window behind a slow message is
//! not timed until its consumer gets to it. After `basic.get` each message is timed on its own.
//!
//! A consumer that lets the time pass loses that message, and its channel is sent no more until the
//! client is heard of on it. What else it holds goes back as soon as another consumer is there.

use super::Queue;
use super::clock_skew::Instants;
use super::dead_letter::DeathReason;
use super::delivery_pass::DeliveryPass;
use super::message_states::Held;
use super::parking::Return;
use super::settled_state::Counts;
use crate::credit::Clients;
use crate::credit::ConsumerId;
use crate::credit::Outbox;
use crate::event::Event;
use crate::model::{ConnectionId, Monotonic, Offset, ReturnReason};
use std::collections::BTreeMap;

/// What becomes of a message that was held too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It goes back, with so much counted.
    Counts(Counts),
    /// It failed too often.
    Ends,
}

/// A delivery: when, and of what.
type Oldest = (Monotonic, usize, Offset);

impl Queue {
    /// How long a consumer may hold a message, in ms.
    pub(crate) fn consumer_timeout(&self) -> Option<u64> {
        self.rules.consumer_timeout
    }

    /// Something was delivered that has to be settled in time.
    pub(super) fn watch(&mut self, delivered_at: Monotonic) {
        if let Some(timeout) = self.rules.consumer_timeout
            && self.overdue_at.is_none()
        {
            self.overdue_at = Some(delivered_at.plus(timeout));
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
        self.take_from_hung(clients);
    }

    fn time_out(
        &mut self,
        at: Instants,
        clients: &mut Clients,
        out: &mut Outbox,
        pass: &mut DeliveryPass,
    ) {
        let Some(timeout) = self.rules.consumer_timeout else { return };
        let now = at.monotonic;
        for (since, priority, offset) in self.timed() {
            let end = since.max(self.timed_since).plus(timeout);
            if end <= now {
                self.expire_delivery(priority, offset, at, clients, out, pass);
                pass.needs_commit = true;
            } else {
                self.overdue_at = Some(self.overdue_at.map_or(end, |other| other.min(end)));
            }
        }
        if self.overdue_at.is_none() && self.levels.iter().any(|level| level.unacked() > 0) {
            self.overdue_at = Some(now.plus(timeout));
        }
    }

    /// What is timed, and since when.
    fn timed(&self) -> Vec<Oldest> {
        let mut oldest: BTreeMap<ConsumerId, Oldest> = BTreeMap::new();
        let mut timed = Vec::new();
        for (priority, level) in self.levels.iter().enumerate() {
            for (offset, held) in level.delivered() {
                let delivery = (held.delivered_at, priority, offset);
                match held.consumer {
                    None => timed.push(delivery),
                    Some(consumer) => {
                        let known = oldest.entry(consumer).or_insert(delivery);
                        *known = delivery.min(*known);
                    }
                }
            }
        }
        for (consumer, (delivered_at, priority, offset)) in oldest {
            let since = self.consumers.active_since(consumer).max(delivered_at);
            timed.push((since, priority, offset));
        }
        timed
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

    fn take_from_hung(&mut self, clients: &Clients) {
        self.hung.retain(|(_, channel)| clients.is_overdue(*channel));
        if self.hung.is_empty() || !self.consumers.is_anybody_there(clients) {
            return;
        }
        // They are sent no more: none is needed here again.
        for (consumer, _) in std::mem::take(&mut self.hung) {
            for level in &mut self.levels {
                let held = level.delivered().filter(|(_, held)| held.consumer == Some(consumer));
                let held: Vec<(Offset, Held)> =
                    held.map(|(offset, held)| (offset, *held)).collect();
                self.counters.timed_out += held.len() as u64;
                for (offset, held) in &held {
                    level.expire_delivery(*offset);
                    level.await_settlement(*offset, *held, true);
                }
                level.requeue(&held, Counts::NONE);
            }
        }
    }
}
