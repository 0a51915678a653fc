//! The messages of a lane that a restart may lose: transient ones, and all of a queue that is not
//! durable. Belongs to a [`super::lane::Lane`].
//!
//! They live in memory until settled. When the shard's budget for them is used up, further ones
//! never come here: they are stored like those that are to be kept.

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
    body_octets: u64,
    /// Where messages begin that still share the buffers they were received in.
    loose_from: Offset,
    loose_octets: usize,
}

impl Volatile {
    /// How many there are, in flight or not.
    pub(crate) fn count(&self) -> u64 {
        self.resident.len() as u64
    }

    /// Octets of those in memory.
    pub(crate) fn resident_octets(&self) -> u64 {
        self.resident_octets
    }

    /// Octets of their bodies.
    pub(crate) fn body_octets(&self) -> u64 {
        self.body_octets
    }

    /// Whether the message is one of these.
    pub(crate) fn contains(&self, offset: Offset) -> bool {
        self.resident.contains_key(&offset)
    }

    /// Whether there are none at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.resident.is_empty()
    }

    /// Adds the lane's newest message.
    pub(crate) fn push(&mut self, offset: Offset, message: Message) {
        self.resident_octets += message.size() as u64;
        self.body_octets += message.body().len() as u64;
        self.loose_octets += message.size();
        self.resident.insert(offset, message);
        if self.loose_octets >= PAGE_OCTETS_MAX {
            self.settle_down();
        }
    }

    /// The message, when it is in memory.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Message> {
        self.resident.get(&offset)
    }

    /// The lowest offset not below `from`.
    pub(crate) fn next(&self, from: Offset) -> Option<Offset> {
        self.resident.range(from..).next().map(|(offset, _)| *offset)
    }

    /// Settles one; whether it was here.
    pub(crate) fn remove(&mut self, offset: Offset) -> bool {
        let Some(message) = self.resident.remove(&offset) else { return false };
        self.resident_octets -= message.size() as u64;
        self.body_octets -= message.body().len() as u64;
        true
    }

    /// The offsets of all, ascending.
    pub(crate) fn offsets(&self) -> Vec<Offset> {
        self.resident.keys().copied().collect()
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
