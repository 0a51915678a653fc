//! The network between the nodes of a test: every link, one way, can be cut, and loses what it is told to.

use forebay_cluster::{Group, NodeId, PeerError, PeerRequest, PeerResponse, Peers};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// All links. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Links {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    nodes: BTreeMap<NodeId, Group>,
    /// From, to.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Of a hundred messages, requests and answers, so many are lost.
    loss_percent: u64,
    random: u64,
    chunks: u64,
}

/// The links from one node.
#[derive(Clone)]
pub(crate) struct LinksFrom {
    pub(crate) node: NodeId,
    pub(crate) links: Links,
}

impl Links {
    pub(crate) fn enter(&self, node: NodeId, group: Group) {
        self.lock().nodes.insert(node, group);
    }

    pub(crate) fn leave(&self, node: NodeId) {
        self.lock().nodes.remove(&node);
    }

    pub(crate) fn cut(&self, from: NodeId, to: NodeId) {
        self.lock().cut.insert((from, to));
    }

    /// Nobody hears a node, nor does it hear anybody.
    pub(crate) fn isolate(&self, node: NodeId, all: impl IntoIterator<Item = NodeId>) {
        for other in all {
            self.cut(node, other);
            self.cut(other, node);
        }
    }

    pub(crate) fn heal(&self) {
        let mut inner = self.lock();
        inner.cut.clear();
        inner.loss_percent = 0;
    }

    pub(crate) fn lose(&self, percent: u64, seed: u64) {
        let mut inner = self.lock();
        inner.loss_percent = percent;
        inner.random = seed | 1;
    }

    /// Chunks of snapshots that have arrived.
    pub(crate) fn chunks(&self) -> u64 {
        self.lock().chunks
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn pass(&self, from: NodeId, to: NodeId) -> Result<Group, &'static str> {
        let mut inner = self.lock();
        inner.random ^= inner.random << 13;
        inner.random ^= inner.random >> 7;
        inner.random ^= inner.random << 17;
        if inner.cut.contains(&(from, to)) {
            return Err("the link is cut");
        }
        if inner.random % 100 < inner.loss_percent {
            return Err("it was lost");
        }
        inner.nodes.get(&to).cloned().ok_or("it does not run")
    }
}

impl Peers for LinksFrom {
    async fn ask(&self, node: NodeId, request: PeerRequest) -> Result<PeerResponse, PeerError> {
        let failed = |what: &str| PeerError { node, what: what.to_owned() };
        let group = self.links.pass(self.node, node).map_err(failed)?;
        let is_chunk = matches!(request, PeerRequest::SnapshotChunk { .. });
        let answer = group.handle(request).await;
        if is_chunk && answer.is_ok() {
            self.links.lock().chunks += 1;
        }
        // The way of the answer.
        self.links
            .lock()
            .nodes
            .contains_key(&self.node)
            .then_some(())
            .ok_or_else(|| failed("gone"))?;
        self.links.pass(node, self.node).map_err(failed)?;
        answer.map_err(|error| failed(&error.to_string()))
    }
}
