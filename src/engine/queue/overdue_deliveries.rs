//! Deliveries that were taken back from a consumer that held them too long. Belongs to a
//! [`super::level::PriorityLevel`].
//!
//! The consumer keeps owing their settlement: until it comes, its prefetch window stays as much
//! smaller. An acknowledgement still counts if nobody else was given the message meanwhile. Where one
//! channel was given the same message again, what it settles first counts for the later delivery: a
//! settlement names the message, not the delivery.

use super::in_flight::Held;
use crate::credit::ChannelSlot;
use crate::model::Offset;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A delivery that was taken back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverdueDelivery {
    pub(crate) held: Held,
    /// Nobody else was given the message.
    pub(crate) is_last: bool,
    /// How often it was taken back from this channel: so many settlements are owed.
    owed: u32,
}

/// Deliveries that were taken back and are not settled.
#[derive(Debug, Default)]
pub(crate) struct OverdueDeliveries {
    deliveries: BTreeMap<(Offset, ChannelSlot), OverdueDelivery>,
}

impl OverdueDeliveries {
    /// Remembers one; `is_last`: nobody else was given the message so far.
    pub(crate) fn insert(&mut self, offset: Offset, held: Held, is_last: bool) {
        let known = self.deliveries.get(&(offset, held.channel));
        let owed = known.map_or(0, |delivery| delivery.owed) + 1;
        self.deliveries.insert((offset, held.channel), OverdueDelivery { held, is_last, owed });
    }

    /// All of them, and how many settlements of each are owed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Held, u64)> {
        self.deliveries.values().map(|delivery| (&delivery.held, u64::from(delivery.owed)))
    }

    /// The message was given to somebody else, or is gone.
    pub(crate) fn overtake(&mut self, offset: Offset) {
        if self.deliveries.is_empty() {
            return;
        }
        let of_it = (offset, ChannelSlot::FIRST)..=(offset, ChannelSlot::LAST);
        for (_, delivery) in self.deliveries.range_mut(of_it) {
            delivery.is_last = false;
        }
    }

    /// All messages that were taken back are gone.
    pub(crate) fn overtake_all(&mut self) {
        self.deliveries.values_mut().for_each(|delivery| delivery.is_last = false);
    }

    /// Takes one settlement of each message of `range` that `channel` owes any of, unless
    /// `is_held`: then it is the settlement of a later delivery.
    pub(crate) fn take(
        &mut self,
        channel: ChannelSlot,
        range: RangeInclusive<Offset>,
        is_held: impl Fn(Offset) -> bool,
    ) -> Vec<(Offset, OverdueDelivery)> {
        if self.deliveries.is_empty() {
            return Vec::new();
        }
        let range = (*range.start(), ChannelSlot::FIRST)..=(*range.end(), ChannelSlot::LAST);
        let owed: Vec<(Offset, OverdueDelivery)> = self
            .deliveries
            .range(range)
            .filter(|((offset, slot), _)| *slot == channel && !is_held(*offset))
            .map(|((offset, _), delivery)| (*offset, *delivery))
            .collect();
        for (offset, delivery) in &owed {
            let key = (*offset, channel);
            if delivery.owed > 1 {
                let rest = OverdueDelivery { owed: delivery.owed - 1, is_last: false, ..*delivery };
                self.deliveries.insert(key, rest);
            } else {
                self.deliveries.remove(&key);
            }
        }
        owed
    }

    /// A channel that owed settlements is gone.
    pub(crate) fn forget(&mut self, channel: ChannelSlot) {
        if !self.deliveries.is_empty() {
            self.deliveries.retain(|(_, slot), _| *slot != channel);
        }
    }
}
