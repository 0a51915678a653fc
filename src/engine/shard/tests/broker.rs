//! A shard with its store, driven by hand: what a server does, step by step.

use super::bounds::Bounds;
use super::store::TestStore;
use crate::administration::Administration;
use crate::command::{Command, Publish, Subscribe};
use crate::event::{Delivery, Event, Reply};
use crate::model::{
    ChannelId, ClientIdentity, Closure, ConnectionId, ConsumerNumber, Envelope, Fault, Message,
    Monotonic, Now, Offset, OffsetRange, PublishSeq, QueueDeclaration, QueueId, Settle, Settlement,
    TopologyRequest, WallClock,
};
use crate::operation::Commit;
use crate::shard::{
    ChannelListing, ChannelReport, DamagedFetch, DelayedFetched, Fetch, QueueDefaults, Shard,
    ShardSettings, ShardStatistics,
};
use crate::topology::QueueRecord;
use bytes::{Bytes, BytesMut};
use forebay_wire::properties::Properties;
use forebay_wire::{FieldTable, FieldValue, ShortStr};
use std::collections::VecDeque;

pub(super) const CHANNEL: ChannelId = ChannelId(1);
pub(super) const CONNECTION: ConnectionId = ConnectionId(1);

pub(super) struct Broker {
    pub(super) shard: Shard,
    pub(super) store: TestStore,
    pub(super) now: Now,
    pub(super) writing: VecDeque<Commit>,
    pub(super) events: Vec<(ConnectionId, Event)>,
    bounds: Bounds,
    /// Whether reads of delayed messages take their time.
    pub(super) holds_reads: bool,
    /// Those that were made and not answered.
    reads: VecDeque<DelayedFetched>,
    /// Whether a shard is rebuilt from the store after each commit, and held against this one.
    pub(super) rebuilds: bool,
    /// What was to outlive the process when each of `writing` was begun.
    kept: VecDeque<Kept>,
}

/// What outlives the process: durable queues, and of each message its place, failures and returns.
type Kept = Vec<(QueueRecord, Vec<Vec<(Offset, u32, u32)>>)>;

fn kept(shard: &Shard) -> Kept {
    let durable = shard.topology.queues().filter(|record| record.durable);
    durable.map(|record| (record.clone(), shard.queues[&record.id].kept())).collect()
}

fn settings() -> ShardSettings {
    ShardSettings {
        vhosts: vec![ShortStr::from_static("/")],
        queue_defaults: QueueDefaults::default(),
    }
}

impl Broker {
    pub(super) fn new() -> Self {
        let mut broker = Self {
            shard: Shard::new(&settings()),
            store: TestStore::default(),
            now: Now { monotonic: Monotonic(1_000), wall: WallClock(1_000_000) },
            writing: VecDeque::new(),
            events: Vec::new(),
            bounds: Bounds::default(),
            holds_reads: false,
            reads: VecDeque::new(),
            rebuilds: false,
            kept: VecDeque::new(),
        };
        broker.commit();
        broker
    }

    /// The process ends in good order and begins again.
    pub(super) fn restart(&mut self, connections: &[ConnectionId]) {
        for connection in connections {
            self.send(*connection, [Command::CloseConnection { closure: Closure::ByBroker }]);
        }
        self.shard.handle_stop();
        self.commit();
        self.crash();
    }

    /// The process dies and begins again with what was applied.
    pub(super) fn crash(&mut self) {
        self.writing.clear();
        self.reads.clear();
        self.kept.clear();
        self.events.clear();
        self.shard = Shard::recover(&settings(), self.store.recover()).unwrap();
        self.bound(self.bounds);
    }

    /// These bounds hold from now on, in later processes too.
    pub(super) fn bound(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.shard.set_work_limits(bounds.work);
        self.shard.limit_memory(bounds.memory);
    }

    pub(super) fn open(&mut self, connection: ConnectionId) {
        let open = Command::OpenConnection {
            vhost: "/".try_into().unwrap(),
            identity: ClientIdentity::of(user()),
        };
        self.send(connection, [open]);
    }

    pub(super) fn send(
        &mut self,
        connection: ConnectionId,
        commands: impl IntoIterator<Item = Command>,
    ) {
        self.shard.handle_commands(self.now, connection, commands);
        self.fetch();
        self.collect();
    }

    /// Serves all fetches, and lets the shard finish its work.
    pub(super) fn fetch(&mut self) {
        loop {
            if let Some(fetch) = self.shard.poll_fetch() {
                if self.store.damaged.contains(&fetch.queue) {
                    self.shard.handle_damaged(self.now, damaged(fetch));
                    continue;
                }
                let fetched = self.store.read(fetch);
                self.shard.handle_fetched(self.now, fetched);
            } else if let Some(fetch) = self.shard.poll_delayed_fetch(self.now) {
                let fetched = self.store.read_delayed(fetch);
                if self.holds_reads {
                    self.reads.push_back(fetched);
                } else {
                    self.shard.handle_delayed_fetched(self.now, fetched);
                }
            } else if self.shard.poll_timeout() == Some(Monotonic::AT_ONCE) {
                self.shard.handle_timeout(self.now);
            } else {
                return;
            }
        }
    }

    /// Answers the oldest read of delayed messages.
    pub(super) fn finish_read(&mut self) {
        let Some(fetched) = self.reads.pop_front() else { return };
        self.shard.handle_delayed_fetched(self.now, fetched);
        self.fetch();
        self.collect();
    }

    /// Answers all reads, and those that follow.
    pub(super) fn finish_reads(&mut self) {
        while !self.reads.is_empty() {
            self.finish_read();
        }
    }

    /// The answers that came so far.
    pub(super) fn replies(&mut self, connection: ConnectionId) -> Vec<Result<Reply, Fault>> {
        let reply = |event| match event {
            Event::Reply { reply, .. } => Some(reply),
            _ => None,
        };
        self.take_events(connection).into_iter().filter_map(reply).collect()
    }

    pub(super) fn collect(&mut self) {
        while let Some((connection, events)) = self.shard.poll_event() {
            self.events.extend(events.into_iter().map(|event| (connection, event)));
        }
    }

    /// Takes a commit from the shard, without applying it. Whether there was one.
    pub(super) fn begin_commit(&mut self) -> bool {
        let commit = self.shard.poll_commit();
        self.collect();
        let is_some = commit.is_some();
        self.writing.extend(commit);
        if is_some && self.rebuilds {
            self.kept.push_back(kept(&self.shard));
        }
        is_some
    }

    /// Applies the oldest commit that was begun.
    pub(super) fn finish_commit(&mut self) {
        let Some(commit) = self.writing.pop_front() else { return };
        self.store.apply(&commit);
        if let Some(expected) = self.kept.pop_front() {
            let rebuilt = Shard::recover(&settings(), self.store.recover()).unwrap();
            assert_eq!(kept(&rebuilt), expected, "a shard made from the commits so far");
        }
        self.shard.handle_committed(self.now, commit.id);
        self.fetch();
        self.collect();
    }

    /// The same, without letting the shard finish its work.
    pub(super) fn finish_commit_only(&mut self) {
        let Some(commit) = self.writing.pop_front() else { return };
        self.store.apply(&commit);
        self.shard.handle_committed(self.now, commit.id);
        self.collect();
    }

    /// One commit, without letting the shard finish its work.
    pub(super) fn commit_once(&mut self) {
        self.begin_commit();
        self.finish_commit_only();
    }

    /// Everything that may be committed is.
    pub(super) fn commit(&mut self) {
        self.shard.commits.hurry();
        self.begin_commit();
        while !self.writing.is_empty() {
            self.finish_commit();
        }
    }

    pub(super) fn pass(&mut self, milliseconds: u64) {
        self.now.monotonic = self.now.monotonic.plus(milliseconds);
        self.now.wall.0 += milliseconds;
        self.shard.handle_timeout(self.now);
        self.fetch();
        self.collect();
    }

    pub(super) fn take_events(&mut self, connection: ConnectionId) -> Vec<Event> {
        let (mine, others) =
            std::mem::take(&mut self.events).into_iter().partition(|(id, _)| *id == connection);
        self.events = others;
        mine.into_iter().map(|(_, event): (ConnectionId, Event)| event).collect()
    }

    pub(super) fn reply(&mut self, connection: ConnectionId) -> Result<Reply, Fault> {
        let at = self
            .events
            .iter()
            .position(|(id, event)| *id == connection && matches!(event, Event::Reply { .. }));
        match self.events.remove(at.expect("a reply")).1 {
            Event::Reply { reply, .. } => reply,
            _ => unreachable!(),
        }
    }

    pub(super) fn ask(&mut self, request: TopologyRequest) -> Result<Reply, Fault> {
        let topology = Command::Topology { channel: CHANNEL, request, nowait: false };
        self.send(CONNECTION, [topology]);
        self.commit();
        self.reply(CONNECTION)
    }

    pub(super) fn administer(&mut self, request: Administration) {
        let request = Box::new(request);
        self.send(CONNECTION, [Command::Administer { channel: CHANNEL, request }]);
        self.commit();
        let _ = self.reply(CONNECTION);
    }

    pub(super) fn declare(&mut self, name: &str, durable: bool, arguments: FieldTable) -> QueueId {
        let request = TopologyRequest::DeclareQueue(QueueDeclaration {
            name: name.try_into().unwrap(),
            durable,
            arguments,
            ..QueueDeclaration::default()
        });
        self.ask(request).unwrap();
        self.queue(name)
    }

    pub(super) fn delete(&mut self, name: &str) {
        let name = name.try_into().unwrap();
        let request = TopologyRequest::DeleteQueue { name, if_unused: false, if_empty: false };
        self.ask(request).unwrap();
    }

    pub(super) fn queue(&self, name: &str) -> QueueId {
        let reports = self.shard.statistics().queues;
        reports.into_iter().find(|report| report.record.name == name).expect("the queue").record.id
    }

    pub(super) fn statistics(&self, name: &str) -> crate::shard::QueueStatistics {
        let reports = self.shard.statistics().queues;
        reports.into_iter().find(|report| report.record.name == name).expect("the queue").statistics
    }

    /// A whole report, made without anything in between.
    pub(super) fn report(&mut self) -> ShardStatistics {
        let mut report = self.shard.begin_report();
        loop {
            if let Some(statistics) = self.shard.advance_report(self.now, &mut report) {
                return statistics;
            }
        }
    }

    pub(super) fn subscribe(&mut self, connection: ConnectionId, subscribe: Subscribe) {
        self.send(connection, [Command::Subscribe(subscribe)]);
    }

    /// The channels that the shard knows.
    pub(super) fn channels(&self) -> Vec<ChannelReport> {
        let mut list = ChannelListing::default();
        loop {
            if let Some(channels) = self.shard.advance_channels(&mut list) {
                return channels;
            }
        }
    }

    /// Deliveries so far, in order, of one connection.
    pub(super) fn deliveries(&mut self, connection: ConnectionId) -> Vec<Delivery> {
        let deliver = |event| match event {
            Event::Deliver { deliveries, .. } => deliveries,
            Event::Reply { reply: Ok(Reply::Got { delivery, .. }), .. } => vec![delivery],
            _ => Vec::new(),
        };
        self.take_events(connection).into_iter().flat_map(deliver).collect()
    }
}

/// The answer to a fetch that meets damage.
pub(super) fn damaged(fetch: Fetch) -> DamagedFetch {
    let Fetch { queue, level, from, .. } = fetch;
    DamagedFetch { queue, level, from, what: "a page is damaged".into() }
}

fn user() -> ShortStr {
    ShortStr::from_static("guest")
}

pub(super) fn consume(queue: &str, tag: &str, prefetch: u16) -> Subscribe {
    Subscribe {
        channel: CHANNEL,
        queue: queue.try_into().unwrap(),
        consumer_tag: tag.try_into().unwrap(),
        number: ConsumerNumber::default(),
        no_ack: false,
        exclusive: false,
        prefetch,
        arguments: FieldTable::new(),
    }
}

pub(super) fn message(body: impl Into<Bytes>, persistent: bool) -> Message {
    let properties =
        Properties { delivery_mode: Some(if persistent { 2 } else { 1 }), ..Properties::default() };
    message_with(body, &properties, None)
}

pub(super) fn message_with(
    body: impl Into<Bytes>,
    properties: &Properties,
    expiration: Option<u64>,
) -> Message {
    let envelope = Envelope {
        exchange: &ShortStr::EMPTY,
        routing_key: &ShortStr::from_static("q"),
        properties: &properties.encode(),
        published_at: WallClock(1_000_000),
        expiration,
    };
    Message::new(envelope, body.into(), &mut BytesMut::new())
}

pub(super) fn publish(queue: QueueId, messages: Vec<Message>, confirm: Option<u64>) -> Command {
    Command::Publish(Publish {
        channel: CHANNEL,
        confirm: confirm.map(PublishSeq),
        targets: [queue].into(),
        messages,
    })
}

pub(super) fn settle(queue: QueueId, settlement: Settlement, deliveries: &[&Delivery]) -> Command {
    let runs = deliveries.iter().map(|delivery| {
        let (level, offset) = (delivery.position.level, delivery.position.offset);
        OffsetRange { level, first: offset, last: offset }
    });
    Command::Settle(Settle { channel: CHANNEL, queue, settlement, runs: runs.collect() })
}

pub(super) fn arguments(entries: &[(&str, FieldValue)]) -> FieldTable {
    let entries = entries.iter();
    entries.map(|(name, value)| (ShortStr::try_from(*name).unwrap(), value.clone())).collect()
}
