//! The shard as a store holds it.

use super::schedules::Schedules;
use super::shared_bodies::SharedBodies;
use super::spans::Spans;
use super::{Shard, ShardSettings};
use crate::access::{AccessControl, AccessRecordError};
use crate::clock_record::ClockRecord;
use crate::deduplication::KeyRecordError;
use crate::delivered_record::DeliveredRecord;
use crate::model::QueueId;
use crate::operation::{Operation, Recovered};
use crate::queue::SteadyClock;
use crate::schedules::{ScheduleKey, ScheduleProgress, ScheduleRecordError, recover_progress};
use crate::topology::{Topology, TopologyRecordError};
use forebay_wire::ShortStr;
use std::collections::BTreeSet;

/// What a store holds makes no sense to us.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A record of the topology cannot be read.
    #[error(transparent)]
    Topology(#[from] TopologyRecordError),
    /// A record of a user or a permission cannot be read.
    #[error(transparent)]
    Access(#[from] AccessRecordError),
    /// A record of deduplication keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyRecordError),
    /// A record of how far a schedule has come cannot be read.
    #[error(transparent)]
    Schedules(#[from] ScheduleRecordError),
}

impl Shard {
    /// A shard without queues.
    #[must_use]
    pub fn new(settings: &ShardSettings) -> Self {
        Self::with_topology(Topology::new(), settings)
    }

    /// The shard that a store holds. Messages are not read; how long that takes depends on the
    /// number of queues alone.
    ///
    /// # Errors
    /// When a record of the topology is damaged or was written by a newer version.
    pub fn recover(settings: &ShardSettings, recovered: Recovered) -> Result<Self, RecoverError> {
        let topology = Topology::recover(&recovered.records)?;
        let mut shard = Self::with_topology(topology, settings);
        shard.commits.set_epoch(recovered.epoch);
        shard.shared_bodies = SharedBodies::recover(recovered.last_body);
        let clock = ClockRecord::recover(&recovered.records).unwrap_or_default();
        shard.clock = SteadyClock::with_wall_ahead(clock.ahead);
        shard.access = AccessControl::recover(&recovered.records)?;
        let queues: Vec<QueueId> = shard.topology.queues().map(|record| record.id).collect();
        for queue in queues {
            shard.add_queue(queue);
        }
        // They were made by another process.
        shard.turnover = Default::default();
        let delivered = DeliveredRecord::recover(&recovered.records);
        if delivered.is_some() {
            shard.commits.add_operations(vec![DeliveredRecord::remove()]);
        }
        // Queues that are not durable end with the process.
        let mut ended = BTreeSet::new();
        for level in &recovered.levels {
            match shard.queues.get_mut(&level.queue) {
                Some(queue) => queue.recover(level, delivered.as_ref()),
                None => drop(ended.insert(level.queue)),
            }
        }
        for delayed in &recovered.delayed {
            match shard.queues.get_mut(&delayed.queue) {
                Some(queue) => queue.recover_delayed(delayed),
                None => drop(ended.insert(delayed.queue)),
            }
        }
        shard.recover_keys(&recovered.records)?;
        shard.recover_schedules(recover_progress(&recovered.records)?);
        for damaged in recovered.damaged {
            if let Some(queue) = shard.queues.get_mut(&damaged.queue) {
                queue.recover_damaged(damaged.what);
            }
        }
        let drops = ended.into_iter().map(|queue| Operation::DropQueue { queue }).collect();
        shard.commits.add_operations(drops);
        Ok(shard)
    }

    fn recover_schedules(&mut self, progress: Vec<(ScheduleKey, ScheduleProgress)>) {
        let vhosts: Vec<&ShortStr> = self.topology.vhosts().collect();
        let schedules = vhosts.into_iter().flat_map(|vhost| {
            let of_vhost = self.topology.schedules(vhost);
            of_vhost.map(|schedule| {
                let key = ScheduleKey { vhost: vhost.clone(), name: schedule.name().clone() };
                (key, &**schedule)
            })
        });
        let (schedules, operations) = Schedules::recover(schedules, progress);
        self.schedules = schedules;
        self.commits.add_operations(operations);
    }

    fn with_topology(mut topology: Topology, settings: &ShardSettings) -> Self {
        for vhost in &settings.vhosts {
            topology.create_vhost(vhost);
        }
        let mut shard = Self {
            topology,
            access: AccessControl::new(),
            queues: Default::default(),
            clients: Default::default(),
            outbox: Default::default(),
            commits: Default::default(),
            memory: Default::default(),
            clock: Default::default(),
            queue_defaults: settings.queue_defaults,
            timers: Default::default(),
            scheduled: Default::default(),
            work: Default::default(),
            tasks: Default::default(),
            discarded: Default::default(),
            dead_key_records: Default::default(),
            borrowed: Vec::new(),
            fetches: Default::default(),
            delayed_reads: Default::default(),
            calendar: Default::default(),
            delayed_requests: Default::default(),
            schedules: Default::default(),
            browses: Default::default(),
            evict_from: QueueId::default(),
            lives_from: QueueId::default(),
            spans: Spans::default(),
            last_consumer: 0,
            delivered: None,
            gone: Default::default(),
            timings: Default::default(),
            turnover: Default::default(),
            shared_bodies: Default::default(),
        };
        shard.add_topology_operations();
        shard
    }
}
