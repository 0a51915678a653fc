//! What each queue is for, as its settings, name, place in the topology and use tell.

use forebay_engine::model::QueueId;
use forebay_engine::shard::QueueReport;
use forebay_engine::topology::{QueueSettings, Topology};
use forebay_lag::Role;
use std::collections::HashSet;

/// How the names of queues begin that the broker named.
const SERVER_NAMED: &[u8] = b"amq.gen-";

/// Which queues take dead letters.
#[derive(Debug, Default)]
pub(super) struct Roles {
    dead_letters: HashSet<QueueId>,
}

fn is_delay(settings: &QueueSettings) -> bool {
    settings.message_ttl.is_some() && settings.dead_letter_exchange.is_some()
}

impl Roles {
    pub(super) fn of(topology: &Topology) -> Self {
        let mut dead_letters = HashSet::new();
        for vhost in topology.vhosts() {
            // What leaves a delay queue goes back to work.
            let names = topology.dead_letter_queues_from(vhost, |settings| !is_delay(settings));
            dead_letters.extend(
                names
                    .iter()
                    .filter_map(|name| topology.find_queue(vhost, name))
                    .map(|queue| queue.id),
            );
        }
        Self { dead_letters }
    }

    /// What a queue is for. One whose messages are settled is for work, wherever it stands.
    pub(super) fn of_queue(&self, queue: &QueueReport, was_worked_on: bool) -> Role {
        let QueueReport { record, statistics, .. } = queue;
        let is_worked_on = was_worked_on
            || statistics.consumers > 0
            || statistics.acked + statistics.delivered_no_ack > 0;
        match () {
            () if record.exclusive_owner.is_some() => Role::Reply,
            () if record.auto_delete && record.name.as_bytes().starts_with(SERVER_NAMED) => {
                Role::Reply
            }
            () if record.name.as_bytes().ends_with(b".dlq") => Role::DeadLetters,
            () if is_worked_on => Role::Work,
            () if is_delay(&record.settings) => Role::Delay,
            () if self.dead_letters.contains(&record.id) => Role::DeadLetters,
            () => Role::Work,
        }
    }
}
