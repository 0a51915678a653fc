//! The store as openraft applies entries to it.

use crate::entry_value::Applied;
use crate::limits::{APPLY_BYTES_MAX, APPLY_ENTRIES_MAX};
use crate::log_writer::{Job, LogWriter, failed};
use crate::raft_types::{LogId, Outcome, Proposal, SnapshotMeta, StoredMembership, Types};
use forebay_engine::model::Epoch;
use forebay_engine::operation::Commit;
use forebay_store::{GroupSnapshot, ReceivedSnapshot, ReplicaStore, decode_commit};
use futures_util::{Stream, StreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot};
use openraft::type_config::alias::SnapshotOf;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use std::io;
use std::sync::Arc;

/// What the replicas have in common, at one moment.
#[derive(Debug)]
pub(crate) enum SnapshotData {
    /// Of this node's store, to be sent.
    Held(GroupSnapshot),
    /// Of another node, to be put in place.
    Received(ReceivedSnapshot),
}

/// Applies committed entries to the store.
#[derive(Debug)]
pub(crate) struct StateMachine {
    store: Arc<ReplicaStore>,
    writer: LogWriter,
    /// The last entry that was applied.
    applied: Option<LogId>,
    /// As of that entry.
    membership: StoredMembership,
}

/// Takes snapshots.
#[derive(Debug)]
pub(crate) struct SnapshotTaker {
    store: Arc<ReplicaStore>,
}

impl StateMachine {
    /// # Errors
    /// When the store can't say how far the log is applied.
    pub(crate) fn new(store: Arc<ReplicaStore>, writer: LogWriter) -> io::Result<Self> {
        let (applied, membership) = match applied(&store)? {
            Some(Applied { log_id, membership }) => (Some(log_id), membership),
            None => (None, StoredMembership::default()),
        };
        Ok(Self { store, writer, applied, membership })
    }

    /// An entry is the next one. What a log does not have any more must never be passed over.
    fn follows(&mut self, log_id: LogId) -> io::Result<()> {
        if let Some(last) = self.applied.replace(log_id)
            && last.index.saturating_add(1) != log_id.index
        {
            let what =
                format!("entry {log_id} of the log comes after {last}: those between are missing");
            return Err(io::Error::other(what));
        }
        Ok(())
    }

    async fn write(&mut self, batch: Batch) -> io::Result<()> {
        let Batch { commits, last, answers, .. } = batch;
        let Some(log_id) = last else { return Ok(()) };
        let applied = Applied { log_id, membership: self.membership.clone() }.encode();
        self.writer.run(|answer| Job::Apply { commits, applied, answer }).await?;
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        Ok(())
    }
}

/// Entries that are applied together.
#[derive(Default)]
struct Batch {
    commits: Vec<Commit>,
    last: Option<LogId>,
    entries: usize,
    bytes: usize,
    answers: Vec<(ApplyResponder<Types>, Outcome)>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.entries >= APPLY_ENTRIES_MAX || self.bytes >= APPLY_BYTES_MAX
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotTaker;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let applied = applied(&self.store)?;
        Ok(applied
            .map_or_else(Default::default, |applied| (Some(applied.log_id), applied.membership)))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = Batch::default();
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            self.follows(entry.log_id)?;
            let mut outcome = Outcome::Applied;
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(Proposal(bytes)) => {
                    let commit = decode_commit(&bytes).map_err(io::Error::other)?;
                    batch.bytes += bytes.len();
                    // A leader refuses it before; but the log alone must decide what is applied, on all
                    // nodes in the same way.
                    if commit.epoch == Epoch(entry.log_id.leader_id.term) {
                        batch.commits.push(commit);
                    } else {
                        outcome = Outcome::EpochOver;
                    }
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            batch.last = Some(entry.log_id);
            batch.entries += 1;
            batch.answers.extend(responder.map(|responder| (responder, outcome)));
            if batch.is_full() {
                self.write(std::mem::take(&mut batch)).await?;
            }
        }
        self.write(batch).await
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotTaker {
        SnapshotTaker { store: Arc::clone(&self.store) }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let SnapshotData::Received(snapshot) = snapshot else {
            return Err(io::Error::other("a node's own snapshot can't be put in place of itself"));
        };
        self.writer.run(|answer| Job::Install { snapshot, answer }).await?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    /// One of this moment: the state is always there, so no snapshot needs to be kept.
    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<Types, SnapshotData>>, io::Error> {
        snapshot(&self.store)
    }
}

impl RaftSnapshotBuilder<Types> for SnapshotTaker {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, SnapshotData>, io::Error> {
        let snapshot = snapshot(&self.store)?;
        snapshot.ok_or_else(|| io::Error::other("there is nothing to take a snapshot of"))
    }
}

fn snapshot(store: &ReplicaStore) -> io::Result<Option<SnapshotOf<Types, SnapshotData>>> {
    let Some(held) = store.snapshot().map_err(|error| failed(&error))? else { return Ok(None) };
    let meta = Applied::decode(held.applied().clone())?.into();
    Ok(Some(Snapshot { meta, snapshot: SnapshotData::Held(held) }))
}

fn applied(store: &ReplicaStore) -> io::Result<Option<Applied>> {
    store.applied().map_err(|error| failed(&error))?.map(Applied::decode).transpose()
}
