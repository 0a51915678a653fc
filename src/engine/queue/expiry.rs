//! What time does to a queue: messages expire at its head, and an unused queue ends.
//!
//! Only the message at the head of each lane is looked at, as in RabbitMQ: one that is overdue
//! further back leaves when it gets there. No message has a timer of its own.

use super::Queue;
use super::age::Moment;
use super::dead::DeathReason;
use super::dispatch::Turn;
use super::lane::{Head, Lane, MessageTimes};
use super::rules::Rules;
use crate::ids::Offset;
use crate::message::Message;
use crate::page::ExpiryBounds;
use crate::time::Monotonic;

/// When the message at `offset`, of which only bounds are known, is too old at the earliest; `None`: never.
fn earliest_deadline(
    at: Moment,
    rules: &Rules,
    lane: &Lane,
    offset: Offset,
    bounds: ExpiryBounds,
) -> Option<i128> {
    let (published_at, expiration) = (bounds.published_from, bounds.expiration_min);
    deadline(at, rules, lane, MessageTimes { offset, published_at, expiration })
}

/// When a message is too old, on the steady clock in ms. One that may not wait at all is too old at
/// once, however the two clocks' milliseconds lie to one another.
fn deadline(at: Moment, rules: &Rules, lane: &Lane, times: MessageTimes) -> Option<i128> {
    let ttl = match (rules.message_ttl, times.expiration) {
        (Some(queue), Some(own)) => queue.min(own),
        (queue, own) => queue.or(own)?,
    };
    if ttl == 0 {
        return Some(i128::MIN);
    }
    Some(lane.lives_since(times.offset, times.published_at, at) + i128::from(ttl))
}

/// How long it is from now until then, in ms.
fn wait_until(due: i128, at: Moment) -> u64 {
    u64::try_from(due - at.steady).unwrap_or(u64::MAX)
}

impl Queue {
    /// Whether a message was there in an earlier turn and is too old now. A newcomer is first
    /// offered to consumers, however short its time to live.
    pub(super) fn is_seen_and_expired(
        &self,
        at: Moment,
        level: usize,
        offset: Offset,
        message: &Message,
    ) -> bool {
        let Some(lane) = self.lanes.get(level) else { return false };
        lane.is_seen(offset)
            && deadline(at, &self.rules, lane, MessageTimes::of(offset, message))
                .is_some_and(|due| due <= at.steady)
    }

    /// The heads of all lanes that are too old leave, and so does what may go out of the order because
    /// of a quarantine. Whether that is all: some may have to be fetched first.
    pub(super) fn expire_heads(&mut self, at: Moment, turn: &mut Turn) -> bool {
        self.head_deadline = None;
        let mut is_all = true;
        for level in 0..self.lanes.len() {
            is_all &= self.expire_head(level, Head::Ready, at, turn);
            if self.lanes.get(level).is_some_and(Lane::has_quarantined) {
                is_all &= self.expire_head(level, Head::Unquarantined, at, turn);
                is_all &= self.expire_head(level, Head::Quarantined, at, turn);
            }
        }
        is_all
    }

    fn expire_head(&mut self, level: usize, head: Head, at: Moment, turn: &mut Turn) -> bool {
        while let Some(lane) = self.lanes.get_mut(level)
            && (self.rules.message_ttl.is_some() || lane.has_expirations())
            && let Some(offset) = lane.head(head)
        {
            let Some(times) = lane.head_times(head) else {
                if let Some(bounds) = lane.recovered_bounds(offset) {
                    match earliest_deadline(at, &self.rules, lane, offset, bounds) {
                        None => break,
                        Some(due) if due > at.steady => {
                            self.wake_for_head(at.monotonic.plus(wait_until(due, at)));
                            break;
                        }
                        Some(_) => {}
                    }
                }
                turn.wants_fetch |= lane.want_page(offset);
                return false;
            };
            let Some(due) = deadline(at, &self.rules, lane, times) else { break };
            if due > at.steady {
                self.wake_for_head(at.monotonic.plus(wait_until(due, at)));
                break;
            }
            if turn.is_full() {
                return false;
            }
            let Some(message) = lane.content(offset).cloned() else {
                turn.wants_fetch |= lane.want(offset);
                return false;
            };
            self.leave(level, offset, message, DeathReason::Expired, turn);
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
        let times = [self.head_deadline, self.unused_until(), self.overdue_at, self.quarantine_at];
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
