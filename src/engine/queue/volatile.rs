//! The messages of a lane that a restart may lose: transient ones, and all of a queue that is not
//! durable. Belongs to a [`super::lane::Lane`].
//!
//! They live in memory until settled. When the shard's budget for them is used up, further ones
//! are spilled: written in pages as if they were to be kept, while the log counts them as settled,
//! so that a restart still drops them.

use super::offset_set::OffsetSet;
use super::pages::compact;
use crate::ids::Offset;
use crate::limits::PAGE_OCTETS_MAX;
use crate::message::Message;
use std::collections::BTreeMap;

/// Unsettled messages that are not to be kept.
#[derive(Debug, Default)]
pub(crate) struct Volatile {
    resident: BTreeMap<Offset, Message>,
    resident_octets: u64,
    spilled: OffsetSet,
    /// Where messages begin that still share the buffers they were received in.
    loose_from: Offset,
    loose_octets: usize,
}

impl Volatile {
    /// How many there are, in flight or not.
    pub(crate) fn count(&self) -> u64 {
        self.resident.len() as u64 + self.spilled.count()
    }

    /// Octets of those in memory.
    pub(crate) fn resident_octets(&self) -> u64 {
        self.resident_octets
    }

    /// Whether the message is one of these.
    pub(crate) fn contains(&self, offset: Offset) -> bool {
        self.resident.contains_key(&offset) || self.spilled.contains(offset)
    }

    /// Whether there are none at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.resident.is_empty() && self.spilled.is_empty()
    }

    /// Adds the lane's newest message.
    pub(crate) fn push(&mut self, offset: Offset, message: Message) {
        self.resident_octets += message.size() as u64;
        self.loose_octets += message.size();
        self.resident.insert(offset, message);
        if self.loose_octets >= PAGE_OCTETS_MAX {
            self.settle_down();
        }
    }

    /// Adds the lane's newest message, whose content goes into a page.
    pub(crate) fn push_spilled(&mut self, offset: Offset) {
        self.spilled.insert(offset, offset);
    }

    /// The message, when it is in memory.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Message> {
        self.resident.get(&offset)
    }

    /// The lowest offset not below `from`.
    pub(crate) fn next(&self, from: Offset) -> Option<Offset> {
        let resident = self.resident.range(from..).next().map(|(offset, _)| *offset);
        match (resident, self.spilled.next_present(from)) {
            (Some(resident), Some(spilled)) => Some(resident.min(spilled)),
            (resident, spilled) => resident.or(spilled),
        }
    }

    /// The lowest offset not below `from` whose message stands, or will stand, in a page.
    pub(crate) fn next_spilled(&self, from: Offset) -> Option<Offset> {
        self.spilled.next_present(from)
    }

    /// How many of `first..end` stand in a page.
    pub(crate) fn spilled_in(&self, first: Offset, end: Offset) -> u64 {
        end.0.checked_sub(1).map_or(0, |last| self.spilled.count_in(first, Offset(last)))
    }

    /// Whether the message stands in a page.
    pub(crate) fn is_spilled(&self, offset: Offset) -> bool {
        self.spilled.contains(offset)
    }

    /// Settles one; whether it was here.
    pub(crate) fn remove(&mut self, offset: Offset) -> bool {
        if let Some(message) = self.resident.remove(&offset) {
            self.resident_octets -= message.size() as u64;
            return true;
        }
        let is_spilled = self.spilled.contains(offset);
        self.spilled.remove(offset, offset);
        is_spilled
    }

    /// The offsets of all, ascending within memory and within the spilled.
    pub(crate) fn offsets(&self) -> Vec<Offset> {
        let spilled = self.spilled.runs_in(Offset(0), Offset(u64::MAX - 1));
        let spilled = spilled.flat_map(|(first, last)| (first.0..=last.0).map(Offset));
        self.resident.keys().copied().chain(spilled).collect()
    }

    /// Copies what has stayed since the last time out of the receive buffers.
    fn settle_down(&mut self) {
        let from = self.loose_from;
        let copies = compact(self.resident.range(from..).map(|(_, message)| message));
        for ((offset, message), copy) in self.resident.range_mut(from..).zip(copies) {
            *message = copy;
            self.loose_from = offset.next();
        }
        self.loose_octets = 0;
    }
}
