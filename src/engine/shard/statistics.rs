//! What the shard tells its operator.

use super::Shard;
use super::schedules::ScheduleTotals;
use crate::limits::{REPORT_FETCHES_MAX, REPORT_STEP_QUEUES_MAX};
use crate::model::{Now, QueueId};
use crate::queue::{Instants, QueueState, QueueStatistics, Timings};
use crate::topology::QueueRecord;
use std::sync::Arc;

/// One queue, for people.
#[derive(Clone, Debug)]
pub struct QueueReport {
    /// Who it is.
    pub record: Arc<QueueRecord>,
    /// What it has and what it counted.
    pub statistics: QueueStatistics,
    /// Whether it can be served.
    pub state: QueueState,
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
    /// Bytes of stored messages that are kept in memory for consumers.
    pub cached_bytes: u64,
    /// Bytes of messages that are in memory alone.
    pub volatile_bytes: u64,
    /// Bytes of messages that wait for their commit.
    pub uncommitted_bytes: u64,
    /// What schedules did.
    pub schedules: ScheduleTotals,
}

/// A report that is being made, some queues at a time, so that messages do not wait until all are
/// looked at: most are out of the processor's caches by then. Each queue is told as it was when it
/// was looked at.
#[derive(Debug)]
pub struct Report {
    /// The lowest number that was not looked at.
    next: QueueId,
    last: QueueId,
    queues: Vec<QueueReport>,
    /// Queues that had been deleted when it began.
    deleted: u64,
    /// Queues whose oldest message was asked for.
    fetches: usize,
}

impl Shard {
    /// How things stand, but for the ages of messages. Looks at all queues at once.
    #[must_use]
    pub fn statistics(&self) -> ShardStatistics {
        let queues = self.queues.iter().filter_map(|(id, queue)| {
            let record = self.topology.queue_record(*id)?;
            let (statistics, state) = (queue.statistics(), queue.state().clone());
            Some(QueueReport { record, statistics, state })
        });
        self.sums(queues.collect())
    }

    /// Begins a report of all queues.
    #[must_use]
    pub fn begin_report(&self) -> Report {
        let queues = Vec::with_capacity(self.queues.len());
        self.report_of(QueueId(0), QueueId(u64::MAX), queues)
    }

    /// Begins a report of one queue.
    #[must_use]
    pub fn begin_report_of(&self, queue: QueueId) -> Report {
        self.report_of(queue, queue, Vec::new())
    }

    /// Goes on with a report, by at most [`REPORT_STEP_QUEUES_MAX`] queues; how things stand, once
    /// it is complete. Where nobody knows how old a queue's oldest message is, it is fetched, so
    /// that the next report tells.
    pub fn advance_report(&mut self, now: Now, report: &mut Report) -> Option<ShardStatistics> {
        let at: Instants = self.clock.moment(now);
        let rest = self.queues.range_mut(report.next..=report.last);
        let mut looked_at = 0;
        for (id, queue) in rest.take(REPORT_STEP_QUEUES_MAX) {
            if report.fetches < REPORT_FETCHES_MAX && queue.want_unknown_ages() {
                report.fetches += 1;
                self.fetches.push_back(*id);
            }
            if let Some(record) = self.topology.queue_record(*id) {
                let statistics = queue.report(at, &self.clients);
                let state = queue.state().clone();
                report.queues.push(QueueReport { record, statistics, state });
            }
            report.next = QueueId(id.0 + 1);
            looked_at += 1;
        }
        if looked_at == REPORT_STEP_QUEUES_MAX && report.next <= report.last {
            return None;
        }
        let mut queues = std::mem::take(&mut report.queues);
        if self.turnover.deleted > report.deleted {
            // What these counted is among what is gone.
            queues.retain(|queue| self.queues.contains_key(&queue.record.id));
        }
        Some(self.sums(queues))
    }

    fn report_of(&self, next: QueueId, last: QueueId, queues: Vec<QueueReport>) -> Report {
        Report { next, last, queues, deleted: self.turnover.deleted, fetches: 0 }
    }

    fn sums(&self, queues: Vec<QueueReport>) -> ShardStatistics {
        ShardStatistics {
            queues,
            gone: self.gone,
            turnover: self.turnover,
            timings: self.timings,
            cached_bytes: self.memory.cached_bytes(),
            volatile_bytes: self.memory.volatile_bytes(),
            uncommitted_bytes: self.memory.unwritten_bytes(),
            schedules: self.schedules.totals(),
        }
    }
}
