//! Messages of a level that are delivered alone, and the order in which they and the others go.

use super::PriorityLevel;
use crate::credit::ChannelSlot;
use crate::model::Offset;

impl PriorityLevel {
    /// The message is to be delivered alone: it failed in company, and may not be the cause.
    pub(crate) fn quarantine(&mut self, offset: Offset) {
        self.quarantine.insert(offset);
    }

    /// Whether the message is to be delivered alone.
    pub(crate) fn is_quarantined(&self, offset: Offset) -> bool {
        self.quarantine.contains(offset)
    }

    /// Whether any message is to be delivered alone, ready or held.
    pub(crate) fn has_quarantined(&self) -> bool {
        !self.quarantine.is_empty()
    }

    /// A client held the message for long enough, if it still holds it: the message leaves quarantine.
    pub(crate) fn survived(&mut self, channel: ChannelSlot, offset: Offset) {
        if self.states.is_held_by(offset, channel) {
            self.quarantine.survived(offset);
        }
    }

    /// The message that is to be delivered alone next. One ahead of the cursor is never quarantined.
    pub(crate) fn next_quarantined(&self) -> Option<Offset> {
        self.quarantine.next(self.states.returned())
    }

    /// The message that is to be delivered next when quarantined ones have to wait.
    pub(crate) fn next_unquarantined(&self) -> Option<Offset> {
        if !self.has_quarantined() {
            return self.next_ready();
        }
        let returned = self.quarantine.next_outside(self.states.returned());
        returned.into_iter().chain(self.next_live(self.states.cursor())).min()
    }

    /// The lowest message that is not quarantined, whether it is to be delivered next or waits behind another
    /// one of its group.
    pub(crate) fn first_unquarantined(&self) -> Option<Offset> {
        let blocked = self.states.blocked_offsets().first();
        self.next_unquarantined().into_iter().chain(blocked).min()
    }
}
