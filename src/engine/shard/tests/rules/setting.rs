//! The rules of the queue under test.

use crate::shard::tests::broker::arguments;
use crate::topology::{Overflow, RetryType};
use forebay_wire::{FieldTable, FieldValue};
use proptest::prelude::*;

/// Where its dead letters go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    /// To the queue `q.dlq`, where something failed; made when needed.
    Default,
    /// To the queue `dead`, for every reason.
    Exchange,
    /// Nowhere: the queue is not durable and names no exchange.
    Nowhere,
}

/// The rules.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) letters: Letters,
    pub(super) priority_max: u8,
    pub(super) message_ttl: Option<u64>,
    pub(super) length_max: Option<u64>,
    pub(super) length_bytes_max: Option<u64>,
    pub(super) overflow: Overflow,
    /// Nothing: none.
    pub(super) delivery_limit: Option<u32>,
    pub(super) single_active: bool,
    pub(super) retry: Option<Retry>,
    pub(super) dedup_window: Option<u64>,
    /// Whether messages name their groups in a header.
    pub(super) has_groups: bool,
    /// Of how many messages the lives are kept.
    pub(super) trace: Option<usize>,
}

/// What waits, and how long. Below 10 ms no wait is drawn at random.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    pub(super) kind: RetryType,
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) multiplier: Option<u64>,
}

fn retry() -> impl Strategy<Value = Retry> {
    let kind = prop_oneof![
        2 => Just(RetryType::All),
        2 => Just(RetryType::Failed),
        1 => Just(RetryType::Returned),
    ];
    (kind, 1u64..10, 0u64..9, prop::option::of(1u64..4)).prop_map(
        |(kind, min, more, multiplier)| Retry { kind, min, max: (min + more).min(9), multiplier },
    )
}

/// Any combination.
pub(super) fn setting() -> impl Strategy<Value = Setting> {
    let letters = prop_oneof![
        2 => Just(Letters::Default),
        2 => Just(Letters::Exchange),
        1 => Just(Letters::Nowhere),
    ];
    let overflow = prop_oneof![
        Just(Overflow::DropHead),
        Just(Overflow::RejectPublish),
        Just(Overflow::RejectPublishDlx),
    ];
    let trace = prop::option::weighted(0.8, prop_oneof![2 => Just(10_000), 1 => 1usize..8]);
    let rules = (
        letters,
        0u8..4,
        prop::option::weighted(0.6, prop_oneof![1 => Just(0), 4 => 1u64..400]),
        prop::option::weighted(0.5, 0u64..8),
        prop::option::weighted(0.3, 0u64..80),
        overflow,
        prop::option::weighted(0.8, 1u32..4),
        prop::bool::weighted(0.3),
        (prop::option::of(retry()), any::<bool>(), trace),
        prop::option::weighted(0.3, 1u64..600),
    );
    rules.prop_map(
        |(
            letters,
            priority_max,
            message_ttl,
            length_max,
            length_bytes_max,
            overflow,
            limit,
            single_active,
            (retry, has_groups, trace),
            dedup_window,
        )| {
            Setting {
                letters,
                priority_max,
                message_ttl,
                length_max,
                length_bytes_max,
                // Who is refused would depend on what the list can't know.
                overflow: if has_groups { Overflow::DropHead } else { overflow },
                delivery_limit: limit,
                single_active,
                retry,
                dedup_window,
                has_groups,
                trace,
            }
        },
    )
}

impl Setting {
    /// As a client declares them.
    pub(super) fn arguments(&self) -> FieldTable {
        let text = |text: &'static str| FieldValue::LongStr(text.into());
        let overflow = match self.overflow {
            Overflow::DropHead => "drop-head",
            Overflow::RejectPublish => "reject-publish",
            Overflow::RejectPublishDlx => "reject-publish-dlx",
        };
        let limit = self.delivery_limit.map_or(-1, i64::from);
        let mut entries = vec![
            ("x-overflow", text(overflow)),
            ("x-delivery-limit", FieldValue::I64(limit)),
            ("x-single-active-consumer", FieldValue::Bool(self.single_active)),
            ("x-max-priority", FieldValue::U8(self.priority_max)),
        ];
        let numbers = [
            ("x-message-ttl", self.message_ttl),
            ("x-max-length", self.length_max),
            ("x-max-length-bytes", self.length_bytes_max),
            ("x-dedup-window", self.dedup_window),
            ("x-trace", self.trace.map(|messages| messages as u64)),
        ];
        let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name, number?)));
        entries.extend(numbers.map(|(name, number)| (name, FieldValue::I64(number as i64))));
        if self.has_groups {
            entries.push(("x-message-group", text("group")));
        }
        if let Some(retry) = self.retry {
            entries.extend([
                ("x-delayed-retry-type", text(retry.kind.name())),
                ("x-delayed-retry-min", FieldValue::I64(retry.min as i64)),
                ("x-delayed-retry-max", FieldValue::I64(retry.max as i64)),
            ]);
            let multiplier = retry.multiplier.map(|number| FieldValue::I64(number as i64));
            entries.extend(multiplier.map(|number| ("x-delayed-retry-multiplier", number)));
        }
        if self.letters == Letters::Exchange {
            entries.push(("x-dead-letter-exchange", text("")));
            entries.push(("x-dead-letter-routing-key", text("dead")));
        }
        arguments(&entries)
    }

    /// Whether the queue outlives the process.
    pub(super) fn is_durable(&self) -> bool {
        self.letters != Letters::Nowhere
    }

    /// The queue that dead letters go to.
    pub(super) fn letter_queue(&self) -> Option<&'static str> {
        match self.letters {
            Letters::Default => Some("q.dlq"),
            Letters::Exchange => Some("dead"),
            Letters::Nowhere => None,
        }
    }

    /// Whether newcomers give way when there is no room.
    pub(super) fn refuses_newcomers(&self) -> bool {
        let is_limited = self.length_max.is_some() || self.length_bytes_max.is_some();
        is_limited && self.overflow != Overflow::DropHead
    }

    /// Whether so much is more than there may be.
    pub(super) fn is_over(&self, messages: u64, bytes: u64) -> bool {
        self.length_max.is_some_and(|limit| messages > limit)
            || self.length_bytes_max.is_some_and(|limit| bytes > limit)
    }
}
