//! How long a queue may get (`x-max-length`, `x-max-length-bytes`): messages that are ready or wait
//! after they came back, and the bytes of their bodies.

use super::Queue;
use super::clock_skew::Instants;
use super::delivery_pass::{DeliveryPass, Next};
use crate::model::{DeathReason, Message};
use crate::topology::Overflow;

impl Queue {
    /// Whether the queue takes newcomers only as long as it has room, or takes none.
    pub(crate) fn refuses_newcomers(&self) -> bool {
        self.state.is_damaged() || self.rules.refuses_newcomers()
    }

    /// Whether the queue would have more than it may with this message, or takes none.
    /// A delayed one takes room when it is due, and then comes in whatever there is.
    pub(crate) fn has_no_room_for(&self, message: &Message) -> bool {
        let bytes = self.limited_bytes() + message.body().len() as u64;
        let is_over = || message.delay().is_none() && self.rules.is_over(self.length() + 1, bytes);
        self.state.is_damaged() || is_over()
    }

    /// Whether the queue would have no more than it may with so many more messages.
    pub(crate) fn has_room_for(&self, messages: u64, bytes: u64) -> bool {
        !self.state.is_damaged()
            && !self.rules.is_over(self.length() + messages, self.limited_bytes() + bytes)
    }

    /// Newcomers were refused together, none of which becomes a dead letter.
    pub(crate) fn count_refused(&mut self, messages: u64) {
        self.counters.refused += messages;
    }

    /// A newcomer was refused; whether it is to become a dead letter.
    pub(crate) fn refuse(&mut self) -> bool {
        self.counters.refused += 1;
        let is_dead_letter = !self.state.is_damaged()
            && self.rules.overflow == Overflow::RejectPublishDlx
            && self.rules.has_destination(DeathReason::MaxLength);
        self.counters.dead_overflowed += u64::from(is_dead_letter);
        is_dead_letter
    }

    /// A dead letter of the queue was dropped.
    pub(crate) fn count_dropped_dead_letter(&mut self) {
        self.counters.dead_dropped += 1;
    }

    /// The first message in the order of the queue leaves when there is more than there may be, ready or
    /// waiting; whether it did.
    pub(super) fn drop_excess(&mut self, at: Instants, pass: &mut DeliveryPass) -> bool {
        let is_over = self.rules.overflow == Overflow::DropHead
            && !pass.is_full()
            && self.rules.is_over(self.length(), self.limited_bytes());
        if is_over && let Some((priority, offset)) = self.parked_front() {
            self.drop_parked(priority, offset, at, pass);
            return true;
        }
        match if is_over { self.front() } else { Next::Empty } {
            Next::Present { priority, offset, message } => {
                let reason = DeathReason::MaxLength;
                self.remove_ready((priority, offset), message, reason, at, pass);
                true
            }
            Next::Absent { priority, offset } => {
                pass.wants_fetch |= self.want(priority, offset);
                false
            }
            Next::Empty | Next::Blocked => false,
        }
    }

    /// Messages that are ready or wait after they came back.
    pub(crate) fn length(&self) -> u64 {
        self.ready() + self.parked()
    }

    fn limited_bytes(&self) -> u64 {
        self.levels.iter().map(|level| level.ready_bytes() + level.parked_bytes()).sum()
    }
}
