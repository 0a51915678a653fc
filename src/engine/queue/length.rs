//! How long a queue may get (`x-max-length`, `x-max-length-bytes`): messages that are ready, and
//! the octets of their bodies.

use super::Queue;
use super::dead::DeathReason;
use super::dispatch::{Next, Turn};
use super::lane::Lane;
use crate::message::Message;
use crate::topology::Overflow;

impl Queue {
    /// Whether the queue takes newcomers only as long as it has room, or takes none.
    pub(crate) fn refuses_newcomers(&self) -> bool {
        self.state.is_damaged() || self.rules.refuses_newcomers()
    }

    /// Whether the queue would have more than it may with this message, or takes none.
    pub(crate) fn has_no_room_for(&self, message: &Message) -> bool {
        let octets = self.ready_octets() + message.body().len() as u64;
        self.state.is_damaged() || self.rules.is_over(self.ready() + 1, octets)
    }

    /// Whether the queue would have no more than it may with so many more messages.
    pub(crate) fn has_room_for(&self, messages: u64, octets: u64) -> bool {
        !self.state.is_damaged()
            && !self.rules.is_over(self.ready() + messages, self.ready_octets() + octets)
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
    pub(super) fn drop_excess(&mut self, turn: &mut Turn) -> bool {
        let is_over = self.rules.overflow == Overflow::DropHead
            && !turn.is_full()
            && self.rules.is_over(self.ready(), self.ready_octets());
        match if is_over { self.front() } else { Next::Empty } {
            Next::Present { level, offset, message } => {
                self.leave(level, offset, message, DeathReason::MaxLength, turn);
                true
            }
            Next::Absent { level, offset } => {
                turn.wants_fetch |= self.want(level, offset);
                false
            }
            Next::Empty => false,
        }
    }

    fn ready_octets(&self) -> u64 {
        self.lanes.iter().map(Lane::ready_octets).sum()
    }
}
