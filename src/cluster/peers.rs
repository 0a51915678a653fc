//! What nodes of a group say to each other, and who carries it.

use crate::raft_types::{LogId, Types, Vote};
use crate::settings::NodeId;
use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use std::fmt;

/// What a node asks of another. To be handed to [`crate::Group::handle`] there.
pub enum PeerRequest {
    /// Entries of the log, or only that the leader is there.
    Append(AppendEntriesRequest<Types>),
    /// Whether it may lead.
    Vote(VoteRequest<Types>),
    /// Whether it would be let, before it asks.
    PreVote(VoteRequest<Types>),
    /// To lead from now on.
    TransferLeader(TransferLeaderRequest<Types>),
    /// A snapshot follows. Answered with [`PeerResponse::SendFrom`].
    BeginSnapshot {
        /// The number by which the sender tells it from others.
        snapshot: u64,
        /// How far the log is applied in it.
        applied: Bytes,
    },
    /// A part of it. Answered with [`PeerResponse::SendFrom`].
    SnapshotChunk {
        /// The snapshot.
        snapshot: u64,
        /// The chunk, which says its number.
        chunk: Bytes,
    },
    /// That was all: to be put in place. Answered with [`PeerResponse::Snapshot`].
    EndSnapshot {
        /// The snapshot.
        snapshot: u64,
        /// The vote by which the sender leads.
        vote: Vote,
        /// How many chunks it has.
        chunks: u64,
    },
}

/// What it is answered.
pub enum PeerResponse {
    /// To [`PeerRequest::Append`].
    Append(AppendEntriesResponse<Types>),
    /// To [`PeerRequest::Vote`] and [`PeerRequest::PreVote`].
    Vote(VoteResponse<Types>),
    /// To [`PeerRequest::TransferLeader`]: whether it begins to.
    TransferLeader(openraft::raft::TransferLeaderResponse<Types>),
    /// The chunk with this number is wanted next.
    SendFrom(u64),
    /// The snapshot is in place, or came from a node that leads no more.
    Snapshot(SnapshotResponse<Types>),
}

/// Why a node was not asked, or did not answer. Whether it did what it was asked is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node} did not answer: {what}")]
pub struct PeerError {
    /// The node that was asked.
    pub node: NodeId,
    /// What happened.
    pub what: String,
}

/// Carries requests to other nodes. Requests to one node may overtake each other, be lost, or come twice.
pub trait Peers: Clone + Send + Sync + 'static {
    /// Asks a node, and waits for its answer: at most as long as an answer can be of use, some seconds.
    ///
    /// # Errors
    /// When it can't be reached, or did not answer.
    fn ask(
        &self,
        node: NodeId,
        request: PeerRequest,
    ) -> impl Future<Output = Result<PeerResponse, PeerError>> + Send;
}

impl fmt::Debug for PeerRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(request) => write!(formatter, "append {request}"),
            Self::Vote(request) => write!(formatter, "vote {request}"),
            Self::PreVote(request) => write!(formatter, "pre-vote {request}"),
            Self::TransferLeader(_) => formatter.write_str("transfer leader"),
            Self::BeginSnapshot { snapshot, .. } => write!(formatter, "begin snapshot {snapshot}"),
            Self::SnapshotChunk { snapshot, chunk } => {
                write!(formatter, "chunk of snapshot {snapshot}, {} bytes", chunk.len())
            }
            Self::EndSnapshot { snapshot, .. } => write!(formatter, "end snapshot {snapshot}"),
        }
    }
}

impl fmt::Debug for PeerResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(response) => write!(formatter, "append {response:?}"),
            Self::Vote(response) => write!(formatter, "vote {response:?}"),
            Self::TransferLeader(_) => formatter.write_str("transfer leader"),
            Self::SendFrom(chunk) => write!(formatter, "send from chunk {chunk}"),
            Self::Snapshot(response) => write!(formatter, "snapshot {response}"),
        }
    }
}

/// The last entry of a log, for people.
pub(crate) fn place(log_id: Option<LogId>) -> String {
    log_id.map_or_else(|| "the beginning".to_owned(), |log_id| log_id.to_string())
}
