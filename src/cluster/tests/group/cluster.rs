//! Nodes that start, die and start again.

use crate::links::{Links, LinksFrom};
use forebay_cluster::{Group, GroupSettings, GroupStatus, Member, NodeId};
use forebay_engine::model::{Level, Offset, QueueId};
use forebay_engine::operation::Recovered;
use forebay_engine::page::Page;
use forebay_store::{Damage, ReplicaStore, Store, StoreError, StoreMemory, verify};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// How long something may take that takes a moment on a machine that is not loaded.
const WAIT_MAX: Duration = Duration::from_secs(120);

pub(crate) struct Cluster {
    pub(crate) links: Links,
    pub(crate) settings: GroupSettings,
    /// How long a client waits for a commit before it gives up.
    pub(crate) patience: Duration,
    nodes: BTreeMap<NodeId, Node>,
}

struct Node {
    directory: tempfile::TempDir,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    group: Group,
}

/// What a store holds of a queue, and of everything else what a shard is told of.
pub(crate) type Content = (Recovered, Vec<Page>);

/// A leader that is slow, because the machine is, stays the leader for a while.
pub(crate) fn steady() -> GroupSettings {
    GroupSettings {
        heartbeat_interval: Duration::from_millis(200),
        election_timeout_min: Duration::from_secs(3),
        election_timeout_max: Duration::from_secs(5),
        ..GroupSettings::default()
    }
}

pub(crate) fn member(node: NodeId) -> Member {
    Member { address: format!("node-{node}:25672") }
}

impl Cluster {
    /// Nodes 1 to `count`, of which none has heard of a group yet.
    pub(crate) fn new(count: NodeId, settings: GroupSettings) -> Self {
        let (links, nodes) = (Links::default(), BTreeMap::new());
        let mut cluster = Self { links, settings, patience: WAIT_MAX, nodes };
        (1..=count).for_each(|node| cluster.add(node));
        cluster
    }

    /// Nodes 1 to `count` that are a group.
    pub(crate) fn started(count: NodeId, settings: GroupSettings) -> Self {
        let cluster = Self::new(count, settings);
        let members = (1..=count).map(|node| (node, member(node))).collect();
        cluster.block_on(1, |group| async move { group.initialize(members).await }).unwrap();
        cluster.leader();
        cluster
    }

    pub(crate) fn add(&mut self, node: NodeId) {
        let directory = tempfile::tempdir().unwrap();
        self.nodes.insert(node, Node { directory, running: None });
        self.start(node);
    }

    /// Starts a node that does not run, with what its store has.
    pub(crate) fn start(&mut self, node: NodeId) {
        let open = |path: &Path| ReplicaStore::open(path, StoreMemory::default());
        let store = Arc::new(self.unlocked(node, open).unwrap());
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let peers = LinksFrom { node, links: self.links.clone() };
        let group = runtime.block_on(Group::start(node, store, peers, &self.settings)).unwrap();
        self.links.enter(node, group.clone());
        self.nodes.get_mut(&node).unwrap().running = Some(Running { runtime, group });
    }

    /// Does something with the directory of a node that does not run. The last threads of its life may not have
    /// let go of it yet.
    fn unlocked<T>(
        &self,
        node: NodeId,
        action: impl Fn(&Path) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let path = self.nodes[&node].directory.path();
        let began = Instant::now();
        loop {
            match action(path) {
                Err(StoreError::Locked { .. }) if began.elapsed() < WAIT_MAX => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                done => return done,
            }
        }
    }

    /// What is damaged in the directory of a node that does not run.
    pub(crate) fn damages(&self, node: NodeId) -> Vec<Damage> {
        self.unlocked(node, |path| verify(path, |_| ())).unwrap().damages
    }

    /// Ends a node at whatever it is doing: no task of it does anything any more.
    pub(crate) fn kill(&mut self, node: NodeId) {
        self.links.leave(node);
        if let Some(Running { runtime, group }) = self.nodes.get_mut(&node).unwrap().running.take()
        {
            drop(group);
            runtime.shutdown_background();
        }
    }

    pub(crate) fn running(&self) -> Vec<NodeId> {
        let running = self.nodes.iter().filter(|(_, node)| node.running.is_some());
        running.map(|(node, _)| *node).collect()
    }

    pub(crate) fn all(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn group(&self, node: NodeId) -> Group {
        self.nodes[&node].running.as_ref().unwrap().group.clone()
    }

    /// Runs something on a node.
    pub(crate) fn block_on<F: Future>(
        &self,
        node: NodeId,
        action: impl FnOnce(Group) -> F,
    ) -> F::Output {
        let Running { runtime, group } = self.nodes[&node].running.as_ref().unwrap();
        runtime.block_on(action(group.clone()))
    }

    pub(crate) fn status(&self, node: NodeId) -> GroupStatus {
        self.group(node).status()
    }

    /// The node that leads by its own word, under the highest epoch; waits until one does.
    pub(crate) fn leader(&self) -> NodeId {
        let mut found = None;
        self.until("a node leads", || {
            found = self.leading(&self.running());
            found.is_some()
        });
        found.unwrap()
    }

    /// The one of these that leads at this moment, if one does.
    pub(crate) fn leading(&self, nodes: &[NodeId]) -> Option<NodeId> {
        let leads = |node: &NodeId| Some((self.group(*node).leading_epoch()?, *node));
        nodes.iter().filter_map(leads).max().map(|(_, node)| node)
    }

    /// Waits for something that several nodes do.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            let states = || self.running().into_iter().map(|node| (node, self.status(node)));
            let is_late = began.elapsed() >= WAIT_MAX;
            assert!(!is_late, "not in time: {what}; {:#?}", states().collect::<Vec<_>>());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until all nodes that run have applied as much as the leader has in its log.
    pub(crate) fn settle(&self) {
        self.until("all have applied the whole log", || {
            let leader = self.leader();
            let last = self.status(leader).last_index;
            self.running().into_iter().all(|node| self.status(node).applied_index == last)
        });
    }

    pub(crate) fn content(&self, node: NodeId, queues: &[QueueId]) -> Content {
        let group = self.group(node);
        let store = group.store();
        let read = |queue: &QueueId| store.read(*queue, Level(0), Offset(0), usize::MAX).unwrap();
        (store.recover().unwrap(), queues.iter().flat_map(read).collect())
    }

    /// All stores hold the same, which is returned.
    pub(crate) fn same_content(&self, queues: &[QueueId]) -> Content {
        self.settle();
        let running = self.running();
        let first = self.content(running[0], queues);
        for node in &running[1..] {
            assert_eq!(self.content(*node, queues), first, "node {node} and node {}", running[0]);
        }
        first
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.all().into_iter().for_each(|node| self.kill(node));
    }
}
