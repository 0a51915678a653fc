//! Messages of a queue that are not due yet. They stand outside of the queue's order: nobody is sent them,
//! no length limit counts them and they do not age. When one is due it comes into the order as if it were
//! published then. Belongs to a [`Queue`](crate::queue::Queue).
//!
//! There is an order for each [`DueClock`]: time that passes, and time of day.

mod order;
mod requests;

pub(crate) use order::DelayedChanges;
use order::DelayedOrder;
pub(crate) use requests::{due_on_the_wall, first_behind};

use super::Queue;
use super::clock_skew::Instants;
use crate::limits::TURN_RELEASES_MAX;
use crate::model::{DelayedId, DueClock, Message, Monotonic, WallClock};
use crate::operation::{Operation, RecoveredDelayed};
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) struct Delayed {
    elapsed: DelayedOrder,
    calendar: DelayedOrder,
}

/// Content to be read from the store, for a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DelayedRead {
    /// The first one wanted.
    pub(crate) from: DelayedId,
    /// Bytes of messages after which to stop.
    pub(crate) bytes_max: usize,
}

/// What the time is on a clock.
fn now_on(clock: DueClock, at: Instants) -> i128 {
    match clock {
        DueClock::Elapsed => at.elapsed,
        DueClock::Calendar => i128::from(at.wall.0),
    }
}

/// A time of one clock as the wall clock shows it.
fn on_the_wall(id: DelayedId, at: Instants) -> WallClock {
    match id.clock {
        DueClock::Elapsed => {
            let wall = i128::from(id.due.0) + at.ahead_of_elapsed();
            WallClock(u64::try_from(wall.max(0)).unwrap_or(u64::MAX))
        }
        DueClock::Calendar => id.due,
    }
}

impl Delayed {
    fn new() -> Self {
        Self {
            elapsed: DelayedOrder::new(DueClock::Elapsed),
            calendar: DelayedOrder::new(DueClock::Calendar),
        }
    }

    fn order(&self, clock: DueClock) -> &DelayedOrder {
        match clock {
            DueClock::Elapsed => &self.elapsed,
            DueClock::Calendar => &self.calendar,
        }
    }

    fn order_mut(&mut self, clock: DueClock) -> &mut DelayedOrder {
        match clock {
            DueClock::Elapsed => &mut self.elapsed,
            DueClock::Calendar => &mut self.calendar,
        }
    }

    fn orders(&self) -> [&DelayedOrder; 2] {
        [&self.elapsed, &self.calendar]
    }

    pub(super) fn count(&self) -> u64 {
        self.orders().map(DelayedOrder::count).iter().sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.orders().map(DelayedOrder::bytes).iter().sum()
    }

    pub(super) fn unwritten_bytes(&self) -> u64 {
        self.orders().map(DelayedOrder::unwritten_bytes).iter().sum()
    }

    pub(super) fn stored_cost(&self) -> u64 {
        self.orders().map(DelayedOrder::stored_cost).iter().sum()
    }

    /// When the first one is due, as the wall clock shows it; or a little earlier, while that is not known.
    pub(super) fn next_due(&self, at: Instants) -> Option<WallClock> {
        let of_clock = |clock| {
            let due = self.order(clock).next_due()?;
            Some(on_the_wall(DelayedId { clock, due, sequence: 0 }, at))
        };
        DueClock::ALL.into_iter().filter_map(of_clock).min()
    }

    /// Drops content that the store has too until so many bytes are freed; how many were.
    pub(super) fn evict(&mut self, bytes: u64) -> u64 {
        let freed = self.elapsed.evict(bytes);
        if freed < bytes { freed + self.calendar.evict(bytes - freed) } else { freed }
    }

    fn wake_at(&self, at: Instants) -> Option<Monotonic> {
        let of_clock = |clock| {
            let wait = (self.order(clock).wake_at()? - now_on(clock, at)).max(0);
            Some(at.monotonic.plus(u64::try_from(wait).unwrap_or(u64::MAX)))
        };
        DueClock::ALL.into_iter().filter_map(of_clock).min()
    }
}

impl Queue {
    /// Takes delayed messages that the store holds.
    pub(crate) fn recover_delayed(&mut self, recovered: &RecoveredDelayed) {
        self.is_stored = true;
        let delayed = self.delayed.get_or_insert_with(|| Box::new(Delayed::new()));
        delayed.order_mut(recovered.clock).recover(recovered.state);
    }

    /// Keeps a message back that is not due yet, and returns how it is named then; gives it back, to be put
    /// into the order, when it is due.
    pub(super) fn delay(&mut self, message: Message, at: Instants) -> Result<Message, DelayedId> {
        let Some((clock, due)) = message.delay() else { return Ok(message) };
        let on_clock = match clock {
            DueClock::Elapsed => i128::from(due.0) - at.ahead_of_elapsed(),
            DueClock::Calendar => i128::from(due.0),
        };
        if on_clock <= now_on(clock, at) {
            return Ok(message.released(due.min(at.wall)));
        }
        let delayed = self.delayed.get_or_insert_with(|| Box::new(Delayed::new()));
        let due = WallClock(u64::try_from(on_clock).unwrap_or(u64::MAX));
        Err(delayed.order_mut(clock).add(due, message))
    }

    /// Takes out what is due, at most [`TURN_RELEASES_MAX`] messages: they come into the order now.
    pub(crate) fn take_due(&mut self, at: Instants) -> Vec<(DelayedId, Message)> {
        let Some(delayed) = self.delayed.as_mut().filter(|_| !self.state.is_damaged()) else {
            return Vec::new();
        };
        let mut released = Vec::new();
        for clock in DueClock::ALL {
            let order = delayed.order_mut(clock);
            while released.len() < TURN_RELEASES_MAX
                && let Some((id, message)) = order.pop_due(now_on(clock, at))
            {
                released.push((id, message.released(on_the_wall(id, at))));
            }
        }
        released
    }

    /// Notes when it wants its next turn for the sake of delayed messages. Whether the store is to be
    /// read before that.
    pub(crate) fn plan_releases(&mut self, at: Instants) -> bool {
        let Some(delayed) = self.delayed.as_ref().filter(|_| !self.state.is_damaged()) else {
            self.delayed_at = None;
            return false;
        };
        self.delayed_at = delayed.wake_at(at);
        DueClock::ALL.into_iter().any(|clock| delayed.order(clock).wants_window(now_on(clock, at)))
    }

    /// What to read from the store.
    pub(crate) fn poll_delayed_read(&mut self, at: Instants) -> Option<DelayedRead> {
        let delayed = self.delayed.as_mut().filter(|_| !self.state.is_damaged())?;
        DueClock::ALL.into_iter().find_map(|clock| {
            let order = delayed.order_mut(clock);
            let is_wanted = order.wants_window(now_on(clock, at));
            let (from, bytes_max) = is_wanted.then(|| order.begin_window()).flatten()?;
            Some(DelayedRead { from, bytes_max })
        })
    }

    /// Takes what the store had, from `from` on, up to its end or not.
    pub(crate) fn handle_delayed_read(
        &mut self,
        from: DelayedId,
        messages: Vec<(DelayedId, Message)>,
        is_end: bool,
    ) {
        if let Some(delayed) = &mut self.delayed {
            delayed.order_mut(from.clock).handle_window(messages, is_end);
        }
    }

    /// Delayed messages can't be read. Whether the queue is set aside because of it: not when it is already.
    pub(crate) fn handle_damaged_delayed(&mut self, from: DelayedId, what: Arc<str>) -> bool {
        if let Some(delayed) = &mut self.delayed {
            delayed.order_mut(from.clock).end_read();
        }
        let is_news = !self.state.is_damaged();
        if is_news {
            self.set_damaged(what);
        }
        is_news
    }

    /// Whether some wait for a time of day.
    pub(crate) fn awaits_calendar(&self) -> bool {
        self.delayed.as_ref().is_some_and(|delayed| delayed.calendar.count() > 0)
    }

    /// Messages that are not due yet.
    pub(crate) fn delayed_count(&self) -> u64 {
        self.delayed.as_ref().map_or(0, |delayed| delayed.count())
    }

    /// Adds what the store has to learn of delayed messages.
    pub(crate) fn take_delayed_commit(
        &mut self,
        operations: &mut Vec<Operation>,
    ) -> Vec<(DueClock, DelayedChanges)> {
        let Some(delayed) = &mut self.delayed else { return Vec::new() };
        let mut changed = Vec::new();
        for clock in DueClock::ALL {
            let changes = delayed.order_mut(clock).take_commit(self.id, operations);
            if changes.is_any {
                self.is_stored = true;
                changed.push((clock, changes));
            }
        }
        changed
    }

    /// The store has the oldest commit under way with delayed messages of this clock.
    pub(crate) fn handle_delayed_committed(&mut self, clock: DueClock) {
        if let Some(delayed) = &mut self.delayed {
            delayed.order_mut(clock).handle_committed();
        }
    }
}
