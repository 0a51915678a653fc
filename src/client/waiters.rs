//! Tasks that wait for the same thing.
//!
//! Filled and emptied under the session's lock; woken after it is released.

use std::task::Waker;

#[derive(Debug, Default)]
pub(crate) struct Waiters(Vec<Waker>);

impl Waiters {
    /// A task that is polled again before it was woken is not entered twice.
    pub(crate) fn push(&mut self, waker: &Waker) {
        if !self.0.iter().any(|known| known.will_wake(waker)) {
            self.0.push(waker.clone());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn move_to(&mut self, wakes: &mut Vec<Waker>) {
        wakes.append(&mut self.0);
    }
}
