//! Deliveries that were taken back from a consumer that held them too long. Belongs to a
//! [`super::level::PriorityLevel`].
//!
//! The broker still awaits their settlement: until it comes, the consumer's prefetch window stays as
//! much smaller. An acknowledgement counts if the message was not delivered again meanwhile. Where one
//! channel was given the same message again, what it settles first counts for the later delivery: a
//! settlement names the message, not the delivery.

use super::message_states::Held;
use crate::credit::ChannelSlot;
use crate::model::Offset;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A delivery that was taken back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverdueDelivery {
    pub(crate) held: Held,
    /// Its settlement counts for the message, which is ready and was not delivered again.
    pub(crate) may_settle: bool,
    /// How often it was taken back from this channel: so many settlements are awaited.
    awaited: u32,
}

/// Deliveries that were taken back and are not settled.
#[derive(Debug, Default)]
pub(crate) struct OverdueDeliveries {
    deliveries: BTreeMap<(Offset, ChannelSlot), OverdueDelivery>,
}

impl OverdueDeliveries {
    /// Remembers one; `may_settle`: its settlement counts for the message until
    /// [`Self::end_claims`].
    pub(crate) fn insert(&mut self, offset: Offset, held: Held, may_settle: bool) {
        let known = self.deliveries.get(&(offset, held.channel));
        let awaited = known.map_or(0, |delivery| delivery.awaited) + 1;
        self.deliveries
            .insert((offset, held.channel), OverdueDelivery { held, may_settle, awaited });
    }

    /// All of them, and how many settlements of each are awaited.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Held, u64)> {
        self.deliveries.values().map(|delivery| (&delivery.held, u64::from(delivery.awaited)))
    }

    /// The message is delivered again or settled: no settlement from here counts for it.
    pub(crate) fn end_claims(&mut self, offset: Offset) {
        if self.deliveries.is_empty() {
            return;
        }
        let of_it = (offset, ChannelSlot::FIRST)..=(offset, ChannelSlot::LAST);
        for (_, delivery) in self.deliveries.range_mut(of_it) {
            delivery.may_settle = false;
        }
    }

    /// All messages that are not delivered are settled.
    pub(crate) fn end_all_claims(&mut self) {
        self.deliveries.values_mut().for_each(|delivery| delivery.may_settle = false);
    }

    /// Takes one awaited settlement by `channel` of each message of `range`, unless the channel holds
    /// the message (`is_held`): then it settles that later delivery.
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
        let settled: Vec<(Offset, OverdueDelivery)> = self
            .deliveries
            .range(range)
            .filter(|((offset, slot), _)| *slot == channel && !is_held(*offset))
            .map(|((offset, _), delivery)| (*offset, *delivery))
            .collect();
        for (offset, delivery) in &settled {
            let key = (*offset, channel);
            if delivery.awaited > 1 {
                let awaited = delivery.awaited - 1;
                let rest = OverdueDelivery { awaited, may_settle: false, ..*delivery };
                self.deliveries.insert(key, rest);
            } else {
                self.deliveries.remove(&key);
            }
        }
        settled
    }

    /// A channel ended: no settlement of it is awaited.
    pub(crate) fn forget(&mut self, channel: ChannelSlot) {
        if !self.deliveries.is_empty() {
            self.deliveries.retain(|(_, slot), _| *slot != channel);
        }
    }
}
