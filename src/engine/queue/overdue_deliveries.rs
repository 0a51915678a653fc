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
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// A delivery that was taken back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverdueDelivery {
    pub(crate) held: Held,
    /// Its settlement counts for the message, which is ready and was not delivered again.
    pub(crate) may_settle: bool,
}

/// Deliveries that were taken back and are not settled. A channel has several of one message, the
/// latest last, when it was given the message again: by `basic.get` and to a consumer, for example.
#[derive(Debug, Default)]
pub(crate) struct OverdueDeliveries {
    deliveries: BTreeMap<(Offset, ChannelSlot), Vec<OverdueDelivery>>,
}

impl OverdueDeliveries {
    /// Remembers one; `may_settle`: its settlement counts for the message until
    /// [`Self::end_claims`].
    pub(crate) fn insert(&mut self, offset: Offset, held: Held, may_settle: bool) {
        let of_channel = self.deliveries.entry((offset, held.channel)).or_default();
        of_channel.iter_mut().for_each(|earlier| earlier.may_settle = false);
        of_channel.push(OverdueDelivery { held, may_settle });
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.deliveries.values().flatten().map(|delivery| &delivery.held)
    }

    /// The message is delivered again or settled: no settlement from here counts for it.
    pub(crate) fn end_claims(&mut self, offset: Offset) {
        if self.deliveries.is_empty() {
            return;
        }
        let of_it = (offset, ChannelSlot::FIRST)..=(offset, ChannelSlot::LAST);
        for (_, deliveries) in self.deliveries.range_mut(of_it) {
            deliveries.iter_mut().for_each(|delivery| delivery.may_settle = false);
        }
    }

    /// All messages that are not delivered are settled.
    pub(crate) fn end_all_claims(&mut self) {
        self.deliveries.values_mut().flatten().for_each(|delivery| delivery.may_settle = false);
    }

    /// Takes one awaited settlement by `channel` of each message of `range`, unless the channel holds
    /// the message (`is_held`): then it settles that later delivery. The latest goes first.
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
        let mut settled = Vec::new();
        for ((offset, slot), deliveries) in self.deliveries.range_mut(range) {
            if *slot == channel && !is_held(*offset) {
                settled.extend(deliveries.pop().map(|delivery| (*offset, delivery)));
            }
        }
        for (offset, _) in &settled {
            let key = (*offset, channel);
            if self.deliveries.get(&key).is_some_and(Vec::is_empty) {
                self.deliveries.remove(&key);
            }
        }
        settled
    }

    /// The channels ended: no settlement of them is awaited.
    pub(crate) fn forget(&mut self, channels: &BTreeSet<ChannelSlot>) {
        if !self.deliveries.is_empty() {
            self.deliveries.retain(|(_, slot), _| !channels.contains(slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credit::ConsumerId;
    use crate::model::Monotonic;

    #[test]
    fn each_settlement_returns_the_credit_of_the_delivery_that_it_is_for() {
        let channel = ChannelSlot::FIRST;
        let held = |consumer| Held {
            channel,
            consumer,
            size: 1,
            delivered_at: Monotonic(0),
            extended_to: Monotonic::AT_ONCE,
        };
        let mut overdue = OverdueDeliveries::default();
        // By `basic.get`, then to a consumer of the same channel.
        overdue.insert(Offset(5), held(None), true);
        overdue.insert(Offset(5), held(Some(ConsumerId(3))), true);
        assert_eq!(overdue.iter().count(), 2);
        let mut settle = || {
            let taken = overdue.take(channel, Offset(0)..=Offset(9), |_| false);
            taken.into_iter().map(|(_, late)| (late.held.consumer, late.may_settle)).next()
        };
        assert_eq!(settle(), Some((Some(ConsumerId(3)), true)));
        assert_eq!(settle(), Some((None, false)));
        assert_eq!(settle(), None);
    }
}
