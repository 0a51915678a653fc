//! Futures that wait for the same thing, in the order in which they came.
//!
//! Filled and emptied under the session's lock; woken after it is released. A waiting future keeps
//! its [`Place`] and gives it up when it is dropped, so no place remains of a future that was cancelled. Entering and leaving never scan the others.

use std::{collections::BTreeMap, task::Waker};

/// Where a future stands among the waiting ones; `None` when it does not wait.
pub(crate) type Place = Option<u64>;

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    next: u64,
    /// A task that was woken keeps its place without a waker until it is polled.
    tasks: BTreeMap<u64, Option<Waker>>,
}

impl Waiters {
    /// Enters a future, or renews the waker of one that was entered before.
    pub(crate) fn wait(&mut self, place: &mut Place, waker: &Waker) {
        let at = *place.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        match self.tasks.entry(at).or_default() {
            Some(known) if known.will_wake(waker) => {}
            other => *other = Some(waker.clone()),
        }
    }

    /// The future no longer waits.
    pub(crate) fn leave(&mut self, place: &mut Place) {
        if let Some(at) = place.take() {
            self.tasks.remove(&at);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn wake_all(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.tasks.values_mut().filter_map(Option::take));
    }

    /// Wakes the first future that stands after this place, and returns where it stands.
    pub(crate) fn wake_after(&mut self, place: u64, wakes: &mut Vec<Waker>) -> Place {
        let (at, waker) = self.tasks.range_mut(place + 1..).next()?;
        wakes.extend(waker.take());
        Some(*at)
    }

    /// Wakes the futures up to this place.
    pub(crate) fn wake_through(&mut self, place: u64, wakes: &mut Vec<Waker>) {
        wakes.extend(self.tasks.range_mut(..=place).filter_map(|(_, waker)| waker.take()));
    }
}
