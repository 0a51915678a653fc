//! Delayed messages: into their queues when they are due, and from the store shortly before that.

use super::Shard;
use super::traces::Arrival;
use crate::clock_record::ClockRecord;
use crate::limits::{CALENDAR_CHECK_INTERVAL_MS, CALENDAR_JUMP_MS};
use crate::model::{DelayedId, DueClock, Message, Monotonic, Now, QueueId};
use crate::queue::{DelayedRead, Instants};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Delayed messages to be read from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayedFetch {
    /// The queue.
    pub queue: QueueId,
    /// The first one wanted; only those of its clock are.
    pub from: DelayedId,
    /// Bytes of messages after which to stop.
    pub bytes_max: usize,
    /// An operator waits for them.
    pub is_for_request: bool,
}

/// What the store had for a [`DelayedFetch`].
#[derive(Clone, Debug)]
pub struct DelayedFetched {
    /// The queue.
    pub queue: QueueId,
    /// As asked for.
    pub from: DelayedId,
    /// In the order of their identifiers.
    pub messages: Vec<(DelayedId, Message)>,
    /// Nothing lies behind them.
    pub is_end: bool,
    /// As asked for.
    pub is_for_request: bool,
}

/// A [`DelayedFetch`] that the store can't answer, because what it holds is damaged.
#[derive(Clone, Debug)]
pub struct DamagedDelayedFetch {
    /// The queue.
    pub queue: QueueId,
    /// As asked for.
    pub from: DelayedId,
    /// What is damaged, for people.
    pub what: Arc<str>,
}

/// Queues with messages that wait for a time of day. Their timers run by the monotonic clock, so they are
/// set anew when the wall clock jumps.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    queues: BTreeSet<QueueId>,
    /// How far the wall clock was ahead of the steady one when the timers were set, in ms.
    ahead: i128,
    /// When to look at the clock again.
    check_at: Monotonic,
}

impl Calendar {
    pub(super) fn poll_timeout(&self) -> Option<Monotonic> {
        (!self.queues.is_empty()).then_some(self.check_at)
    }

    /// Looks at the clock; whether it has jumped.
    fn check(&mut self, at: Instants) -> bool {
        self.check_at = at.monotonic.plus(CALENDAR_CHECK_INTERVAL_MS);
        let has_jumped = self.ahead.abs_diff(at.ahead()) > u128::from(CALENDAR_JUMP_MS);
        if has_jumped {
            self.ahead = at.ahead();
        }
        has_jumped
    }
}

impl Shard {
    /// What to read from the store of delayed messages.
    pub fn poll_delayed_fetch(&mut self, now: Now) -> Option<DelayedFetch> {
        if let Some(fetch) = self.delayed_requests.reads.pop_front() {
            return Some(fetch);
        }
        let at = self.clock.moment(now);
        while let Some(id) = self.delayed_reads.front().copied() {
            let queue = self.queues.get_mut(&id);
            if let Some(read) = queue.and_then(|queue| queue.poll_delayed_read(at)) {
                let DelayedRead { from, bytes_max } = read;
                return Some(DelayedFetch { queue: id, from, bytes_max, is_for_request: false });
            }
            self.delayed_reads.pop_front();
        }
        None
    }

    /// The store has read delayed messages.
    pub fn handle_delayed_fetched(&mut self, now: Now, fetched: DelayedFetched) {
        let DelayedFetched { queue: id, from, messages, is_end, is_for_request } = fetched;
        let at = self.begin(now);
        if is_for_request {
            self.delayed_request_read(id, from, messages, is_end);
            // When the read is over, the window may be read again.
            self.schedule(id);
        } else if let Some(queue) = self.queues.get_mut(&id) {
            queue.handle_delayed_read(from, messages, is_end);
            queue.account(&mut self.memory);
        }
        // As for pages: what was read is not to be dropped before it is used.
        self.take_turn(id, at);
        self.run_turns(at);
    }

    /// Sets a queue aside because delayed messages of it can't be read. Tells whether it did.
    pub fn handle_damaged_delayed(&mut self, now: Now, damaged: DamagedDelayedFetch) -> bool {
        let DamagedDelayedFetch { queue: id, from, what } = damaged;
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        let is_news = queue.handle_damaged_delayed(from, what);
        if is_news {
            self.set_aside(id);
        }
        let at = self.begin(now);
        self.run_turns(at);
        is_news
    }

    /// The moment of an input. When the wall clock has jumped, that is written down, and the queues that go by
    /// it are looked at.
    pub(super) fn moment(&mut self, now: Now) -> Instants {
        let at = self.clock.moment(now);
        self.spans.set_now(at.wall);
        if self.calendar.check(at) {
            // A restart that did not know of the jump would count it as time that has passed.
            let ahead = i64::try_from(at.ahead_of_elapsed()).unwrap_or_default();
            self.commits.add_deferred_operations([ClockRecord { ahead }.put()], at.monotonic);
            let queues: Vec<QueueId> = self.calendar.queues.iter().copied().collect();
            queues.into_iter().for_each(|id| self.schedule(id));
        }
        at
    }

    /// Puts the messages of a queue that are due into its order.
    pub(super) fn release_due(&mut self, id: QueueId, at: Instants) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let released = queue.take_due(at);
        if queue.awaits_calendar() {
            self.calendar.queues.insert(id);
        } else if !self.calendar.queues.is_empty() {
            self.calendar.queues.remove(&id);
        }
        if !released.is_empty() {
            self.work.spend(released.len());
            self.mark_dirty_deferred(id, at.monotonic);
            let (ids, messages): (Vec<DelayedId>, Vec<Message>) = released.into_iter().unzip();
            self.enqueue(id, messages, Arrival::Due(&ids), false, at);
        }
    }

    /// The queue is gone.
    pub(super) fn forget_delayed(&mut self, id: QueueId) {
        self.calendar.queues.remove(&id);
    }

    /// The store has commits with delayed messages of these queues.
    pub(super) fn delayed_committed(&mut self, changed: Vec<(QueueId, DueClock)>) {
        for (id, clock) in changed {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            queue.handle_delayed_committed(clock);
            queue.account(&mut self.memory);
            self.schedule(id);
        }
    }
}
