//! What happens to the fleet.

use crate::model::{Closure, RequeueMethod, Settlement};
use proptest::prelude::*;

/// Processes.
pub(super) const CLIENTS: u64 = 3;
/// Channels of each.
pub(super) const CHANNELS: u16 = 2;
/// Queues; the second may have a single active consumer.
pub(super) const QUEUES: usize = 2;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Publish { queue: usize, count: usize },
    Subscribe { client: u64, channel: u16, queue: usize, prefetch: u16, lease: Option<u64> },
    Extend { client: u64, which: usize, lease: u64 },
    Cancel { client: u64, channel: u16, queue: usize },
    Settle { client: u64, which: usize, count: usize, settlement: Settlement },
    SettleLate { client: u64, which: usize, settlement: Settlement },
    Get { client: u64, channel: u16, queue: usize, count: usize },
    Hear { client: u64, channel: u16 },
    CloseChannel { client: u64, channel: u16, closure: Closure },
    Close { client: u64, closure: Closure },
    Pass { milliseconds: u64 },
    Restart { in_good_order: bool },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    let channel = || 1..=CHANNELS;
    let queue = || 0..QUEUES;
    let settlement = prop_oneof![
        6 => Just(Settlement::Ack),
        1 => Just(Settlement::Reject),
        2 => Just(Settlement::Requeue(RequeueMethod::Nack)),
        1 => Just(Settlement::Recover),
    ];
    // Longer than anything waits for the sake of a quarantined message.
    let lease = || prop_oneof![Just(5_303), Just(6_007), Just(12_011)];
    let late = settlement.clone();
    let closure = prop_oneof![5 => Just(Closure::Failed), 2 => Just(Closure::ByClient), 1 => Just(Closure::ByBroker)];
    let of_channel = prop_oneof![Just(Closure::Failed), Just(Closure::ByClient)];
    prop_oneof![
        6 => (queue(), 1usize..5).prop_map(|(queue, count)| Step::Publish { queue, count }),
        10 => (client(), channel(), queue(), 0u16..5, prop::option::weighted(0.3, lease())).prop_map(
            |(client, channel, queue, prefetch, lease)| {
                Step::Subscribe { client, channel, queue, prefetch, lease }
            }
        ),
        3 => (client(), 0usize..4, lease())
            .prop_map(|(client, which, lease)| Step::Extend { client, which, lease }),
        2 => (client(), channel(), queue())
            .prop_map(|(client, channel, queue)| Step::Cancel { client, channel, queue }),
        8 => (client(), 0usize..4, 1usize..6, settlement).prop_map(
            |(client, which, count, settlement)| Step::Settle { client, which, count, settlement }
        ),
        5 => (client(), channel(), queue(), 1usize..4).prop_map(
            |(client, channel, queue, count)| Step::Get { client, channel, queue, count }
        ),
        3 => (client(), 0usize..3, late).prop_map(
            |(client, which, settlement)| Step::SettleLate { client, which, settlement }
        ),
        2 => (client(), channel()).prop_map(|(client, channel)| Step::Hear { client, channel }),
        2 => (client(), channel(), of_channel)
            .prop_map(|(client, channel, closure)| Step::CloseChannel { client, channel, closure }),
        8 => (client(), closure).prop_map(|(client, closure)| Step::Close { client, closure }),
        6 => prop_oneof![1u64..2_000, Just(4_999), Just(5_000)]
            .prop_map(|milliseconds| Step::Pass { milliseconds }),
        1 => any::<bool>().prop_map(|in_good_order| Step::Restart { in_good_order }),
    ]
}
