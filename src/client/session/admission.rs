//! The order of publishing: the futures that wait for room in a publisher, first come, first served.
//!
//! Owned by a publisher's channel inside the session. Room is granted to the futures at the front of
//! the queue, as many as there is room for; a granted future that is dropped passes its grant on.
//! No future overtakes: one without a place is admitted only while none waits for a grant.
//!
//! Invariant: while futures wait without a grant, either the room is granted to others, or a confirm
//! is due, or the channel is not ready; each of these ends with a call of [`Admission::grant`].

use std::task::Waker;

use crate::session::waiters::{Place, Waiters};

#[derive(Debug, Default)]
pub(crate) struct Admission {
    waiters: Waiters,
    /// The last place that was granted; grants are always the front of the queue.
    granted_through: u64,
    granted: usize,
}

impl Admission {
    /// Whether the future may send, when `room` messages more may be sent by all together.
    pub(crate) fn admits(&self, place: Place, room: usize) -> bool {
        match place {
            Some(at) => at <= self.granted_through,
            None => self.waiters.len() == self.granted && self.granted < room,
        }
    }

    pub(crate) fn wait(&mut self, place: &mut Place, waker: &Waker) {
        self.waiters.wait(place, waker);
    }

    /// The future has sent its message or was dropped. Without a message sent, the caller grants
    /// the room to the next one.
    pub(crate) fn leave(&mut self, place: &mut Place) {
        if place.is_some_and(|at| at <= self.granted_through) {
            self.granted -= 1;
        }
        self.waiters.leave(place);
    }

    /// Admits futures from the front as far as the room goes.
    pub(crate) fn grant(&mut self, room: usize, wakes: &mut Vec<Waker>) {
        while self.granted < room {
            let Some(at) = self.waiters.wake_after(self.granted_through, wakes) else { return };
            self.granted_through = at;
            self.granted += 1;
        }
    }

    /// Wakes the futures that were granted room and found something else in the way.
    pub(crate) fn wake_granted(&mut self, wakes: &mut Vec<Waker>) {
        self.waiters.wake_through(self.granted_through, wakes);
    }

    /// Wakes all futures, to learn that the connection is closed.
    pub(crate) fn wake_all(&mut self, wakes: &mut Vec<Waker>) {
        self.waiters.wake_all(wakes);
    }

    pub(crate) fn has_waiting(&self) -> bool {
        self.waiters.len() > self.granted
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::Wake,
    };

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A new future asks to send one message.
        Come,
        /// One of the waiting futures is polled, woken or not.
        Poll(usize),
        /// One of the waiting futures is dropped.
        Drop(usize),
        /// A message is confirmed.
        Confirm,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Come),
            3 => (0..8_usize).prop_map(Step::Poll),
            2 => (0..8_usize).prop_map(Step::Drop),
            3 => Just(Step::Confirm),
        ]
    }

    struct Future {
        number: usize,
        place: Place,
        flag: Arc<Flag>,
    }

    struct Model {
        admission: Admission,
        unsettled: usize,
        limit: usize,
        sent: Vec<usize>,
        waiting: Vec<Future>,
    }

    impl Model {
        fn grant(&mut self) {
            let mut wakes = Vec::new();
            self.admission.grant(self.limit - self.unsettled, &mut wakes);
            wakes.into_iter().for_each(Waker::wake);
        }

        /// True when it has sent its message.
        fn poll(&mut self, future: &mut Future) -> bool {
            future.flag.0.store(false, Ordering::Relaxed);
            if self.admission.admits(future.place, self.limit - self.unsettled) {
                self.admission.leave(&mut future.place);
                self.unsettled += 1;
                self.sent.push(future.number);
                return true;
            }
            self.admission.wait(&mut future.place, &Arc::clone(&future.flag).into());
            false
        }
    }

    proptest! {
        /// The naive model: a list. Futures send in the order in which they came, never more than
        /// the limit is unsettled, no place remains of a future that was dropped, and each that may send
        /// was woken.
        #[test]
        fn first_come_first_served(
            limit in 1..4_usize,
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let mut model = Model {
                admission: Admission::default(),
                unsettled: 0,
                limit,
                sent: Vec::new(),
                waiting: Vec::new(),
            };
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Come => {
                        let mut future = Future { number, place: None, flag: Arc::default() };
                        if !model.poll(&mut future) {
                            model.waiting.push(future);
                        } else {
                            let granted = model.admission.granted;
                            prop_assert_eq!(model.waiting.len(), granted, "overtaken");
                        }
                    }
                    Step::Poll(at) if at < model.waiting.len() => {
                        let mut future = model.waiting.remove(at);
                        if !model.poll(&mut future) {
                            model.waiting.insert(at, future);
                        }
                    }
                    Step::Drop(at) if at < model.waiting.len() => {
                        let mut future = model.waiting.remove(at);
                        model.admission.leave(&mut future.place);
                        model.grant();
                    }
                    Step::Confirm if model.unsettled > 0 => {
                        model.unsettled -= 1;
                        model.grant();
                    }
                    _ => {}
                }
                prop_assert!(model.unsettled + model.admission.granted <= limit);
                prop_assert_eq!(model.admission.waiters.len(), model.waiting.len());
                let free = limit - model.unsettled;
                for future in model.waiting.iter().take(free) {
                    prop_assert!(
                        future.flag.0.load(Ordering::Relaxed)
                            || model.admission.admits(future.place, free),
                        "a future that may send sleeps"
                    );
                }
            }
            // All that is left is woken and polled in any order until everything is sent.
            let mut left = std::mem::take(&mut model.waiting);
            while !left.is_empty() {
                if model.unsettled > 0 {
                    model.unsettled -= 1;
                    model.grant();
                }
                left.retain_mut(|future| !model.poll(future));
            }
        }
    }
}
