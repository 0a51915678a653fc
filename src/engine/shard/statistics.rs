//! What the shard tells its operator.

use super::Shard;
use crate::ids::QueueId;
use crate::queue::{Queue, QueueStatistics};
use forebay_wire::ShortStr;

/// One queue, for people.
#[derive(Clone, Debug)]
pub struct QueueReport {
    /// Its number.
    pub id: QueueId,
    /// Its virtual host.
    pub vhost: ShortStr,
    /// Its name.
    pub name: ShortStr,
    /// What it has and what it counted.
    pub statistics: QueueStatistics,
}

/// All queues and their sums.
#[derive(Clone, Debug, Default)]
pub struct ShardStatistics {
    /// The queues in the order in which they were made.
    pub queues: Vec<QueueReport>,
    /// Counters of queues that are gone: with those of `queues` they never go backwards.
    pub gone: QueueStatistics,
    /// Octets of stored messages that are kept in memory for consumers.
    pub cached_octets: u64,
    /// Octets of messages that are in memory alone.
    pub volatile_octets: u64,
    /// Octets of messages that wait for their commit.
    pub uncommitted_octets: u64,
}

impl Shard {
    /// How things stand.
    #[must_use]
    pub fn statistics(&self) -> ShardStatistics {
        let queues = self.topology.queues().filter_map(|record| {
            Some(QueueReport {
                id: record.id,
                vhost: record.vhost.clone(),
                name: record.name.clone(),
                statistics: self.queues.get(&record.id)?.statistics(),
            })
        });
        ShardStatistics {
            queues: queues.collect(),
            gone: self.gone,
            cached_octets: self.memory.cached_octets(),
            volatile_octets: self.memory.volatile_octets(),
            uncommitted_octets: self.queues.values().map(Queue::fresh_octets).sum(),
        }
    }
}
