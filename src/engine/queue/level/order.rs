//! The order in which the ready messages of a level are delivered: the lowest first, whether it is
//! ahead of the cursor or came back. What waits behind another message of its group is passed over, and
//! keeps its place for all that is not a delivery.

use super::PriorityLevel;
use crate::model::Offset;

impl PriorityLevel {
    /// The message that is to be delivered next.
    pub(crate) fn next_ready(&self) -> Option<Offset> {
        let ahead = self.next_live(self.states.cursor());
        match (self.states.returned().first(), ahead) {
            (Some(returned), Some(ahead)) => Some(returned.min(ahead)),
            (returned, ahead) => returned.or(ahead),
        }
    }

    /// The lowest ready message, whether it is to be delivered next or waits behind another one of its group.
    pub(crate) fn first_ready(&self) -> Option<Offset> {
        let blocked = self.states.blocked_offsets().first();
        self.next_ready().into_iter().chain(blocked).min()
    }

    /// The lowest ready message that is not below `from`.
    pub(crate) fn next_ready_from(&self, from: Offset) -> Option<Offset> {
        let ahead = self.next_live(from.max(self.states.cursor()));
        let sets = [self.states.returned(), self.states.blocked_offsets()];
        sets.into_iter().filter_map(|set| set.next_present(from)).chain(ahead).min()
    }

    /// The first and the last offset between which its ready messages stand.
    pub(crate) fn extent(&self) -> Option<(Offset, Offset)> {
        let first = self.first_ready()?;
        Some((first, Offset(self.settled.tail().0.checked_sub(1)?)))
    }

    /// Takes a ready message that no earlier one ahead of the cursor stands before out of the order.
    pub(crate) fn take(&mut self, offset: Offset) {
        if self.states.take_ready(offset) {
            self.overdue.end_claims(offset);
        }
    }

    /// Settles a ready message anywhere in the order. Returns whether the store has to learn of it.
    pub(crate) fn remove_at(&mut self, offset: Offset, size: u32) -> bool {
        self.states.remove_ready(offset);
        self.overdue.end_claims(offset);
        self.settle([(offset, size)])
    }
}
