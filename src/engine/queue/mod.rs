//! A queue: its lanes of messages, its consumers, and who waits for one of its messages. Owned by
//! the [`Shard`](crate::shard::Shard), which tells it what happened and gives it turns; it knows
//! nothing of names and of other queues.

mod consumers;
mod dispatch;
mod fresh;
mod in_flight;
mod lane;
mod log;
mod offset_set;
mod pages;
mod statistics;
mod stored;
mod volatile;

pub(crate) use consumers::{Consumer, ConsumerId, Consumers};
pub(crate) use dispatch::PendingGet;
pub use statistics::QueueStatistics;

use crate::command::{Run, Settle, Settlement};
use crate::ids::{Lane as LaneId, Offset, QueueId};
use crate::message::Message;
use crate::operation::{Operation, RecoveredLane};
use crate::page::Page;
use crate::shard::clients::ChannelSlot;
use crate::shard::{Memory, MemoryUse};
use crate::topology::QueueSettings;
use in_flight::Held;
use lane::Lane;
use std::collections::VecDeque;

/// What is to be known of a queue beside its messages.
#[derive(Clone, Debug)]
pub(crate) struct QueueOptions {
    /// Messages may outlive the process.
    pub(crate) durable: bool,
    /// Arguments and policies.
    pub(crate) settings: QueueSettings,
}

/// What a settlement or a channel's end gave back or finished.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Released {
    /// Messages of consumers that are no longer unacked.
    pub(crate) consumed: u64,
    /// Whether the store has to learn of it.
    pub(crate) is_stored: bool,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    id: QueueId,
    options: QueueOptions,
    /// By level; only as many as have been used.
    lanes: Vec<Lane>,
    pub(crate) consumers: Consumers,
    pending_gets: VecDeque<PendingGet>,
    pub(crate) had_consumers: bool,
    /// Waits for a turn.
    pub(crate) is_scheduled: bool,
    /// Has something for the next commit.
    pub(crate) is_dirty: bool,
    /// Has something in the store.
    pub(crate) is_stored: bool,
    counters: QueueStatistics,
    accounted: MemoryUse,
    /// Reused from one settlement to the next.
    taken: Vec<(Offset, Held)>,
}

impl Queue {
    /// An empty queue.
    pub(crate) fn new(id: QueueId, options: QueueOptions) -> Self {
        Self {
            id,
            consumers: Consumers::new(options.settings.single_active_consumer),
            options,
            lanes: vec![Lane::default()],
            pending_gets: VecDeque::new(),
            had_consumers: false,
            is_scheduled: false,
            is_dirty: false,
            is_stored: false,
            counters: QueueStatistics::default(),
            accounted: MemoryUse::default(),
            taken: Vec::new(),
        }
    }

    /// Takes a lane that the store holds.
    pub(crate) fn recover(&mut self, recovered: &RecoveredLane) {
        self.is_stored = true;
        *self.lane_mut(recovered.lane) = Lane::recover(recovered);
    }

    /// Whether its messages may outlive the process.
    pub(crate) fn is_durable(&self) -> bool {
        self.options.durable
    }

    /// Adds a message; whether it goes to the store. `has_room`: memory takes those that are not
    /// to be kept.
    pub(crate) fn enqueue(&mut self, message: Message, has_room: bool) -> bool {
        let keep = (self.options.durable && message.is_persistent()) || !has_room;
        let level = message.priority().min(self.options.settings.priority_max);
        self.counters.published += 1;
        self.lane_mut(LaneId(level)).enqueue(message, keep);
        keep
    }

    /// Messages ready.
    pub(crate) fn ready(&self) -> u64 {
        self.lanes.iter().map(Lane::ready).sum()
    }

    /// Octets that wait for the next commit.
    pub(crate) fn fresh_octets(&self) -> u64 {
        self.lanes.iter().map(Lane::fresh_octets).sum()
    }

    /// Tells the shard how much memory it uses now.
    pub(crate) fn account(&mut self, memory: &mut Memory) {
        let now = MemoryUse {
            volatile: self.lanes.iter().map(Lane::volatile_octets).sum(),
            cached: self.lanes.iter().map(Lane::cached_octets).sum(),
        };
        memory.account(std::mem::replace(&mut self.accounted, now), now);
    }

    /// It is gone and uses no memory.
    pub(crate) fn forget_memory(&mut self, memory: &mut Memory) {
        memory.account(std::mem::take(&mut self.accounted), MemoryUse::default());
    }

    /// Who still waits for a message.
    pub(crate) fn take_gets(&mut self) -> VecDeque<PendingGet> {
        std::mem::take(&mut self.pending_gets)
    }

    /// How many messages the consumers of each channel hold, channel by channel as it comes.
    pub(crate) fn held_by_consumers(&self) -> Vec<(ChannelSlot, u64)> {
        let mut held: Vec<(ChannelSlot, u64)> = Vec::new();
        for consumer in self.consumers.iter().filter(|consumer| consumer.unacked > 0) {
            held.push((consumer.channel, consumer.unacked));
        }
        held
    }

    /// What there is to say to an operator.
    pub(crate) fn statistics(&self) -> QueueStatistics {
        QueueStatistics {
            ready: self.ready(),
            unacked: self.lanes.iter().map(Lane::unacked).sum(),
            consumers: self.consumers.count() as u64,
            octets: self.lanes.iter().map(Lane::octets).sum(),
            missing: self.lanes.iter().map(Lane::missing).sum(),
            ..self.counters
        }
    }

    /// Settles what `channel` holds.
    pub(crate) fn settle(&mut self, channel: ChannelSlot, settle: &Settle) -> Released {
        let mut released = Released::default();
        for run in &settle.runs {
            self.settle_run(channel, settle.settlement, *run, &mut released);
        }
        released
    }

    /// A channel ended: what it held returns, counted as failed deliveries.
    pub(crate) fn release_all(&mut self, channel: ChannelSlot) -> Released {
        self.pending_gets.retain(|get| get.slot != channel);
        let mut released = Released::default();
        for level in 0..self.lanes.len() {
            let mut taken = std::mem::take(&mut self.taken);
            if let Some(lane) = self.lanes.get_mut(level) {
                lane.release_all(channel, &mut taken);
            }
            self.finish(level, Settlement::Requeue, taken, &mut released);
        }
        released
    }

    /// Settles all that is ready; how many there were.
    pub(crate) fn purge(&mut self) -> u64 {
        self.lanes.iter_mut().map(Lane::purge).sum()
    }

    /// Adds what the store has to learn; returns the pages among it.
    pub(crate) fn take_commit(&mut self, operations: &mut Vec<Operation>) -> Vec<(LaneId, Offset)> {
        let mut pages = Vec::new();
        let before = operations.len();
        for (level, lane) in self.lanes.iter_mut().enumerate() {
            let level = LaneId(level as u8);
            let new = lane.take_commit(self.options.durable, self.id, level, operations);
            pages.extend(new.into_iter().map(|first| (level, first)));
        }
        self.is_dirty = false;
        self.is_stored |= operations.len() > before;
        pages
    }

    /// The store has a page.
    pub(crate) fn handle_committed(&mut self, lane: LaneId, first: Offset, is_room: bool) {
        if let Some(lane) = self.lanes.get_mut(usize::from(lane.0)) {
            lane.handle_committed(first, is_room);
        }
    }

    /// What to ask the store for.
    pub(crate) fn poll_fetch(&mut self) -> Option<(LaneId, Offset)> {
        let lanes = self.lanes.iter_mut().enumerate();
        lanes.rev().find_map(|(level, lane)| Some((LaneId(level as u8), lane.poll_fetch()?)))
    }

    /// What the store had. Returns whether the store has to learn of a loss.
    pub(crate) fn handle_fetched(&mut self, lane: LaneId, from: Offset, pages: Vec<Page>) -> bool {
        let lane = self.lanes.get_mut(usize::from(lane.0));
        lane.is_some_and(|lane| lane.handle_fetched(from, pages))
    }

    /// Drops content that is in the store until `octets` are free; how many were freed.
    pub(crate) fn evict(&mut self, octets: u64) -> u64 {
        let mut freed = 0;
        for lane in &mut self.lanes {
            if freed < octets {
                freed += lane.evict(octets - freed);
            }
        }
        freed
    }

    fn lane_mut(&mut self, lane: LaneId) -> &mut Lane {
        let level = usize::from(lane.0);
        while self.lanes.len() <= level {
            self.lanes.push(Lane::default());
        }
        // There is one at every level up to this.
        #[allow(clippy::indexing_slicing)]
        &mut self.lanes[level]
    }

    fn settle_run(
        &mut self,
        channel: ChannelSlot,
        settlement: Settlement,
        run: Run,
        released: &mut Released,
    ) {
        let level = usize::from(run.lane.0);
        let Some(lane) = self.lanes.get_mut(level) else { return };
        let mut taken = std::mem::take(&mut self.taken);
        lane.release(channel, run, &mut taken);
        self.finish(level, settlement, taken, released);
    }

    /// Ends deliveries that were taken out of flight.
    fn finish(
        &mut self,
        level: usize,
        settlement: Settlement,
        mut taken: Vec<(Offset, Held)>,
        released: &mut Released,
    ) {
        let Some(lane) = self.lanes.get_mut(level) else { return };
        let count = taken.len() as u64;
        match settlement {
            Settlement::Ack | Settlement::Reject => {
                let settled = taken.iter().map(|(offset, held)| (*offset, held.size));
                released.is_stored |= lane.settle(settled);
                self.counters.acked += count;
            }
            Settlement::Requeue | Settlement::Recover => {
                lane.give_back(&taken, settlement == Settlement::Requeue);
                released.is_stored |= settlement == Settlement::Requeue && count > 0;
                self.counters.returned += count;
            }
        }
        for same in taken.chunk_by(|(_, a), (_, b)| a.consumer == b.consumer) {
            if let Some(consumer) = same.first().and_then(|(_, held)| held.consumer) {
                self.consumers.settled(consumer, same.len() as u64);
                released.consumed += same.len() as u64;
            }
        }
        taken.clear();
        self.taken = taken;
    }
}
