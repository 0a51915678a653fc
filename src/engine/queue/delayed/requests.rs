//! Delayed messages as an operator's requests get at them: those in memory, and those that were read from the
//! store for the request.

use super::{Queue, now_on, on_the_wall};
use crate::model::{DelayedId, DueClock, Message, WallClock};
use crate::queue::Instants;

impl Queue {
    /// Whether the store may be read for a request now; then it counts as begun. Only one read of a clock
    /// is under way at a time.
    pub(crate) fn begin_delayed_request(&mut self, clock: DueClock) -> bool {
        self.delayed.as_mut().is_some_and(|delayed| delayed.order_mut(clock).begin_request())
    }

    /// The read is over, and what it showed was taken.
    pub(crate) fn end_delayed_request(&mut self, clock: DueClock) {
        if let Some(delayed) = &mut self.delayed {
            delayed.order_mut(clock).end_read();
        }
    }

    /// Takes out a message that is in memory.
    pub(crate) fn take_delayed(&mut self, id: DelayedId) -> Option<Message> {
        self.delayed.as_mut()?.order_mut(id.clock).take(id)
    }

    /// Takes out a message that was read; whether it was still there.
    pub(crate) fn take_read_delayed(&mut self, id: DelayedId, message: &Message) -> bool {
        let delayed = self.delayed.as_mut();
        delayed.is_some_and(|delayed| delayed.order_mut(id.clock).take_read(id, message))
    }

    /// Those in memory from one on, of its clock, in order.
    pub(crate) fn known_delayed(&self, from: DelayedId) -> Vec<(DelayedId, Message)> {
        let Some(delayed) = &self.delayed else { return Vec::new() };
        let known = delayed.order(from.clock).known_from(from);
        known.map(|(id, message)| (id, message.clone())).collect()
    }

    /// Whether a message that a read showed is gone.
    pub(crate) fn is_delayed_removed(&self, id: DelayedId) -> bool {
        let delayed = self.delayed.as_ref();
        delayed.is_some_and(|delayed| delayed.order(id.clock).is_removed(id))
    }

    /// No message of a clock stands before this one.
    pub(crate) fn first_delayed(&self, clock: DueClock) -> DelayedId {
        let delayed = self.delayed.as_ref();
        let due = delayed.and_then(|delayed| delayed.order(clock).next_due());
        due.map_or(DelayedId::highest(clock), |due| DelayedId { clock, due, sequence: 0 })
    }

    /// Messages that are published from now on have this sequence or a higher one.
    pub(crate) fn next_delayed_sequence(&self, clock: DueClock) -> u64 {
        self.delayed.as_ref().map_or(0, |delayed| delayed.order(clock).next_sequence())
    }
}

/// When a message becomes due, as the wall clock shows it.
pub(crate) fn due_on_the_wall(id: DelayedId, at: Instants) -> WallClock {
    on_the_wall(id, at)
}

/// Where messages of a clock begin that come behind another one in the order of due times, as the wall
/// clock shows them.
pub(crate) fn first_behind(after: DelayedId, clock: DueClock, at: Instants) -> DelayedId {
    if after.clock == clock {
        return after.next();
    }
    let wall = i128::from(on_the_wall(after, at).0);
    let due = wall - i128::from(at.wall.0) + now_on(clock, at);
    // Of two that are due at once that of the lower clock comes first.
    let due = due + i128::from(clock < after.clock);
    let due = WallClock(u64::try_from(due.max(0)).unwrap_or(u64::MAX));
    DelayedId { clock, due, sequence: 0 }
}
