//! Messages of a level that are delivered alone, and the order in which they and the others go.

use super::PriorityLevel;
use crate::credit::ChannelSlot;
use crate::model::Offset;

impl PriorityLevel {
    /// The message is to be delivered alone: its failure in company told nothing.
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

    /// A client had the message in its hands for long enough, when it has it still.
    pub(crate) fn survived(&mut self, channel: ChannelSlot, offset: Offset) {
        if self.in_flight.is_held(offset, channel) {
            self.quarantine.release(offset);
        }
    }

    /// The message that is to be delivered alone next. What was never delivered is not quarantined.
    pub(crate) fn next_quarantined(&self) -> Option<Offset> {
        self.quarantine.next(&self.returned)
    }

    /// The message that is to be delivered next when quarantined ones have to wait.
    pub(crate) fn next_unquarantined(&self) -> Option<Offset> {
        if !self.has_quarantined() {
            return self.next_ready();
        }
        let returned = self.quarantine.next_outside(&self.returned);
        returned.into_iter().chain(self.next_live(self.cursor)).min()
    }
}
