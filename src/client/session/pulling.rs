//! What `basic.get` brought to one puller.
//!
//! Owned by the puller's channel inside the session. A message that comes waits here, not in the
//! future that asked for it: a future that is dropped before it took its message leaves it to the
//! next one, and when no future asks any more and the program holds no other delivery, it goes back
//! to the queue without counting as a failed delivery.

use std::collections::VecDeque;

use crate::{session::inbox::Delivered, session::unsettled::Unsettled};

#[derive(Debug, Default)]
pub(crate) struct Pulling {
    pub(crate) unsettled: Unsettled,
    /// Came and was not taken yet, in the order of the queue.
    arrived: VecDeque<Delivered>,
    /// Futures of `Puller::get` that live.
    asking: usize,
}

impl Pulling {
    pub(crate) fn push(&mut self, delivered: Delivered) {
        self.unsettled.push(delivered.tag);
        self.arrived.push_back(delivered);
    }

    pub(crate) fn take(&mut self) -> Option<Delivered> {
        self.arrived.pop_front()
    }

    /// A future begins to ask.
    pub(crate) fn begin(&mut self) {
        self.asking += 1;
    }

    /// It has its answer, or was dropped.
    pub(crate) fn end(&mut self) {
        self.asking -= 1;
    }

    /// Whether all that the broker waits for are messages that no future asks for. `basic.recover` returns
    /// everything, so it may not be sent while the program holds a delivery.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.asking == 0 && !self.arrived.is_empty() && self.arrived.len() == self.unsettled.open()
    }

    /// Everything is the broker's again.
    pub(crate) fn clear(&mut self) {
        self.unsettled.clear();
        self.arrived.clear();
    }
}
