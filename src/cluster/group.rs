//! A group on one node: the consensus, driven by the server.

use crate::entry_value::Applied;
use crate::group_error::{AppendError, GroupError};
use crate::limits::{APPEND_ENTRIES_MAX, SNAPSHOT_DURATION_MAX};
use crate::log_storage::LogStorage;
use crate::log_writer::LogWriter;
use crate::peer_network::PeerNetwork;
use crate::peers::{PeerRequest, PeerResponse, Peers};
use crate::raft_types::{LogId, Outcome, Proposal, Types, Vote};
use crate::received_snapshots::ReceivedSnapshots;
use crate::settings::{GroupSettings, Member, NodeId};
use crate::state_machine::{SnapshotData, StateMachine};
use forebay_engine::model::Epoch;
use forebay_engine::operation::{Commit, Recovered};
use forebay_store::{ReplicaStore, Store, StoreError, encode_commit};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, RaftError};
use openraft::impls::ProgressResponder;
use openraft::raft::{ClientWriteResult, SnapshotResponse};
use openraft::storage::Snapshot;
use openraft::type_config::alias::{OneshotReceiverOf, WatchReceiverOf};
use openraft::{ChangeMembers, Config, RaftMetrics, SnapshotPolicy};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Raft = openraft::Raft<Types, StateMachine>;

/// A group on this node. Clones are the same.
#[derive(Clone)]
pub struct Group {
    node: NodeId,
    raft: Raft,
    store: Arc<ReplicaStore>,
    snapshots: Arc<ReceivedSnapshots>,
    /// The last epoch whose shard was made here.
    led: Arc<Mutex<Epoch>>,
}

/// How a group stands, as this node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStatus {
    /// The node that leads; `None`: none is known to.
    pub leader: Option<NodeId>,
    /// The highest epoch that this node knows of.
    pub epoch: Epoch,
    /// The index of the last entry in this node's log.
    pub last_index: Option<u64>,
    /// The index of the last entry that is applied to this node's store.
    pub applied_index: Option<u64>,
    /// The index up to which this node's log was cut.
    pub cut_index: Option<u64>,
    /// Nodes that vote.
    pub voters: BTreeSet<NodeId>,
    /// Nodes that follow without a vote.
    pub learners: BTreeSet<NodeId>,
    /// Of each other node, up to where it has the log; only where this node leads.
    pub followers: BTreeMap<NodeId, Option<u64>>,
    /// Why the consensus has ended on this node; `None`: it has not.
    pub ended: Option<String>,
}

/// Waits for changes of a group's status.
pub struct Progress {
    metrics: WatchReceiverOf<Types, RaftMetrics<Types>>,
}

/// A commit that was handed to the log.
#[must_use = "a commit is kept only when it is said to be"]
pub struct Appended {
    answer: OneshotReceiverOf<Types, ClientWriteResult<Types>>,
}

impl Group {
    /// Starts the group on this node, with what its store has of it. A node whose store has nothing of it waits
    /// until it is made a member.
    ///
    /// # Errors
    /// When the store is damaged, or the settings make no sense.
    pub async fn start(
        node: NodeId,
        store: Arc<ReplicaStore>,
        peers: impl Peers,
        settings: &GroupSettings,
    ) -> Result<Self, GroupError> {
        let config = config(settings).map_err(ended)?;
        let writer = LogWriter::start(Arc::clone(&store)).map_err(ended)?;
        let machine = StateMachine::new(Arc::clone(&store), writer.clone()).map_err(ended)?;
        let log = LogStorage::new(Arc::clone(&store), writer);
        let network = PeerNetwork { peers };
        let raft = Raft::new(node, Arc::new(config), network, log, machine).await.map_err(ended)?;
        let snapshots = Arc::new(ReceivedSnapshots::new(Arc::clone(&store)));
        Ok(Self { node, raft, store, snapshots, led: Arc::default() })
    }

    /// Makes a new group with these members, of which this node is one. Once in a group's life, on one node; the
    /// others are told by it.
    ///
    /// # Errors
    /// When this node is none of the members, has something of a group already, or holds what a single machine
    /// stored.
    pub async fn initialize(&self, members: BTreeMap<NodeId, Member>) -> Result<(), GroupError> {
        let store = Arc::clone(&self.store);
        let has_data = move || -> Result<bool, StoreError> {
            Ok(store.applied()?.is_none() && !store.recover()?.records.is_empty())
        };
        if tokio::task::spawn_blocking(has_data).await.map_err(ended)?? {
            return Err(GroupError::HasData);
        }
        self.raft.initialize(members).await.map_err(|error| match error {
            RaftError::APIError(error) => GroupError::Members(error.to_string()),
            RaftError::Fatal(error) => ended(error),
        })
    }

    /// Lets a node follow without a vote, and waits until it has nearly caught up. For the leader.
    ///
    /// # Errors
    /// When this node does not lead, or another change is under way.
    pub async fn add_learner(&self, node: NodeId, member: Member) -> Result<(), GroupError> {
        self.raft.add_learner(node, member, true).await.map(drop).map_err(members_error)
    }

    /// Gives these nodes a vote and no others; those who lose theirs leave the group. For the leader.
    ///
    /// # Errors
    /// When this node does not lead, one of them does not follow yet, or another change is under way.
    pub async fn set_voters(&self, nodes: BTreeSet<NodeId>) -> Result<(), GroupError> {
        let change = ChangeMembers::ReplaceAllVoters(nodes);
        self.raft.change_membership(change, false).await.map(drop).map_err(members_error)
    }

    /// Answers another node.
    ///
    /// # Errors
    /// When the store fails, the group has ended here, or a snapshot can't be taken.
    pub async fn handle(&self, request: PeerRequest) -> Result<PeerResponse, GroupError> {
        Ok(match request {
            PeerRequest::Append(request) => {
                PeerResponse::Append(self.raft.append_entries(request).await.map_err(ended)?)
            }
            PeerRequest::Vote(request) => {
                PeerResponse::Vote(self.raft.vote(request).await.map_err(ended)?)
            }
            PeerRequest::PreVote(request) => {
                PeerResponse::Vote(self.raft.pre_vote(request).await.map_err(ended)?)
            }
            PeerRequest::TransferLeader(request) => PeerResponse::TransferLeader(
                self.raft.handle_transfer_leader(request).await.map_err(ended)?,
            ),
            PeerRequest::BeginSnapshot { snapshot, applied } => {
                let begin = move |snapshots: &ReceivedSnapshots| snapshots.begin(snapshot, applied);
                PeerResponse::SendFrom(self.with_snapshots(begin).await?)
            }
            PeerRequest::SnapshotChunk { snapshot, chunk } => {
                let take = move |snapshots: &ReceivedSnapshots| snapshots.take(snapshot, &chunk);
                PeerResponse::SendFrom(self.with_snapshots(take).await?)
            }
            PeerRequest::EndSnapshot { snapshot, vote, chunks } => {
                PeerResponse::Snapshot(self.end_snapshot(snapshot, vote, chunks).await?)
            }
        })
    }

    /// Makes this node's shard ready to be recovered: waits until everything that stands in the log before is
    /// applied, and reads what the store holds, under the epoch in which this node leads. Once in an epoch.
    ///
    /// # Errors
    /// When this node does not lead, loses the leadership meanwhile, or has made the shard of this epoch before.
    pub async fn lead(&self) -> Result<Recovered, GroupError> {
        let not_leader = || GroupError::NotLeader { leader: self.status().leader };
        let epoch = self.leading_epoch().ok_or_else(not_leader)?;
        Self::check_not_led(*self.led(), epoch)?;
        // IMPORTANT: an entry of its own. A node that was restarted may lead in the epoch that it led before, with
        // entries of that time in its log that are not committed yet; they are before this one is.
        let barrier = self.raft.write_blank().await.map_err(|error| match error {
            RaftError::APIError(_) => not_leader(),
            RaftError::Fatal(error) => ended(error),
        })?;
        if barrier.log_id.leader_id.term != epoch.0 {
            return Err(not_leader());
        }
        let store = Arc::clone(&self.store);
        let recovered =
            tokio::task::spawn_blocking(move || store.recover()).await.map_err(ended)??;
        // Had it led anew meanwhile, the store might have come further under another epoch.
        if self.leading_epoch() != Some(epoch) {
            return Err(not_leader());
        }
        let mut led = self.led();
        Self::check_not_led(*led, epoch)?;
        *led = epoch;
        Ok(Recovered { epoch, ..recovered })
    }

    /// Puts a commit at the end of the log, if its epoch lasts. Commits that are handed over one after the other
    /// stand in the log so.
    ///
    /// # Errors
    /// When the group has ended on this node.
    pub async fn append(&self, commit: &Commit) -> Result<Appended, AppendError> {
        let proposal = Proposal(encode_commit(commit));
        let (responder, answer) = ProgressResponder::complete_only();
        let write = self.raft.write(proposal).responder(responder).with_leader(commit.epoch.0);
        write.await.map_err(|error| AppendError::Ended(error.to_string()))?;
        Ok(Appended { answer })
    }

    /// The epoch in which this node leads; `None`: it does not, as far as it knows.
    #[must_use]
    pub fn leading_epoch(&self) -> Option<Epoch> {
        let leader = self.raft.as_leader().ok()?;
        Some(Epoch(leader.term()))
    }

    /// How the group stands.
    #[must_use]
    pub fn status(&self) -> GroupStatus {
        status(&self.raft.metrics().borrow_watched())
    }

    /// Tells of changes of the status.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress { metrics: self.raft.metrics() }
    }

    /// This node.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// What the group's commits are applied to, for reading.
    #[must_use]
    pub const fn store(&self) -> &Arc<ReplicaStore> {
        &self.store
    }

    /// Ends the group on this node.
    pub async fn stop(&self) {
        // What its task says of how it ended was logged by it.
        let _ = self.raft.shutdown().await;
    }

    fn check_not_led(led: Epoch, epoch: Epoch) -> Result<(), GroupError> {
        if epoch > led { Ok(()) } else { Err(GroupError::AlreadyLed { epoch }) }
    }

    fn led(&self) -> MutexGuard<'_, Epoch> {
        self.led.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn with_snapshots(
        &self,
        action: impl FnOnce(&ReceivedSnapshots) -> Result<u64, GroupError> + Send + 'static,
    ) -> Result<u64, GroupError> {
        let snapshots = Arc::clone(&self.snapshots);
        tokio::task::spawn_blocking(move || action(&snapshots)).await.map_err(ended)?
    }

    async fn end_snapshot(
        &self,
        snapshot: u64,
        vote: Vote,
        chunks: u64,
    ) -> Result<SnapshotResponse<Types>, GroupError> {
        let snapshots = Arc::clone(&self.snapshots);
        let end = tokio::task::spawn_blocking(move || snapshots.end(snapshot, chunks));
        let (applied, received) = end.await.map_err(ended)??;
        let meta = Applied::decode(applied).map_err(ended)?.into();
        let snapshot = Snapshot { meta, snapshot: SnapshotData::Received(received) };
        self.raft.install_full_snapshot(vote, snapshot).await.map_err(ended)
    }
}

impl Appended {
    /// Waits until the commit is on the disks of a majority and applied to this node's store. May be given up and
    /// called again, until it has answered.
    ///
    /// # Errors
    /// When it is not known to be.
    pub async fn committed(&mut self) -> Result<(), AppendError> {
        match (&mut self.answer).await {
            Ok(Ok(response)) => match response.data {
                Outcome::Applied => Ok(()),
                Outcome::EpochOver => Err(AppendError::EpochOver { leader: None }),
            },
            Ok(Err(ClientWriteError::ForwardToLeader(forward))) => {
                Err(AppendError::EpochOver { leader: forward.leader_id })
            }
            Ok(Err(_)) => Err(AppendError::Unknown),
            Err(_) => Err(AppendError::Ended("it stopped before it answered".to_owned())),
        }
    }
}

impl Progress {
    /// The status now; the next change is one from this.
    pub fn status(&mut self) -> GroupStatus {
        status(&self.metrics.borrow_and_update())
    }

    /// Waits for a change of the status. `false`: the group has ended on this node.
    pub async fn changed(&mut self) -> bool {
        self.metrics.changed().await.is_ok()
    }
}

fn status(metrics: &RaftMetrics<Types>) -> GroupStatus {
    let index = |log_id: &Option<LogId>| log_id.map(|log_id| log_id.index);
    let membership = metrics.membership_config.membership();
    let others = metrics.replication.iter().flatten();
    GroupStatus {
        leader: metrics.current_leader,
        epoch: Epoch(metrics.current_term),
        last_index: metrics.last_log_index,
        applied_index: index(&metrics.last_applied),
        cut_index: index(&metrics.purged),
        voters: membership.voter_ids().collect(),
        learners: membership.learner_ids().collect(),
        followers: others
            .filter(|(node, _)| **node != metrics.id)
            .map(|(node, log_id)| (*node, index(log_id)))
            .collect(),
        ended: metrics.running_state.as_ref().err().map(Fatal::to_string),
    }
}

fn config(settings: &GroupSettings) -> Result<Config, openraft::ConfigError> {
    let milliseconds = |duration: Duration| duration.as_millis() as u64;
    Config {
        cluster_name: "forebay".to_owned(),
        heartbeat_interval: milliseconds(settings.heartbeat_interval),
        election_timeout_min: milliseconds(settings.election_timeout_min),
        election_timeout_max: milliseconds(settings.election_timeout_max),
        install_snapshot_timeout: milliseconds(SNAPSHOT_DURATION_MAX),
        max_payload_entries: APPEND_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(settings.entries_until_cut),
        max_in_snapshot_log_to_keep: settings.entries_kept,
        // A node that was cut off does not disturb the others when it is back.
        enable_pre_vote: Some(true),
        ..Config::default()
    }
    .validate()
}

fn members_error(error: RaftError<Types, ClientWriteError<Types>>) -> GroupError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            GroupError::NotLeader { leader: forward.leader_id }
        }
        RaftError::APIError(error) => GroupError::Members(error.to_string()),
        RaftError::Fatal(error) => ended(error),
    }
}

fn ended(error: impl ToString) -> GroupError {
    GroupError::Ended(error.to_string())
}
