//! The deliveries of a level that are not settled yet: the leader's memory, never stored. Belongs
//! to a [`super::level::PriorityLevel`].

use crate::credit::ChannelSlot;
use crate::credit::ConsumerId;
use crate::model::{Monotonic, Offset};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Who holds a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The channel it was delivered on.
    pub(crate) channel: ChannelSlot,
    /// The consumer; nothing after `basic.get`.
    pub(crate) consumer: Option<ConsumerId>,
    /// Bytes of the message's body.
    pub(crate) size: u32,
    /// When it was delivered.
    pub(crate) delivered_at: Monotonic,
}

/// Unsettled deliveries by offset.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    held: BTreeMap<Offset, Held>,
    bytes: u64,
    /// Those that consumers were given.
    consumed: u64,
}

impl InFlight {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.held.len() as u64
    }

    /// How many of them consumers were given.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Bytes of their bodies.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Remembers a delivery.
    pub(crate) fn insert(&mut self, offset: Offset, held: Held) {
        self.bytes += u64::from(held.size);
        self.consumed += u64::from(held.consumer.is_some());
        self.held.insert(offset, held);
    }

    /// Whether any offset of `first..end` is in flight.
    pub(crate) fn any_in(&self, first: Offset, end: Offset) -> bool {
        self.held.range(first..end).next().is_some()
    }

    /// Whether `channel` holds this message.
    pub(crate) fn is_held(&self, offset: Offset, channel: ChannelSlot) -> bool {
        self.held.get(&offset).is_some_and(|held| held.channel == channel)
    }

    /// Whether anybody holds this message.
    pub(crate) fn contains(&self, offset: Offset) -> bool {
        self.held.contains_key(&offset)
    }

    /// All of them, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Offset, &Held)> {
        self.held.iter().map(|(offset, held)| (*offset, held))
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, offset: Offset) -> Option<Held> {
        let held = self.held.remove(&offset)?;
        self.bytes -= u64::from(held.size);
        self.consumed -= u64::from(held.consumer.is_some());
        Some(held)
    }

    /// Takes out those of `range` that `channel` holds, ascending, into `taken`.
    pub(crate) fn take(
        &mut self,
        channel: ChannelSlot,
        range: RangeInclusive<Offset>,
        taken: &mut Vec<(Offset, Held)>,
    ) {
        let start = taken.len();
        // Most settlements are of the oldest deliveries.
        while let Some(entry) = self.held.first_entry() {
            if !range.contains(entry.key()) || entry.get().channel != channel {
                break;
            }
            taken.push(entry.remove_entry());
        }
        let from = taken.len();
        let rest = self.held.range(range).filter(|(_, held)| held.channel == channel);
        taken.extend(rest.map(|(offset, held)| (*offset, *held)));
        for (offset, _) in taken.iter().skip(from) {
            self.held.remove(offset);
        }
        for (_, held) in taken.iter().skip(start) {
            self.bytes -= u64::from(held.size);
            self.consumed -= u64::from(held.consumer.is_some());
        }
    }
}
