//! A queue: its lanes of messages, its consumers, and who waits for one of its messages. Owned by
//! the [`Shard`](crate::shard::Shard), which tells it what happened and gives it turns; it knows
//! nothing of names and of other queues.

mod age;
mod chunk;
mod consumers;
mod dead;
mod discarded;
mod dispatch;
mod ending;
mod expiry;
mod expiry_bounds;
mod fresh;
mod in_flight;
mod lane;
mod late;
mod length;
mod log;
mod marks;
mod offset_set;
mod pages;
mod quarantine;
mod rules;
mod state;
mod statistics;
mod stored;
mod sweeping;
mod time_outs;
mod timings;
mod trial;
mod visibility;
mod volatile;

pub(crate) use age::{Moment, SteadyClock};
pub(crate) use consumers::{Consumer, ConsumerId, Consumers};
pub(crate) use dead::{DeadLetter, DeathReason};
pub(crate) use discarded::Discarded;
pub(crate) use dispatch::{GetKind, Next, PendingGet};
pub(crate) use ending::ChannelEnding;
pub use rules::QueueDefaults;
pub(crate) use rules::{DeadLetters, Rules};
pub use state::QueueState;
pub use statistics::QueueStatistics;
pub use timings::{DISTRIBUTION_BUCKETS, Distribution, Timings};

use crate::delivered_record::DeliveredRecord;
use crate::ids::{Lane as LaneId, Offset, Position, QueueId};
use crate::message::Message;
use crate::operation::{Operation, RecoveredLane};
use crate::page::Page;
use crate::shard::clients::{ChannelSlot, Clients, HeldCount};
use crate::shard::{Memory, MemoryUse};
use crate::time::Monotonic;
use in_flight::Held;
use lane::Lane;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    id: QueueId,
    state: QueueState,
    rules: Rules,
    /// By level; only as many as have been used.
    lanes: Vec<Lane>,
    pub(crate) consumers: Consumers,
    pending_gets: VecDeque<PendingGet>,
    pub(crate) had_consumers: bool,
    /// Waits for a turn.
    pub(crate) is_scheduled: bool,
    /// Has something for the next commit.
    pub(crate) is_dirty: bool,
    /// Has messages in the buffers they were received in.
    pub(crate) is_loose: bool,
    /// Has something in the store.
    pub(crate) is_stored: bool,
    counters: QueueStatistics,
    accounted: MemoryUse,
    /// When somebody last used it.
    used_at: Option<Monotonic>,
    /// When the head of a lane expires.
    head_deadline: Option<Monotonic>,
    /// When to look whether a delivery was held too long.
    overdue_at: Option<Monotonic>,
    /// When the time that a delivery may be held was set, or made shorter.
    timed_since: Monotonic,
    /// Consumers that let a delivery time out and may hold others, with their channels.
    hung: Vec<(ConsumerId, ChannelSlot)>,
    /// When a connection was last lost that held messages.
    lost_at: Option<Monotonic>,
    /// When to try again who may have a quarantined message.
    quarantine_at: Option<Monotonic>,
    /// The time-out that the shard keeps for it.
    pub(crate) timer: Option<Monotonic>,
    /// Reused from one settlement to the next.
    taken: Vec<(Offset, Held)>,
}

impl Queue {
    /// An empty queue.
    pub(crate) fn new(id: QueueId, rules: Rules) -> Self {
        Self {
            id,
            state: QueueState::default(),
            consumers: Consumers::new(rules.single_active),
            rules,
            lanes: vec![Lane::default()],
            pending_gets: VecDeque::new(),
            had_consumers: false,
            is_scheduled: false,
            is_dirty: false,
            is_loose: false,
            is_stored: false,
            counters: QueueStatistics::default(),
            accounted: MemoryUse::default(),
            used_at: None,
            head_deadline: None,
            overdue_at: None,
            timed_since: Monotonic::default(),
            hung: Vec::new(),
            lost_at: None,
            quarantine_at: None,
            timer: None,
            taken: Vec::new(),
        }
    }

    /// Takes a lane that the store holds.
    pub(crate) fn recover(
        &mut self,
        recovered: &RecoveredLane,
        delivered: Option<&DeliveredRecord>,
    ) {
        self.is_stored = true;
        *self.lane_mut(recovered.lane) = Lane::recover(recovered, delivered);
    }

    /// Whether it can be served.
    pub(crate) fn state(&self) -> &QueueState {
        &self.state
    }

    /// Stored messages of it can't be read, as was found at the start.
    pub(crate) fn recover_damaged(&mut self, what: Arc<str>) {
        self.state = QueueState::Damaged(what);
    }

    /// A fetch can't be answered. Whether the queue is set aside because of it: not when all messages
    /// from there on were settled meanwhile, nor when it is already.
    pub(crate) fn handle_damaged(&mut self, lane: LaneId, from: Offset, what: Arc<str>) -> bool {
        let lane = self.lanes.get_mut(usize::from(lane.0));
        let is_needed = lane.is_some_and(|lane| lane.handle_damaged(from));
        if !is_needed || self.state.is_damaged() {
            return false;
        }
        self.state = QueueState::Damaged(what);
        self.lanes.iter_mut().for_each(Lane::want_nothing);
        true
    }

    /// Takes all consumers away.
    pub(crate) fn take_consumers(&mut self) -> Consumers {
        std::mem::replace(&mut self.consumers, Consumers::new(self.rules.single_active))
    }

    /// Adds up to where its lanes were delivered, as far as the store has messages of them.
    pub(crate) fn note_delivered(&self, record: &mut DeliveredRecord) {
        let lanes = self.lanes.iter().enumerate().filter(|_| self.rules.durable);
        record.lanes.extend(lanes.filter_map(|(level, lane)| {
            Some(((self.id, LaneId(level as u8)), lane.delivered_to()?))
        }));
    }

    /// Its settings changed. A time without use counts from the moment when it was set.
    pub(crate) fn set_rules(&mut self, rules: Rules, now: Monotonic) {
        if rules.expires != self.rules.expires {
            self.used(now);
        }
        let before = std::mem::replace(&mut self.rules, rules).consumer_timeout;
        self.change_consumer_timeout(before, now);
    }

    /// Whether its messages may outlive the process.
    pub(crate) fn is_durable(&self) -> bool {
        self.rules.durable
    }

    /// Adds a message; whether it goes to the store. `has_room`: memory takes those that are not
    /// to be kept.
    pub(crate) fn enqueue(&mut self, message: Message, has_room: bool, at: Moment) -> bool {
        let keep = (self.rules.durable && message.is_persistent()) || !has_room;
        let level = message.priority().min(self.rules.priority_max);
        self.counters.published += 1;
        self.lane_mut(LaneId(level)).enqueue(message, keep, at);
        keep
    }

    /// Messages ready.
    pub(crate) fn ready(&self) -> u64 {
        self.lanes.iter().map(Lane::ready).sum()
    }

    /// Tells the shard how much memory it uses now.
    pub(crate) fn account(&mut self, memory: &mut Memory) {
        let mut now = MemoryUse::default();
        for lane in &self.lanes {
            lane.add_memory(&mut now);
        }
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

    /// How many messages each channel holds, with settlements that it owes.
    pub(crate) fn held_by_channels(&self) -> BTreeMap<ChannelSlot, HeldCount> {
        let mut held: BTreeMap<ChannelSlot, HeldCount> = BTreeMap::new();
        for (delivery, count) in self.lanes.iter().flat_map(Lane::held_or_owed) {
            let of_channel = held.entry(delivery.channel).or_default();
            of_channel.all += count;
            of_channel.consumed += if delivery.consumer.is_some() { count } else { 0 };
        }
        held
    }

    /// A client had a quarantined message in its hands for long enough.
    pub(crate) fn survived(&mut self, channel: ChannelSlot, position: Position) {
        if let Some(lane) = self.lanes.get_mut(usize::from(position.lane.0)) {
            lane.survived(channel, position.offset);
        }
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

    /// The same with the ages of messages.
    pub(crate) fn report(&self, at: Moment, clients: &Clients) -> QueueStatistics {
        let age = |stamp: i128| u64::try_from(at.steady - stamp).unwrap_or(0);
        let oldest = self.lanes.iter().filter_map(Lane::oldest_stamp).min();
        let head = self.lanes.iter().rev().find(|lane| lane.ready() > 0);
        QueueStatistics {
            has_credit: self.consumers.have_credit(clients),
            oldest_age: oldest.map(age),
            head_age: head.and_then(Lane::head_stamp).map(age),
            ..self.statistics()
        }
    }

    /// Asks for the oldest messages whose age nobody knows; whether for any.
    pub(crate) fn want_unknown_ages(&mut self) -> bool {
        if self.state.is_damaged() {
            return false;
        }
        self.lanes.iter_mut().map(Lane::want_unknown_age).filter(|is_news| *is_news).count() > 0
    }

    /// Settles all that is ready; how many there were. What they took in memory is added to `discarded`.
    /// What was damaged is not needed any more: should a message that a client holds be, the queue is set
    /// aside again when that one comes back.
    pub(crate) fn purge(&mut self, discarded: &mut Discarded) -> u64 {
        self.state = QueueState::Running;
        let purged = self.lanes.iter_mut().map(|lane| lane.purge(discarded)).sum();
        self.counters.purged += purged;
        purged
    }

    /// It is gone: takes out what its messages take in memory.
    pub(crate) fn discard(&mut self, discarded: &mut Discarded) {
        self.lanes.iter_mut().for_each(|lane| lane.discard(discarded));
    }

    /// Adds what the store has to learn; returns the pages among it.
    pub(crate) fn take_commit(&mut self, operations: &mut Vec<Operation>) -> Vec<(LaneId, Offset)> {
        let mut pages = Vec::new();
        let before = operations.len();
        for (level, lane) in self.lanes.iter_mut().enumerate() {
            let level = LaneId(level as u8);
            let new = lane.take_commit(self.rules.durable, self.id, level, operations);
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

    /// What to ask the store for: from which offset on, and up to how many octets.
    pub(crate) fn poll_fetch(&mut self) -> Option<(LaneId, Offset, usize)> {
        if self.state.is_damaged() {
            return None;
        }
        let lanes = self.lanes.iter_mut().enumerate();
        lanes.rev().find_map(|(level, lane)| {
            let (from, octets_max) = lane.poll_fetch()?;
            Some((LaneId(level as u8), from, octets_max))
        })
    }

    /// What the store had. Returns whether the store has to learn of a loss.
    pub(crate) fn handle_fetched(&mut self, lane: LaneId, from: Offset, pages: Vec<Page>) -> bool {
        let lane = self.lanes.get_mut(usize::from(lane.0));
        lane.is_some_and(|lane| lane.handle_fetched(from, pages))
    }

    /// Copies what is in memory alone out of the buffers it was received in.
    pub(crate) fn settle_down(&mut self) {
        self.is_loose = false;
        self.lanes.iter_mut().for_each(Lane::settle_down);
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
}
