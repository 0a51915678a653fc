//! What the shard tells its operator.

use super::Shard;
use crate::ids::QueueId;
use crate::limits::REPORT_FETCHES_MAX;
use crate::queue::{Moment, Queue, QueueStatistics, Timings};
use crate::time::Now;
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

/// How queues come and go, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueTurnover {
    /// Declarations that were accepted, of queues that were there, too.
    pub declared: u64,
    /// Queues that were made.
    pub created: u64,
    /// Queues that were deleted, by whoever or by themselves.
    pub deleted: u64,
}

/// All queues and their sums.
#[derive(Clone, Debug, Default)]
pub struct ShardStatistics {
    /// The queues in the order in which they were made.
    pub queues: Vec<QueueReport>,
    /// Counters of queues that are gone: with those of `queues` they never go backwards.
    pub gone: QueueStatistics,
    /// How queues come and go.
    pub turnover: QueueTurnover,
    /// How long messages took, in all queues that are or were.
    pub timings: Timings,
    /// Octets of stored messages that are kept in memory for consumers.
    pub cached_octets: u64,
    /// Octets of messages that are in memory alone.
    pub volatile_octets: u64,
    /// Octets of messages that wait for their commit.
    pub uncommitted_octets: u64,
}

impl Shard {
    /// How things stand, but for the ages of messages.
    #[must_use]
    pub fn statistics(&self) -> ShardStatistics {
        self.figures(Queue::statistics)
    }

    /// How things stand. Where nobody knows how old a queue's oldest message is, it is fetched, so
    /// that the next report tells.
    pub fn report(&mut self, now: Now) -> ShardStatistics {
        let at: Moment = self.clock.moment(now);
        let wanting = self.queues.iter_mut().filter_map(|(id, queue)| {
            let is_asked = queue.want_unknown_ages();
            is_asked.then_some(*id)
        });
        self.fetches.extend(wanting.take(REPORT_FETCHES_MAX));
        self.figures(|queue| queue.report(at, &self.clients))
    }

    fn figures(&self, of: impl Fn(&Queue) -> QueueStatistics) -> ShardStatistics {
        let queues = self.topology.queues().filter_map(|record| {
            Some(QueueReport {
                id: record.id,
                vhost: record.vhost.clone(),
                name: record.name.clone(),
                statistics: of(self.queues.get(&record.id)?),
            })
        });
        let mut timings = self.gone_timings;
        self.queues.values().for_each(|queue| timings.absorb(&queue.timings));
        ShardStatistics {
            queues: queues.collect(),
            gone: self.gone,
            turnover: self.turnover,
            timings,
            cached_octets: self.memory.cached_octets(),
            volatile_octets: self.memory.volatile_octets(),
            uncommitted_octets: self.memory.unwritten_octets(),
        }
    }
}
