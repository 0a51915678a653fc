//! What happens to the queue under test.

use crate::model::{Closure, RequeueMethod, Settlement};
use crate::shard::tests::steps::closure;
use proptest::prelude::*;

/// Connections with consumers.
pub(super) const CLIENTS: u64 = 3;

/// A message to be published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    pub(super) persistent: bool,
    pub(super) priority: u8,
    /// Bytes of its body.
    pub(super) size: usize,
    /// Its own time to live, in ms.
    pub(super) expiration: Option<u64>,
    /// What it may have in common with others.
    pub(super) key: Option<u8>,
    /// Its group.
    pub(super) group: Option<u8>,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Publish { drafts: Vec<Draft>, confirm: bool },
    Subscribe { client: u64, prefetch: u16, no_ack: bool },
    Cancel { client: u64 },
    Settle { client: u64, settlement: Settlement, from: usize, count: usize },
    Get { client: u64, no_ack: bool },
    Close { client: u64, closure: Closure },
    Purge,
    BeginCommit,
    FinishCommit,
    Pass { milliseconds: u64 },
    Crash,
}

fn draft() -> impl Strategy<Value = Draft> {
    let expiration = prop::option::weighted(0.4, prop_oneof![1 => Just(0), 5 => 1u64..400]);
    let key = prop::option::weighted(0.7, 0_u8..8);
    let group = prop::option::weighted(0.85, 0u8..3);
    (prop::bool::weighted(0.8), 0u8..6, 4usize..30, expiration, key, group).prop_map(
        |(persistent, priority, size, expiration, key, group)| Draft {
            persistent,
            priority,
            size,
            expiration,
            key,
            group,
        },
    )
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    let settlement = prop_oneof![
        4 => Just(Settlement::Ack),
        2 => Just(Settlement::Reject),
        5 => Just(Settlement::Requeue(RequeueMethod::Nack)),
        2 => Just(Settlement::Requeue(RequeueMethod::Reject)),
        3 => prop_oneof![1 => Just(0u64), 4 => 1u64..400].prop_map(Settlement::Retry),
        1 => Just(Settlement::Recover),
    ];
    prop_oneof![
        8 => (prop::collection::vec(draft(), 1..5), any::<bool>())
            .prop_map(|(drafts, confirm)| Step::Publish { drafts, confirm }),
        5 => (client(), 0u16..5, prop::bool::weighted(0.15)).prop_map(
            |(client, prefetch, no_ack)| Step::Subscribe { client, prefetch, no_ack }
        ),
        1 => client().prop_map(|client| Step::Cancel { client }),
        8 => (client(), settlement, 0usize..4, 1usize..5).prop_map(
            |(client, settlement, from, count)| Step::Settle { client, settlement, from, count }
        ),
        2 => (client(), prop::bool::weighted(0.3))
            .prop_map(|(client, no_ack)| Step::Get { client, no_ack }),
        3 => (client(), closure()).prop_map(|(client, closure)| Step::Close { client, closure }),
        1 => prop::bool::weighted(0.2).prop_map(|purge| match purge {
            true => Step::Purge,
            false => Step::Crash,
        }),
        4 => Just(Step::BeginCommit),
        4 => Just(Step::FinishCommit),
        5 => prop_oneof![5 => Just(1u64), 20 => 1u64..300, 1 => Just(5_000)].prop_map(|milliseconds| Step::Pass { milliseconds }),
    ]
}
