//! How long a consumer may hold a message (`x-consumer-timeout`).
//!
//! What is timed: the oldest unsettled message of each consumer, from the later of its delivery
//! and the consumer's last settlement. What waits in a prefetch window behind a slow message is
//! not timed until its consumer gets to it. After `basic.get` each message is timed on its own.
//! A consumer that lets the time pass loses that one message, and its time begins again.

use super::dead::DeathReason;
use super::dispatch::Turn;
use super::{ConsumerId, Queue};
use crate::ids::Offset;
use crate::time::Monotonic;
use std::collections::BTreeMap;

/// A delivery: when, and of what.
type Oldest = (Monotonic, usize, Offset);

impl Queue {
    /// Something was delivered that has to be settled in time.
    pub(super) fn watch(&mut self, delivered_at: Monotonic) {
        if let Some(timeout) = self.rules.consumer_timeout
            && self.overdue_at.is_none()
        {
            self.overdue_at = Some(delivered_at.plus(timeout));
        }
    }

    /// Takes back what was held too long.
    pub(super) fn take_back_overdue(&mut self, now: Monotonic, turn: &mut Turn) {
        if self.overdue_at.is_none_or(|at| at > now) {
            return;
        }
        self.overdue_at = None;
        let Some(timeout) = self.rules.consumer_timeout else { return };
        for (since, level, offset) in self.timed() {
            let end = since.plus(timeout);
            if end <= now {
                self.take_back(level, offset, now);
                turn.is_stored = true;
            } else {
                self.overdue_at = Some(self.overdue_at.map_or(end, |other| other.min(end)));
            }
        }
        if self.overdue_at.is_none() && self.lanes.iter().any(|lane| lane.unacked() > 0) {
            self.overdue_at = Some(now.plus(timeout));
        }
    }

    /// What is timed, and since when.
    fn timed(&self) -> Vec<Oldest> {
        let mut oldest: BTreeMap<ConsumerId, Oldest> = BTreeMap::new();
        let mut timed = Vec::new();
        for (level, lane) in self.lanes.iter().enumerate() {
            for (offset, held) in lane.held() {
                let delivery = (held.delivered_at, level, offset);
                match held.consumer {
                    None => timed.push(delivery),
                    Some(consumer) => {
                        let known = oldest.entry(consumer).or_insert(delivery);
                        *known = delivery.min(*known);
                    }
                }
            }
        }
        for (consumer, (delivered_at, level, offset)) in oldest {
            let since = self.consumers.active_since(consumer).max(delivered_at);
            timed.push((since, level, offset));
        }
        timed
    }

    fn take_back(&mut self, level: usize, offset: Offset, now: Monotonic) {
        let limit = self.rules.delivery_limit;
        let has_destination = self.rules.has_destination(DeathReason::DeliveryLimit);
        let Some(lane) = self.lanes.get_mut(level) else { return };
        let Some(held) = lane.take_back(offset) else { return };
        self.counters.timed_out += 1;
        self.consumers.give_up(held.channel);
        if let Some(consumer) = held.consumer {
            self.consumers.set_active_since(consumer, now);
        }
        let is_last = limit.is_some_and(|limit| lane.failures(offset) + 1 >= limit);
        match (is_last, has_destination) {
            (true, true) => lane.condemn(offset, DeathReason::DeliveryLimit, held.size),
            (true, false) => {
                lane.settle([(offset, held.size)]);
                self.counters.failed += 1;
            }
            (false, _) => lane.give_back(&[(offset, held)], true),
        }
        lane.owe(offset, held, !is_last);
    }
}
