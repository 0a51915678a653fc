//! What happens to a queue in a model test.

use crate::model::{Closure, RequeueMethod, Settlement};
use proptest::prelude::*;

/// Connections with consumers.
pub(super) const CLIENTS: u64 = 3;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Publish { count: usize, persistent: bool, confirm: bool },
    Subscribe { client: u64, prefetch: u16, no_ack: bool },
    Cancel { client: u64 },
    Settle { client: u64, settlement: Settlement, from: usize, count: usize },
    Get { client: u64, no_ack: bool },
    Close { client: u64, closure: Closure },
    Purge,
    Pause(bool),
    BeginCommit,
    FinishCommit,
    Pass,
    Crash,
    Restart,
}

/// However a connection may end.
pub(super) fn closure() -> impl Strategy<Value = Closure> {
    prop_oneof![3 => Just(Closure::Failed), 2 => Just(Closure::ByClient), 1 => Just(Closure::ByBroker)]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let settlement = prop_oneof![
        4 => Just(Settlement::Ack),
        1 => Just(Settlement::Reject),
        2 => Just(Settlement::Requeue(RequeueMethod::Nack)),
        1 => Just(Settlement::Recover),
    ];
    prop_oneof![
        6 => (1usize..5, prop::bool::weighted(0.8), any::<bool>()).prop_map(
            |(count, persistent, confirm)| Step::Publish { count, persistent, confirm }
        ),
        3 => (client.clone(), 0u16..5, prop::bool::weighted(0.2)).prop_map(
            |(client, prefetch, no_ack)| Step::Subscribe { client, prefetch, no_ack }
        ),
        1 => client.clone().prop_map(|client| Step::Cancel { client }),
        8 => (client.clone(), settlement, 0usize..4, 1usize..5).prop_map(
            |(client, settlement, from, count)| Step::Settle { client, settlement, from, count }
        ),
        2 => (client.clone(), any::<bool>())
            .prop_map(|(client, no_ack)| Step::Get { client, no_ack }),
        1 => (client, closure()).prop_map(|(client, closure)| Step::Close { client, closure }),
        1 => prop::bool::weighted(0.3)
            .prop_map(|purge| if purge { Step::Purge } else { Step::Pass }),
        1 => any::<bool>().prop_map(Step::Pause),
        4 => Just(Step::BeginCommit),
        4 => Just(Step::FinishCommit),
        2 => Just(Step::Pass),
        1 => prop::bool::ANY.prop_map(|good| if good { Step::Restart } else { Step::Crash }),
    ]
}
