//! A queue: its levels of messages, its consumers and the `basic.get`s that wait for content. Owned by
//! the [`Shard`](crate::shard::Shard), which tells it what happened and gives it turns; it knows
//! nothing of names and of other queues.

mod blocked;
mod browsing;
mod chunk;
mod clock_skew;
mod consumers;
mod dead_letter;
mod deduplicating;
mod delayed;
mod delivery_limits;
mod delivery_pass;
mod delivery_timeouts;
mod discarded;
mod ending;
mod expiry;
mod expiry_bounds;
mod gets;
mod groups;
mod length;
mod level;
mod message_states;
mod offset_set;
mod overdue_deliveries;
mod pages;
mod parking;
mod publish_times;
mod quarantine;
mod quarantine_delivery;
mod recording;
mod retry_rule;
mod rules;
mod settled_state;
mod state;
mod statistics;
mod store_changes;
mod time_outs;
mod timings;
mod unwritten;
mod volatile;

pub(crate) use clock_skew::{Instants, SteadyClock};
pub use consumers::ConsumerActivity;
pub(crate) use consumers::{Consumer, Consumers};
pub(crate) use dead_letter::DeadLetter;
pub(crate) use delayed::{Delayed, DelayedRead, due_on_the_wall, first_behind};
pub use delivery_limits::HeldBack;
pub(crate) use delivery_pass::{GetKind, Next, PendingGet};
pub(crate) use discarded::Discarded;
pub(crate) use ending::ChannelEnding;
pub(crate) use recording::Coming;
pub(crate) use rules::{DeadLetters, Rules};
pub use rules::{DefaultsInForce, QueueDefaults};
pub use state::QueueState;
pub use statistics::QueueStatistics;
pub use timings::{DISTRIBUTION_BUCKETS, Distribution, Timings};

use crate::credit::ConsumerId;
use crate::credit::{ChannelSlot, Clients, HeldCount};
use crate::credit::{Memory, MemoryUse};
use crate::delivered_record::DeliveredRecord;
use crate::limits::{GROUP_BLOCKED_MAX, PARKED_MESSAGES_MAX};
use crate::model::{Level, Message, Monotonic, Offset, Position, QueueId};
use crate::operation::{Operation, RecoveredLevel};
use crate::page::Page;
use crate::trace::{Lives, QueueSpans, SpannedMessage};
use deduplicating::Deduplication;
use delivery_limits::DeliveryLimits;
use groups::Groups;
use level::PriorityLevel;
use message_states::Held;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    id: QueueId,
    state: QueueState,
    rules: Rules,
    /// By level; only as many as have been used.
    levels: Vec<PriorityLevel>,
    pub(crate) consumers: Consumers,
    pending_gets: VecDeque<PendingGet>,
    pub(crate) had_consumers: bool,
    /// Waits for a turn.
    pub(crate) is_scheduled: bool,
    /// Has something for the next commit.
    pub(crate) is_dirty: bool,
    /// Has messages in the buffers they were received in.
    pub(crate) is_borrowed: bool,
    /// Has something in the store.
    pub(crate) is_stored: bool,
    counters: QueueStatistics,
    accounted: MemoryUse,
    /// When a client last used it.
    used_at: Option<Monotonic>,
    /// Messages that are not due yet; `None`: there never were any.
    delayed: Option<Box<Delayed>>,
    /// When it wants a turn for the sake of those.
    delayed_at: Option<Monotonic>,
    /// When the head of a level expires.
    head_deadline: Option<Monotonic>,
    /// When to look whether a delivery was held too long.
    overdue_at: Option<Monotonic>,
    /// When the time that a delivery may be held was set, or made shorter.
    timed_since: Monotonic,
    /// Consumers that let a delivery time out and may hold others, with their channels.
    hung: Vec<(ConsumerId, ChannelSlot)>,
    /// When a connection that held messages was last lost.
    lost_at: Option<Monotonic>,
    /// When a connection may be given a quarantined message that may not now.
    quarantine_at: Option<Monotonic>,
    /// When the first of the messages is due that wait.
    parked_until: Option<Monotonic>,
    /// Until its first turn nobody knows when the messages are due that the store told of.
    has_recovered_parked: bool,
    /// Messages that may wait after they came back.
    parked_max: u64,
    dedup: Deduplication,
    limits: DeliveryLimits,
    groups: Groups,
    /// The lives of its last messages; `None`: it keeps none.
    lives: Option<Box<Lives>>,
    /// Its spans; `None`: nobody wants them.
    spans: Option<Box<QueueSpans>>,
    /// Ready messages that may wait behind others of their groups.
    blocked_max: u64,
    /// The time-out that the shard keeps for it.
    pub(crate) timer: Option<Monotonic>,
    /// Reused from one settlement to the next.
    ended: Vec<(Offset, Held)>,
}

impl Queue {
    /// An empty queue.
    pub(crate) fn new(id: QueueId, rules: Rules) -> Self {
        Self {
            id,
            state: QueueState::default(),
            consumers: Consumers::new(rules.single_active),
            limits: DeliveryLimits::new(&rules),
            lives: rules.trace.map(|most| Box::new(Lives::new(most))),
            spans: None,
            rules,
            levels: vec![PriorityLevel::default()],
            pending_gets: VecDeque::new(),
            had_consumers: false,
            is_scheduled: false,
            is_dirty: false,
            is_borrowed: false,
            is_stored: false,
            counters: QueueStatistics::default(),
            accounted: MemoryUse::default(),
            used_at: None,
            delayed: None,
            delayed_at: None,
            head_deadline: None,
            overdue_at: None,
            timed_since: Monotonic::default(),
            hung: Vec::new(),
            lost_at: None,
            quarantine_at: None,
            parked_until: None,
            has_recovered_parked: false,
            parked_max: PARKED_MESSAGES_MAX,
            dedup: Deduplication::default(),
            groups: Groups::default(),
            blocked_max: GROUP_BLOCKED_MAX,
            timer: None,
            ended: Vec::new(),
        }
    }

    /// Takes a level that the store holds.
    pub(crate) fn recover(
        &mut self,
        recovered: &RecoveredLevel,
        delivered: Option<&DeliveredRecord>,
    ) {
        self.is_stored = true;
        let level = PriorityLevel::recover(recovered, delivered);
        self.has_recovered_parked |= level.parked() > 0;
        *self.level_mut(recovered.level) = level;
        self.recover_groups(recovered.level);
    }

    /// Whether it can be served.
    pub(crate) fn state(&self) -> &QueueState {
        &self.state
    }

    /// Messages of it that the store has can't be read, as was found at the start.
    pub(crate) fn recover_damaged(&mut self, what: Arc<str>) {
        self.state = QueueState::Damaged(what);
    }

    /// A fetch can't be answered. Whether the queue is set aside because of it: not when all messages
    /// from there on were settled meanwhile, nor when it is already.
    pub(crate) fn handle_damaged(&mut self, level: Level, from: Offset, what: Arc<str>) -> bool {
        let level = self.levels.get_mut(usize::from(level.0));
        let is_needed = level.is_some_and(|level| level.handle_damaged(from));
        if !is_needed || self.state.is_damaged() {
            return false;
        }
        self.set_damaged(what);
        true
    }

    fn set_damaged(&mut self, what: Arc<str>) {
        self.state = QueueState::Damaged(what);
        self.levels.iter_mut().for_each(PriorityLevel::stop_wanting);
    }

    /// Takes all consumers away.
    pub(crate) fn take_consumers(&mut self) -> Consumers {
        std::mem::replace(&mut self.consumers, Consumers::new(self.rules.single_active))
    }

    /// Adds up to where its levels were delivered, as far as the store has messages of them.
    pub(crate) fn note_delivered(&self, record: &mut DeliveredRecord) {
        let levels = self.levels.iter().enumerate().filter(|_| self.rules.durable);
        record.levels.extend(levels.filter_map(|(priority, level)| {
            Some(((self.id, Level(priority as u8)), level.delivered_to()?))
        }));
    }

    /// Its settings changed. A time without use counts from the moment when it was set.
    pub(crate) fn set_rules(&mut self, rules: Rules, now: Monotonic) {
        if rules.expires != self.rules.expires {
            self.used(now);
        }
        let before = std::mem::replace(&mut self.rules, rules);
        self.change_consumer_timeout(before.consumer_timeout, now);
        if before.dedup != self.rules.dedup {
            self.change_dedup_rule(now);
        }
        if before.rate_limit != self.rules.rate_limit {
            self.change_limits();
        }
        if before.group != self.rules.group {
            self.forget_groups();
        }
        if before.trace != self.rules.trace {
            self.change_trace();
        }
    }

    /// Whether its messages may outlive the process.
    pub(crate) fn is_durable(&self) -> bool {
        self.rules.durable
    }

    /// Adds a message, or keeps it back until it is due; whether it goes to the store. `coming`: what to record
    /// of it, where that is done. `has_room`: memory takes those that are not to be kept.
    pub(crate) fn enqueue(
        &mut self,
        message: Message,
        coming: Option<Coming>,
        has_room: bool,
        at: Instants,
    ) -> bool {
        let spanned = self.spans.as_ref().and_then(|_| SpannedMessage::of(&message));
        let how = spanned.as_ref().and(coming.as_ref()).map(Coming::happening);
        let life = self.record_coming(&message, coming, at);
        let message = match self.delay(message, at) {
            Ok(message) => message,
            Err(id) => {
                self.record_delay(life, id, due_on_the_wall(id, at), at);
                return true;
            }
        };
        let persist = (self.rules.durable && message.is_persistent()) || !has_room;
        let priority = message.priority().min(self.rules.priority_max);
        self.counters.published += 1;
        let level = Level(priority);
        let offset = self.level_mut(level).enqueue(message, persist, at);
        let position = Position { level, offset };
        self.record_place(life, position);
        if let (Some(spans), Some(message), Some(how)) = (&mut self.spans, spanned, how) {
            spans.came(position, &message, how, persist, at.wall);
        }
        persist
    }

    /// Messages ready.
    pub(crate) fn ready(&self) -> u64 {
        self.levels.iter().map(PriorityLevel::ready).sum()
    }

    /// Tells the shard how much memory it uses now.
    pub(crate) fn account(&mut self, memory: &mut Memory) {
        let mut now = MemoryUse::default();
        for level in &self.levels {
            level.add_memory(&mut now);
        }
        if let Some(delayed) = &self.delayed {
            now.unwritten += delayed.unwritten_bytes();
            now.cached += delayed.stored_cost();
        }
        now.lives = self.lives_bytes();
        memory.account(std::mem::replace(&mut self.accounted, now), now);
    }

    /// The queue is deleted: it uses no memory any more.
    pub(crate) fn forget_memory(&mut self, memory: &mut Memory) {
        memory.account(std::mem::take(&mut self.accounted), MemoryUse::default());
    }

    /// Takes the `basic.get`s that wait for a message.
    pub(crate) fn take_gets(&mut self) -> VecDeque<PendingGet> {
        std::mem::take(&mut self.pending_gets)
    }

    /// How many deliveries each channel has not settled, overdue ones among them.
    pub(crate) fn held_by_channels(&self) -> BTreeMap<ChannelSlot, HeldCount> {
        let mut held: BTreeMap<ChannelSlot, HeldCount> = BTreeMap::new();
        for delivery in self.levels.iter().flat_map(PriorityLevel::unsettled_deliveries) {
            let of_channel = held.entry(delivery.channel).or_default();
            of_channel.all += 1;
            of_channel.consumed += u64::from(delivery.consumer.is_some());
        }
        held
    }

    /// A channel held a quarantined message for long enough.
    pub(crate) fn survived(&mut self, channel: ChannelSlot, position: Position) {
        if let Some(level) = self.levels.get_mut(usize::from(position.level.0)) {
            level.survived(channel, position.offset);
        }
    }

    /// Its counts and counters, without ages.
    pub(crate) fn statistics(&self) -> QueueStatistics {
        QueueStatistics {
            ready: self.ready(),
            unacked: self.levels.iter().map(PriorityLevel::unacked).sum(),
            parked: self.parked(),
            blocked: self.blocked(),
            groups_held: self.groups.held(),
            consumers: self.consumers.count() as u64,
            bytes: self.levels.iter().map(PriorityLevel::bytes).sum(),
            missing: self.levels.iter().map(PriorityLevel::missing).sum(),
            delayed: self.delayed_count(),
            delayed_bytes: self.delayed.as_ref().map_or(0, |delayed| delayed.bytes()),
            dedup_keys: self.dedup_keys(),
            ..self.counters
        }
    }

    /// What [`Self::statistics`] has, with the ages of messages and whether a consumer has credit.
    pub(crate) fn report(&self, at: Instants, clients: &Clients) -> QueueStatistics {
        let age = |stamp: i128| u64::try_from(at.steady - stamp).unwrap_or(0);
        let oldest = self.levels.iter().filter_map(PriorityLevel::oldest_stamp).min();
        let head = self.levels.iter().rev().find(|level| level.ready() > 0);
        QueueStatistics {
            has_credit: self.consumers.have_credit(clients),
            next_delayed: self.delayed.as_ref().and_then(|delayed| delayed.next_due(at)),
            held_back: self.limits.held_back().filter(|_| head.is_some()),
            oldest_age: oldest.map(age),
            head_age: head.and_then(PriorityLevel::head_stamp).map(age),
            next_due: self.next_due(at.monotonic),
            ..self.statistics()
        }
    }

    /// Asks for the oldest message of each level whose age is not known; whether for any.
    pub(crate) fn want_unknown_ages(&mut self) -> bool {
        if self.state.is_damaged() {
            return false;
        }
        self.levels
            .iter_mut()
            .map(PriorityLevel::want_unknown_age)
            .filter(|is_news| *is_news)
            .count()
            > 0
    }

    /// Settles all that is ready or waits after it came back; how many there were. What they took in memory is added to `discarded`.
    /// What was damaged is not needed any more: should a message that a client holds be, the queue is set
    /// aside again when that one comes back.
    pub(crate) fn purge(&mut self, discarded: &mut Discarded, at: Instants) -> u64 {
        self.state = QueueState::Running;
        self.record_purge(at);
        let purged = self.levels.iter_mut().map(|level| level.purge(discarded)).sum();
        self.parked_until = None;
        self.counters.purged += purged;
        purged
    }

    /// The queue is deleted: takes out what its messages take in memory.
    pub(crate) fn discard(&mut self, discarded: &mut Discarded) {
        self.levels.iter_mut().for_each(|level| level.discard(discarded));
    }

    /// Adds what the store has to learn; returns the pages among it, and up to where the keys are in this
    /// commit, when it has any.
    pub(crate) fn take_commit(
        &mut self,
        operations: &mut Vec<Operation>,
    ) -> (Vec<(Level, Offset)>, Option<u64>) {
        let mut pages = Vec::new();
        let keys = self.take_keys(operations);
        let before = operations.len();
        for (priority, level) in self.levels.iter_mut().enumerate() {
            let priority = Level(priority as u8);
            let new = level.take_commit(self.rules.durable, self.id, priority, operations);
            pages.extend(new.into_iter().map(|first| (priority, first)));
        }
        self.is_dirty = false;
        self.is_stored |= operations.len() > before;
        (pages, keys)
    }

    /// The store has a page.
    pub(crate) fn handle_committed(&mut self, level: Level, first: Offset, is_room: bool) {
        if let Some(level) = self.levels.get_mut(usize::from(level.0)) {
            level.handle_committed(first, is_room);
        }
    }

    /// What to ask the store for: from which offset on, and up to how many bytes.
    pub(crate) fn poll_fetch(&mut self) -> Option<(Level, Offset, usize)> {
        if self.state.is_damaged() {
            return None;
        }
        let levels = self.levels.iter_mut().enumerate();
        levels.rev().find_map(|(priority, level)| {
            let (from, bytes_max) = level.poll_fetch()?;
            Some((Level(priority as u8), from, bytes_max))
        })
    }

    /// Takes the pages that the store had. Returns whether the store has to learn of a lost message.
    pub(crate) fn handle_fetched(&mut self, level: Level, from: Offset, pages: Vec<Page>) -> bool {
        let level = self.levels.get_mut(usize::from(level.0));
        level.is_some_and(|level| level.handle_fetched(from, pages))
    }

    /// Copies what is in memory alone out of the buffers it was received in.
    pub(crate) fn copy_out(&mut self) {
        self.is_borrowed = false;
        self.levels.iter_mut().for_each(PriorityLevel::copy_out);
    }

    /// Drops content that is in the store until `bytes` are free; how many were freed.
    pub(crate) fn evict(&mut self, bytes: u64) -> u64 {
        let mut freed = 0;
        for level in &mut self.levels {
            if freed < bytes {
                freed += level.evict(bytes - freed);
            }
        }
        if let Some(delayed) = self.delayed.as_mut().filter(|_| freed < bytes) {
            freed += delayed.evict(bytes - freed);
        }
        freed
    }

    /// The messages that outlive the process, by level, with their failures and returns.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> Vec<Vec<(Offset, u32, u32)>> {
        let mut kept: Vec<_> = self.levels.iter().map(PriorityLevel::kept).collect();
        kept.truncate(kept.iter().rposition(|level| !level.is_empty()).map_or(0, |last| last + 1));
        kept
    }

    fn level_mut(&mut self, level: Level) -> &mut PriorityLevel {
        let priority = usize::from(level.0);
        while self.levels.len() <= priority {
            self.levels.push(PriorityLevel::default());
        }
        // There is one at every level up to this.
        #[allow(clippy::indexing_slicing)]
        &mut self.levels[priority]
    }
}

#[cfg(test)]
mod tests;
