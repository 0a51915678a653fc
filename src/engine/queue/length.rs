//! How long a queue may get (`x-max-length`, `x-max-length-bytes`): messages that are ready, and
//! the bytes of their bodies.

use super::Queue;
use super::dead_letter::DeathReason;
use super::delivery_pass::{DeliveryPass, Next};
use super::level::PriorityLevel;
use crate::model::Message;
use crate::topology::Overflow;

impl Queue {
    /// Whether the queue takes newcomers only as long as it has room, or takes none.
    pub(crate) fn refuses_newcomers(&self) -> bool {
        self.state.is_damaged() || self.rules.refuses_newcomers()
    }

    /// Whether the queue would have more than it may with this message, or takes none.
    pub(crate) fn has_no_room_for(&self, message: &Message) -> bool {
        let bytes = self.ready_bytes() + message.body().len() as u64;
        self.state.is_damaged() || self.rules.is_over(self.ready() + 1, bytes)
    }

    /// Whether the queue would have no more than it may with so many more messages.
    pub(crate) fn has_room_for(&self, messages: u64, bytes: u64) -> bool {
        !self.state.is_damaged()
            && !self.rules.is_over(self.ready() + messages, self.ready_bytes() + bytes)
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

    /// The oldest message leaves when there is more than there may be; whether it did.
    pub(super) fn drop_excess(&mut self, pass: &mut DeliveryPass) -> bool {
        let is_over = self.rules.overflow == Overflow::DropHead
            && !pass.is_full()
            && self.rules.is_over(self.ready(), self.ready_bytes());
        match if is_over { self.front() } else { Next::Empty } {
            Next::Present { priority, offset, message } => {
                self.remove_ready(priority, offset, message, DeathReason::MaxLength, pass);
                true
            }
            Next::Absent { priority, offset } => {
                pass.wants_fetch |= self.want(priority, offset);
                false
            }
            Next::Empty => false,
        }
    }

    fn ready_bytes(&self) -> u64 {
        self.levels.iter().map(PriorityLevel::ready_bytes).sum()
    }
}
