//! Messages that remove_ready a queue other than by acknowledgement: why, and where they go.
//!
//! The queue names the message and the reason; the shard finds the destination and puts the copy
//! there before the next commit, which therefore holds both the copy and the end of the original:
//! after a crash there is exactly one of them.

use super::offset_set::OffsetSet;
use crate::model::{Message, Offset};
use std::collections::BTreeMap;

/// Why a message became a dead letter (`reason` in `x-death`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeathReason {
    /// A consumer refused it for good.
    Rejected,
    /// Its time to live passed.
    Expired,
    /// The queue was full.
    MaxLength,
    /// Too many deliveries failed.
    DeliveryLimit,
}

impl DeathReason {
    /// As RabbitMQ writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }

    /// Whether no client had a hand in it: a message that goes round in circles for such reasons
    /// alone would do so for ever.
    pub(crate) const fn is_automatic(self) -> bool {
        matches!(self, Self::Expired | Self::MaxLength)
    }
}

/// A message that left.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetter {
    pub(crate) message: Message,
    pub(crate) reason: DeathReason,
}

/// Messages of a level that are to remove_ready as soon as their content is in memory.
#[derive(Debug, Default)]
pub(crate) struct PendingDeadLetters {
    /// With the bytes of its body.
    reasons: BTreeMap<Offset, (DeathReason, u32)>,
    bytes: u64,
}

impl PendingDeadLetters {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.reasons.len() as u64
    }

    /// The lowest of them.
    pub(crate) fn first(&self) -> Option<(Offset, DeathReason)> {
        self.reasons.first_key_value().map(|(offset, (reason, _))| (*offset, *reason))
    }

    /// Adds one.
    pub(crate) fn insert(&mut self, offset: Offset, reason: DeathReason, bytes: u32) {
        self.bytes += u64::from(bytes);
        self.reasons.insert(offset, (reason, bytes));
    }

    /// Takes one out and returns the bytes of its body; 0 when it was not there.
    pub(crate) fn remove(&mut self, offset: Offset) -> u32 {
        let bytes = self.reasons.remove(&offset).map_or(0, |(_, bytes)| bytes);
        self.bytes -= u64::from(bytes);
        bytes
    }

    /// Bytes of their bodies.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of them with the bytes of their bodies, ascending.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (Offset, u32)> {
        self.reasons.iter().map(|(offset, (_, bytes))| (*offset, *bytes))
    }

    /// Their offsets.
    pub(crate) fn offsets(&self) -> OffsetSet {
        let mut offsets = OffsetSet::default();
        self.reasons.keys().for_each(|offset| offsets.insert(*offset, *offset));
        offsets
    }
}
