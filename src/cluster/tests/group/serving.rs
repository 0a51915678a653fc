//! The shard of the node that leads, driven by hand as a server would, and what clients were told.

use crate::cluster::Cluster;
use bytes::{Bytes, BytesMut};
use forebay_cluster::{AppendError, Appended, Group, NodeId};
use forebay_engine::command::{Command, Publish};
use forebay_engine::event::{Event, Reply};
use forebay_engine::model::{
    ChannelId, ClientIdentity, CommitId, ConnectionId, Envelope, Epoch, Message, Monotonic, Now,
    ObjectName, PublishSeq, QueueDeclaration, QueueId, TopologyRequest, WallClock,
};
use forebay_engine::operation::Commit;
use forebay_engine::page::Page;
use forebay_engine::shard::{Fetched, QueueDefaults, Shard, ShardSettings};
use forebay_store::Store;
use forebay_wire::ShortStr;
use forebay_wire::properties::Properties;
use std::collections::BTreeSet;
use tokio::time::timeout;

const CONNECTION: ConnectionId = ConnectionId(1);
const CHANNEL: ChannelId = ChannelId(1);
const QUEUE: &str = "orders";
const NOW: Now = Now { monotonic: Monotonic(1_000), wall: WallClock(1_000_000) };

/// A shard at work.
pub(crate) struct Serving {
    pub(crate) node: NodeId,
    pub(crate) epoch: Epoch,
    shard: Shard,
    last_seq: u64,
    /// A commit whose answer is still to come.
    under_way: Option<(CommitId, Appended)>,
    /// Publishes that wait for a confirm: sequence number and message.
    waiting: Vec<(PublishSeq, u64)>,
    events: Vec<Event>,
}

/// Why clients were not told that something is kept.
#[derive(Debug)]
pub(crate) enum NotCommitted {
    /// The answer has not come in time; it may come yet.
    Late,
    /// The shard is of no use any more.
    Never(#[allow(dead_code, reason = "for people")] AppendError),
}

/// What clients know.
#[derive(Default)]
pub(crate) struct Clients {
    /// Messages whose publishers were told that they are kept.
    pub(crate) confirmed: BTreeSet<u64>,
    /// Messages that a consumer got and that need not be there any more.
    pub(crate) taken: BTreeSet<u64>,
    /// What a consumer got, in its order.
    pub(crate) deliveries: Vec<u64>,
}

fn body(number: u64, size: usize) -> Bytes {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(size.max(8), number as u8);
    body.into()
}

fn number_of(message: &Message) -> u64 {
    u64::from_be_bytes(message.body()[..8].try_into().unwrap())
}

fn message(number: u64, size: usize) -> Message {
    let properties = Properties { delivery_mode: Some(2), ..Properties::default() }.encode();
    let envelope = Envelope {
        exchange: &ShortStr::default(),
        routing_key: &ShortStr::from_static(QUEUE),
        properties: &properties,
        published_at: NOW.wall,
        expiration: None,
    };
    Message::new(envelope, body(number, size), &mut BytesMut::new())
}

/// The messages of pages, in their order.
pub(crate) fn numbers(pages: &[Page]) -> Vec<u64> {
    let records = pages.iter().flat_map(|page| &page.records);
    records.map(|record| number_of(&record.message)).collect()
}

impl Serving {
    /// The node makes its shard and opens a connection; `None`: it does not lead any more.
    pub(crate) fn begin(cluster: &Cluster, node: NodeId) -> Option<Self> {
        let patience = cluster.patience;
        let lead = |group: Group| async move { timeout(patience, group.lead()).await };
        let recovered = cluster.block_on(node, lead).ok()?.ok()?;
        let settings = ShardSettings {
            vhosts: vec![ShortStr::from_static("/")],
            queue_defaults: QueueDefaults::default(),
        };
        let epoch = recovered.epoch;
        let shard = Shard::recover(&settings, recovered).unwrap();
        let mut serving = Self {
            node,
            epoch,
            shard,
            last_seq: 0,
            under_way: None,
            waiting: Vec::new(),
            events: Vec::new(),
        };
        let identity = ClientIdentity::of(ShortStr::from_static("guest"));
        let vhost = ShortStr::from_static("/");
        serving.command(cluster, Command::OpenConnection { vhost, identity });
        match serving.commit(cluster, &mut Clients::default()) {
            Ok(()) | Err(NotCommitted::Late) => Some(serving),
            Err(NotCommitted::Never(_)) => None,
        }
    }

    /// The shard of whichever node leads; waits until one does.
    pub(crate) fn anywhere(cluster: &Cluster) -> Self {
        Self::among(cluster, &cluster.running())
    }

    /// The one of whichever of these leads, and goes on to while it makes its shard.
    pub(crate) fn among(cluster: &Cluster, nodes: &[NodeId]) -> Self {
        let mut serving = None;
        cluster.until("the leader makes its shard", || {
            let leader = cluster.leading(nodes);
            serving = leader.and_then(|leader| Self::begin(cluster, leader));
            serving.is_some()
        });
        serving.unwrap()
    }

    /// The shard, unless it is of no use any more.
    pub(crate) fn unless_lost(self, done: &Result<(), NotCommitted>) -> Option<Self> {
        match done {
            Ok(()) | Err(NotCommitted::Late) => Some(self),
            Err(NotCommitted::Never(_)) => None,
        }
    }

    pub(crate) fn queue(&self) -> QueueId {
        self.shard.topology().queues().next().expect("the queue").id
    }

    pub(crate) fn declare(&mut self, cluster: &Cluster) -> Result<QueueId, NotCommitted> {
        let name = ObjectName::from_static(QUEUE);
        let declaration = QueueDeclaration { name, durable: true, ..QueueDeclaration::default() };
        let request = TopologyRequest::DeclareQueue(declaration);
        self.command(cluster, Command::Topology { channel: CHANNEL, request, nowait: false });
        self.commit(cluster, &mut Clients::default())?;
        Ok(self.queue())
    }

    /// Publishes messages together, and has them kept.
    pub(crate) fn publish(
        &mut self,
        cluster: &Cluster,
        clients: &mut Clients,
        numbers: impl IntoIterator<Item = u64>,
        size: usize,
    ) -> Result<(), NotCommitted> {
        self.begin_publish(cluster, numbers, size);
        self.commit(cluster, clients)
    }

    pub(crate) fn begin_publish(
        &mut self,
        cluster: &Cluster,
        numbers: impl IntoIterator<Item = u64>,
        size: usize,
    ) {
        let first = self.last_seq + 1;
        let numbers: Vec<u64> = numbers.into_iter().collect();
        self.waiting.extend((first..).map(PublishSeq).zip(numbers.iter().copied()));
        self.last_seq += numbers.len() as u64;
        let publish = Publish {
            channel: CHANNEL,
            confirm: Some(PublishSeq(first)),
            targets: [self.queue()].into(),
            messages: numbers.into_iter().map(|number| message(number, size)).collect(),
        };
        self.command(cluster, Command::Publish(publish));
    }

    /// A consumer gets the oldest message, which is settled by that.
    pub(crate) fn take(
        &mut self,
        cluster: &Cluster,
        clients: &mut Clients,
    ) -> Result<(), NotCommitted> {
        let queue = ObjectName::from_static(QUEUE);
        self.command(cluster, Command::Get { channel: CHANNEL, queue, no_ack: true });
        // It has the message, whatever becomes of the commit that says so.
        self.hear(clients);
        self.commit(cluster, clients)
    }

    /// The next commit, if there is a reason for one.
    pub(crate) fn poll_commit(&mut self) -> Option<Commit> {
        self.shard.poll_commit()
    }

    /// Has everything committed that can be, and tells clients of it.
    pub(crate) fn commit(
        &mut self,
        cluster: &Cluster,
        clients: &mut Clients,
    ) -> Result<(), NotCommitted> {
        loop {
            if self.under_way.is_none() {
                let Some(commit) = self.shard.poll_commit() else { break };
                let id = commit.id;
                let append = |group: Group| async move { group.append(&commit).await };
                let appended = cluster.block_on(self.node, append).map_err(NotCommitted::Never)?;
                self.under_way = Some((id, appended));
            }
            let Some((id, appended)) = &mut self.under_way else { break };
            let (id, patience) = (*id, cluster.patience);
            let committed = cluster.block_on(self.node, |_| async move {
                timeout(patience, appended.committed()).await
            });
            committed.map_err(|_| NotCommitted::Late)?.map_err(NotCommitted::Never)?;
            self.under_way = None;
            self.shard.handle_committed(NOW, id);
            self.work(cluster);
        }
        self.hear(clients);
        Ok(())
    }

    fn command(&mut self, cluster: &Cluster, command: Command) {
        self.shard.handle_commands(NOW, CONNECTION, [command]);
        self.work(cluster);
    }

    fn work(&mut self, cluster: &Cluster) {
        let group = cluster.group(self.node);
        loop {
            if let Some(fetch) = self.shard.poll_fetch() {
                let (queue, level, from) = (fetch.queue, fetch.level, fetch.from);
                let pages = group.store().read(queue, level, from, fetch.bytes_max).unwrap();
                self.shard.handle_fetched(NOW, Fetched { queue, level, from, pages });
            } else if self.shard.poll_timeout() == Some(Monotonic::AT_ONCE) {
                self.shard.handle_timeout(NOW);
            } else {
                break;
            }
        }
        while let Some((_, events)) = self.shard.poll_event() {
            self.events.extend(events);
        }
    }

    fn hear(&mut self, clients: &mut Clients) {
        for event in std::mem::take(&mut self.events) {
            match event {
                Event::Confirm { first, last, .. } => {
                    let is_confirmed = |(seq, _): &(PublishSeq, u64)| (first..=last).contains(seq);
                    let (confirmed, waiting) =
                        std::mem::take(&mut self.waiting).into_iter().partition(is_confirmed);
                    self.waiting = waiting;
                    let confirmed: Vec<(PublishSeq, u64)> = confirmed;
                    clients.confirmed.extend(confirmed.into_iter().map(|(_, number)| number));
                }
                Event::Reply { reply: Ok(Reply::Got { delivery, .. }), .. } => {
                    let number = number_of(&delivery.message);
                    clients.taken.insert(number);
                    clients.deliveries.push(number);
                }
                _ => {}
            }
        }
    }
}

impl Clients {
    /// What was confirmed is there or was taken, nothing is there twice, and all of it in the order in which it was
    /// published.
    pub(crate) fn check(&self, there: &[u64], context: &str) {
        let set: BTreeSet<u64> = there.iter().copied().collect();
        assert_eq!(set.len(), there.len(), "a message is there twice: {there:?}; {context}");
        assert!(there.is_sorted(), "out of order: {there:?}; {context}");
        let lost: Vec<_> = self
            .confirmed
            .iter()
            .filter(|number| !set.contains(number) && !self.taken.contains(number))
            .collect();
        assert!(lost.is_empty(), "confirmed and lost: {lost:?}; {context}");
    }
}
