//! What time does to a queue: messages expire at its head, and an unused queue ends.
//!
//! Only the message at the head of each level is looked at, as in RabbitMQ: one that is overdue
//! further back leaves when it gets there. No message has a timer of its own.

use super::Queue;
use super::clock_skew::Instants;
use super::delivery_pass::DeliveryPass;
use super::level::{Head, MessageTimes, PriorityLevel};
use super::rules::Rules;
use crate::model::{DeathReason, Message, Monotonic, Offset};
use crate::page::ExpiryBounds;

/// When the message at `offset`, of which only bounds are known, is too old at the earliest; `None`: never.
fn earliest_deadline(
    at: Instants,
    rules: &Rules,
    level: &PriorityLevel,
    offset: Offset,
    bounds: ExpiryBounds,
) -> Option<i128> {
    let (published_at, expiration) = (bounds.published_from, bounds.expiration_min);
    deadline(at, rules, level, MessageTimes { offset, published_at, expiration })
}

/// When a message is too old, on the steady clock in ms. One that may not wait at all is too old at
/// once, however the two clocks' milliseconds lie to one another.
fn deadline(
    at: Instants,
    rules: &Rules,
    level: &PriorityLevel,
    times: MessageTimes,
) -> Option<i128> {
    let ttl = match (rules.message_ttl, times.expiration) {
        (Some(queue), Some(own)) => queue.min(own),
        (queue, own) => queue.or(own)?,
    };
    if ttl == 0 {
        return Some(i128::MIN);
    }
    Some(level.ttl_start(times.offset, times.published_at, at) + i128::from(ttl))
}

/// How long it is from now until then, in ms.
fn wait_until(due: i128, at: Instants) -> u64 {
    u64::try_from(due - at.steady).unwrap_or(u64::MAX)
}

impl Queue {
    /// Whether a message was there in an earlier turn and is too old now. A newcomer is first
    /// offered to consumers, however short its time to live.
    pub(super) fn is_seen_and_expired(
        &self,
        at: Instants,
        priority: usize,
        offset: Offset,
        message: &Message,
    ) -> bool {
        let Some(level) = self.levels.get(priority) else { return false };
        level.is_seen(offset)
            && deadline(at, &self.rules, level, MessageTimes::of(offset, message))
                .is_some_and(|due| due <= at.steady)
    }

    /// The heads of all levels that are too old leave, and so does what may go out of the order because
    /// of a quarantine. Whether that is all: some may have to be fetched first.
    pub(super) fn expire_heads(&mut self, at: Instants, pass: &mut DeliveryPass) -> bool {
        self.head_deadline = None;
        let mut is_all = true;
        for priority in 0..self.levels.len() {
            is_all &= self.expire_head(priority, Head::Ready, at, pass);
            if self.levels.get(priority).is_some_and(PriorityLevel::has_quarantined) {
                is_all &= self.expire_head(priority, Head::Unquarantined, at, pass);
                is_all &= self.expire_head(priority, Head::Quarantined, at, pass);
            }
        }
        is_all
    }

    fn expire_head(
        &mut self,
        priority: usize,
        head: Head,
        at: Instants,
        pass: &mut DeliveryPass,
    ) -> bool {
        while let Some(level) = self.levels.get_mut(priority)
            && (self.rules.message_ttl.is_some() || level.has_expirations())
            && let Some(offset) = level.head(head)
        {
            let Some(times) = level.head_times(head) else {
                if let Some(bounds) = level.recovered_bounds(offset) {
                    match earliest_deadline(at, &self.rules, level, offset, bounds) {
                        None => break,
                        Some(due) if due > at.steady => {
                            self.wake_for_head(at.monotonic.plus(wait_until(due, at)));
                            break;
                        }
                        Some(_) => {}
                    }
                }
                pass.wants_fetch |= level.want_page(offset);
                return false;
            };
            let Some(due) = deadline(at, &self.rules, level, times) else { break };
            if due > at.steady {
                self.wake_for_head(at.monotonic.plus(wait_until(due, at)));
                break;
            }
            if pass.is_full() {
                return false;
            }
            let Some(message) = level.content(offset).cloned() else {
                pass.wants_fetch |= level.want(offset);
                return false;
            };
            self.remove_ready((priority, offset), message, DeathReason::Expired, at, pass);
        }
        true
    }

    /// Somebody uses the queue.
    pub(crate) fn used(&mut self, at: Monotonic) {
        self.used_at = Some(at);
    }

    /// Whether nobody has used it for `x-expires`.
    pub(super) fn is_unused_for_too_long(&self, at: Monotonic) -> bool {
        self.unused_until().is_some_and(|end| end <= at)
    }

    /// When the queue wants a turn at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        if self.state.is_damaged() {
            return None;
        }
        let times = [
            self.head_deadline,
            self.unused_until(),
            self.overdue_at,
            self.quarantine_at,
            self.parked_until,
            self.delayed_at,
            self.dedup.poll_timeout(),
            self.limits.poll_timeout(),
        ];
        times.into_iter().flatten().min()
    }

    fn unused_until(&self) -> Option<Monotonic> {
        let expires = self.rules.expires.filter(|_| self.consumers.count() == 0)?;
        Some(self.used_at?.plus(expires))
    }

    fn wake_for_head(&mut self, at: Monotonic) {
        self.head_deadline = Some(self.head_deadline.map_or(at, |other| other.min(at)));
    }
}
