//! The shard: owner of the topology and of all queues. Connections send it commands, the server
//! drives it: one input at a time, then all `poll_*` until they have nothing more.
//!
//! One thread owns it. It promises nothing to a client before what it promises is durable, and it
//! writes nothing itself: it hands out commits and fetches and is told how they ended.

mod administering;
mod browsing;
mod commit_waiters;
mod commits;
mod consuming;
mod damaged_queues;
mod dead_letter_copy;
mod dead_letters;
mod death_record;
mod deduplicating;
mod delayed;
mod delayed_requests;
mod direct_replies;
mod import;
mod leases;
mod listings;
mod policies;
mod publishing;
mod recovery;
mod schedules;
mod shared_bodies;
mod spans;
mod statistics;
mod tasks;
#[cfg(test)]
mod tests;
mod topology_requests;
mod traces;
mod transactions;
mod turns;

pub use crate::deduplication::KeyRecordError;
pub use crate::queue::{
    DISTRIBUTION_BUCKETS, DefaultsInForce, Distribution, HeldBack, QueueDefaults, QueueState,
    QueueStatistics, Timings,
};
pub use damaged_queues::DamagedFetch;
pub use delayed::{DamagedDelayedFetch, DelayedFetch, DelayedFetched};
pub use recovery::RecoverError;
pub use schedules::{ScheduleListing, ScheduleReport, ScheduleTotals};
pub use statistics::{QueueReport, QueueTurnover, Report, ShardStatistics};

pub use crate::credit::{ChannelReport, MemoryLimits, WorkLimits};
pub use crate::queue::ConsumerActivity;
pub use listings::{ChannelListing, ConsumerListing, ConsumerReport};

use crate::BrokerSnapshot;
use crate::access::AccessControl;
use crate::command::Command;
use crate::credit::{Clients, Memory, Outbox, Work};
use crate::delivered_record::DeliveredRecord;
use crate::event::{Event, Reply};
use crate::model::{
    ChannelId, ChannelKey, Closure, CommitId, ConnectionId, Fault, Level, Monotonic, Now, Offset,
    QueueId,
};
use crate::operation::Commit;
use crate::page::Page;
use crate::queue::{ChannelEnding, Discarded, GetKind, Instants, Queue, SteadyClock};
use crate::topology::Topology;
use browsing::Browses;
use commits::{Changed, Commits, NewKeys, NewPage};
use deduplicating::DeadKeyRecords;
use delayed::Calendar;
use delayed_requests::DelayedRequests;
use forebay_wire::ShortStr;
use schedules::Schedules;
use shared_bodies::SharedBodies;
use spans::Spans;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tasks::Tasks;

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// Virtual hosts to be made when they are not there.
    pub vhosts: Vec<ShortStr>,
    /// What holds for queues that don't say themselves.
    pub queue_defaults: QueueDefaults,
}

/// Content to be read from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The queue.
    pub queue: QueueId,
    /// The level of it.
    pub level: Level,
    /// The first offset wanted: the page that covers it, and those after it.
    pub from: Offset,
    /// Bytes after which to stop.
    pub bytes_max: usize,
}

/// What the store had for a [`Fetch`].
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The queue.
    pub queue: QueueId,
    /// The level of it.
    pub level: Level,
    /// As asked for.
    pub from: Offset,
    /// The pages, ascending.
    pub pages: Vec<Page>,
}

/// The topology and all queues.
#[derive(Debug)]
pub struct Shard {
    topology: Topology,
    access: AccessControl,
    /// Boxed: the tree's nodes are half empty when queues come in the order of their ids.
    queues: BTreeMap<QueueId, Box<Queue>>,
    clients: Clients,
    outbox: Outbox,
    commits: Commits,
    memory: Memory,
    clock: SteadyClock,
    queue_defaults: QueueDefaults,
    /// Queues that are to be given a turn.
    scheduled: VecDeque<QueueId>,
    work: Work,
    tasks: Tasks,
    /// Messages of queues that were deleted or purged, to be freed.
    discarded: VecDeque<Discarded>,
    /// Records of deduplication keys that are to be removed.
    dead_key_records: VecDeque<DeadKeyRecords>,
    /// Queues that may have messages in the buffers they were received in.
    borrowed: Vec<QueueId>,
    /// Queues that want content.
    fetches: VecDeque<QueueId>,
    /// Queues that want delayed messages from the store.
    delayed_reads: VecDeque<QueueId>,
    calendar: Calendar,
    /// Requests of operators about delayed messages.
    delayed_requests: DelayedRequests,
    schedules: Schedules,
    /// When queues want a turn.
    timers: BTreeSet<(Monotonic, QueueId)>,
    /// Walks of operators over queues.
    browses: Browses,
    /// Where the search for content to drop goes on.
    evict_from: QueueId,
    /// Which queue is the next to drop what it tells of its messages.
    lives_from: QueueId,
    last_consumer: u64,
    /// What was stored of deliveries when the process was about to end.
    delivered: Option<DeliveredRecord>,
    /// What queues counted that are gone.
    gone: QueueStatistics,
    /// How long messages took, in all queues.
    timings: Timings,
    turnover: QueueTurnover,
    shared_bodies: SharedBodies,
    spans: Spans,
}

impl Shard {
    /// Takes a connection's commands, in their order.
    pub fn handle_commands(
        &mut self,
        now: Now,
        connection: ConnectionId,
        commands: impl IntoIterator<Item = Command>,
    ) {
        let at = self.begin(now);
        for command in commands {
            self.handle_command(at, connection, command);
        }
        self.run_turns(at);
    }

    /// The store has applied all commits up to `commit`, as far as each asked for.
    pub fn handle_committed(&mut self, now: Now, commit: CommitId) {
        let Changed { pages, delayed, keys, spans } =
            self.commits.handle_committed(commit, &mut self.outbox);
        for NewKeys { queue, to } in keys {
            if let Some(queue) = self.queues.get_mut(&queue) {
                queue.handle_keys_synced(to);
            }
        }
        for NewPage { queue, level, first } in pages {
            let is_room = self.memory.has_cache_room();
            if let Some(queue) = self.queues.get_mut(&queue) {
                queue.handle_committed(level, first, is_room);
                queue.account(&mut self.memory);
            }
        }
        self.delayed_committed(delayed);
        self.finish_publish_spans(spans, Some(now.wall));
        let at = self.begin(now);
        self.run_turns(at);
    }

    /// The store has read what was asked for.
    pub fn handle_fetched(&mut self, now: Now, fetched: Fetched) {
        let Fetched { queue: id, level, from, pages } = fetched;
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if queue.handle_fetched(level, from, pages) {
            self.mark_dirty_deferred(id, now.monotonic);
        }
        let at = self.begin(now);
        // Before the queues that wait for their turns: until then the cache may drop what was read, and
        // it would be read again and again. Their share of the work stays the same.
        self.take_turn(id, at);
        self.work.begin(self.has_work());
        self.run_turns(at);
    }

    /// The time that [`Self::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Now) {
        let at = self.moment(now);
        self.work.begin(false);
        self.fire_schedules(at);
        self.commits.handle_timeout(at.monotonic);
        self.end_isolations(at.monotonic);
        self.wake_queues(at.monotonic);
        self.run_turns(at);
    }

    /// The process is about to end, and every connection is closed: what may otherwise wait is
    /// committed when next asked, with what is known of deliveries.
    pub fn handle_stop(&mut self) {
        let mut delivered = DeliveredRecord::default();
        self.queues.values().for_each(|queue| queue.note_delivered(&mut delivered));
        if self.delivered.as_ref() != Some(&delivered) {
            self.commits.add_operations(vec![delivered.put()]);
            self.delivered = Some(delivered);
        }
        self.commits.hurry();
    }

    /// A publisher waits until messages are settled or written. When nothing was consumed since this was
    /// last said, a millisecond ago or longer, nothing else would let it go on soon: what may otherwise
    /// wait for the interval is committed when next asked.
    pub fn handle_waiting_publisher(&mut self, now: Now) {
        self.commits.wait_for_room(now.monotonic);
    }

    /// The next commit, if there is a reason for one. To be called when the one before is written,
    /// so that one data sync serves everything that came meanwhile.
    pub fn poll_commit(&mut self) -> Option<Commit> {
        if !self.commits.is_due() {
            return None;
        }
        let (mut operations, dirty) = self.commits.begin();
        let mut changed = Changed::default();
        let mut has_messages = false;
        for id in dirty {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            let (pages, keys) = queue.take_commit(&mut operations);
            let pages = pages.into_iter();
            changed.pages.extend(pages.map(|(level, first)| NewPage { queue: id, level, first }));
            changed.keys.extend(keys.map(|to| NewKeys { queue: id, to }));
            for (clock, changes) in queue.take_delayed_commit(&mut operations) {
                changed.delayed.push((id, clock));
                has_messages |= changes.has_puts;
            }
            queue.account(&mut self.memory);
            if self.spans.is_wanted() {
                changed.spans.extend(self.take_unwritten_spans(id));
            }
        }
        if operations.is_empty() {
            // All of it was settled before it was written.
            self.finish_publish_spans(std::mem::take(&mut changed.spans), None);
        }
        has_messages |= !changed.pages.is_empty();
        self.commits.finish(operations, changed, has_messages, &mut self.outbox)
    }

    /// Bytes of messages that wait for the next commit.
    #[must_use]
    pub fn unwritten_bytes(&self) -> u64 {
        self.memory.unwritten_bytes()
    }

    /// What to read from the store.
    pub fn poll_fetch(&mut self) -> Option<Fetch> {
        while let Some(id) = self.fetches.front().copied() {
            let queue = self.queues.get_mut(&id);
            let wanted = queue.and_then(|queue| queue.poll_fetch());
            if let Some((level, from, bytes_max)) = wanted {
                return Some(Fetch { queue: id, level, from, bytes_max });
            }
            self.fetches.pop_front();
        }
        None
    }

    /// Events for one connection, in order. To be passed on only after [`Self::snapshot`].
    pub fn poll_event(&mut self) -> Option<(ConnectionId, Vec<Event>)> {
        self.outbox.poll()
    }

    /// When [`Self::handle_timeout`] wants to be called. [`Monotonic::AT_ONCE`]: there is work left,
    /// also that of a shard that was just recovered.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        if self.has_work() {
            return Some(Monotonic::AT_ONCE);
        }
        let queues = self.timers.first().map(|(when, _)| *when);
        let isolation = self.clients.poll_isolation_timeout();
        let clocks = self.calendar.poll_timeout().into_iter().chain(self.schedules.poll_timeout());
        let others = queues.into_iter().chain(isolation).chain(clocks);
        self.commits.poll_timeout().into_iter().chain(others).min()
    }

    /// What connections work by, as it is now.
    #[must_use]
    pub fn snapshot(&self) -> BrokerSnapshot {
        let (routes, access) = (self.topology.routes(), self.access.snapshot());
        BrokerSnapshot { routes: routes.clone(), access: access.clone() }
    }

    /// Whether routes, users, permissions, limits or policies have changed since a snapshot.
    #[must_use]
    pub fn has_changed_since(&self, snapshot: &BrokerSnapshot) -> bool {
        let (routes, access) = (self.topology.routes(), self.access.snapshot());
        (routes.version(), access.version())
            != (snapshot.routes.version(), snapshot.access.version())
    }

    /// Bounds the work that one input may cause, otherwise than [`WorkLimits::DEFAULT`].
    pub fn set_work_limits(&mut self, limits: WorkLimits) {
        self.topology.set_removals_at_once(limits.removals_max);
        self.work.limits = limits;
    }

    /// Whether something is left to be done that waits for nothing.
    fn has_work(&self) -> bool {
        !self.scheduled.is_empty()
            || !self.tasks.is_idle()
            || !self.discarded.is_empty()
            || !self.dead_key_records.is_empty()
            || self.schedules.has_work()
    }

    /// Begins an input.
    fn begin(&mut self, now: Now) -> Instants {
        self.work.begin(self.has_work());
        let at = self.moment(now);
        self.fire_schedules(at);
        at
    }

    fn handle_command(&mut self, at: Instants, connection: ConnectionId, command: Command) {
        let key = |channel| ChannelKey { connection, channel };
        if command.sees_queues() {
            self.give_turns(at);
        }
        match command {
            Command::OpenConnection { vhost, identity } => {
                self.clients.open(connection, vhost, identity)
            }
            Command::CloseConnection { closure } => {
                self.close_connection(at, connection, closure);
            }
            Command::CloseChannel { channel, closure } => {
                let held = self.clients.held_by(connection);
                let ending = ChannelEnding { closure, held, is_connection: false };
                self.close_channels(at, connection, [channel], ending);
                self.reply(key(channel), Ok(Reply::Done));
            }
            Command::Heard { channel } => self.hear(key(channel)),
            Command::Publish(publish) => {
                self.publish(at, connection, publish);
            }
            Command::Settle(settle) => self.settle(at, connection, &settle),
            Command::Extend(extend) => self.extend(at, connection, extend),
            Command::CommitTransaction { channel, publishes, settles, replies } => {
                self.commit_transaction(at, key(channel), publishes, &settles, replies);
            }
            Command::Subscribe(subscribe) => self.subscribe(connection, subscribe),
            Command::Cancel { channel, consumer_tag } => {
                self.cancel(at, key(channel), &consumer_tag);
                self.reply(key(channel), Ok(Reply::Done));
            }
            Command::SetPrefetch { channel, count } => self.set_prefetch(key(channel), count),
            Command::Get { channel, queue, no_ack } => {
                let kind = if no_ack { GetKind::NoAck } else { GetKind::Ack };
                self.get(at, key(channel), &queue, kind);
            }
            Command::Inspect { channel, queue } => {
                self.get(at, key(channel), &queue, GetKind::Inspect);
            }
            Command::DirectReply(reply) => self.direct_reply(connection, reply),
            Command::AwaitReplies { channel, token } => {
                self.clients.await_replies(key(channel), token);
            }
            Command::FindReplyAddress { channel, name } => {
                let reply = self.find_reply_address(connection, name);
                self.reply(key(channel), reply);
            }
            Command::RepliesWritten { bytes } => self.clients.replies_written(connection, bytes),
            Command::Topology { channel, request, nowait } => {
                self.handle_topology(at, key(channel), request, nowait);
            }
            Command::Administer { channel, request } => {
                self.administer(at, key(channel), *request);
            }
            Command::Browse { channel, browse } => self.browse(key(channel), *browse),
            Command::Trace { channel, request } => self.trace(at, key(channel), &request),
            Command::Delayed { channel, request } => {
                self.request_delayed(at, key(channel), *request);
            }
            Command::DeliveriesWritten { bytes } => {
                if self.clients.written(connection, bytes) {
                    for channel in self.clients.channels_of(connection) {
                        self.unblock_channel(key(channel));
                    }
                }
            }
        }
    }

    fn reply(&mut self, key: ChannelKey, reply: Result<Reply, Fault>) {
        self.outbox.push(key.connection, Event::Reply { channel: key.channel, reply });
    }

    /// Replies when everything that was changed so far is durable, also by others: what a client is
    /// told of must not be gone after a crash. A refusal promises nothing.
    fn reply_when_durable(&mut self, key: ChannelKey, reply: Result<Reply, Fault>) {
        match self.commits.after_changes() {
            Some(waiters) if reply.is_ok() => {
                waiters.reply(key, reply);
                for (connection, event) in self.outbox.take_late() {
                    waiters.notify(connection, event);
                }
            }
            _ => self.reply(key, reply),
        }
    }

    fn close_connection(&mut self, at: Instants, connection: ConnectionId, closure: Closure) {
        let held = self.clients.held_by(connection);
        let ending = ChannelEnding { closure, held, is_connection: true };
        let channels = self.clients.channels_of(connection);
        self.close_channels(at, connection, channels, ending);
        let exclusive: Vec<QueueId> = self.topology.exclusive_queues(connection).collect();
        self.remove_queues(exclusive);
        self.clients.close(connection);
        self.browses.forget(connection);
        self.delayed_requests.forget(connection);
        self.tasks.forget(connection);
        self.advance_tasks(at);
        let key = ChannelKey { connection, channel: ChannelId(0) };
        self.reply_when_done(key, Ok(Reply::Done), false);
    }

    /// What the topology wants stored goes with the next commit.
    fn add_topology_operations(&mut self) {
        self.commits.add_operations(self.topology.take_operations());
        self.note_removals();
    }
}
