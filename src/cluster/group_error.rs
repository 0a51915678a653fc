//! What can go wrong in a group.

use crate::settings::NodeId;
use forebay_engine::model::Epoch;
use forebay_store::{ChunkError, StoreError};

/// Why a group did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// This node does not lead.
    #[error("this node does not lead the group; {}", who_leads(.leader))]
    NotLeader {
        /// The node that leads, as far as this one knows.
        leader: Option<NodeId>,
    },
    /// The shard of this epoch was made before: two of them would not know of each other's commits.
    #[error(
        "the shard of epoch {epoch} was made before: a new one is made when this node leads anew"
    )]
    AlreadyLed {
        /// The epoch.
        epoch: Epoch,
    },
    /// It can't be done with the members as they are.
    #[error("the members can't be changed so: {0}")]
    Members(String),
    /// The store has what no log tells the other members of.
    #[error(
        "the data directory holds what a single machine stored, which a new group can't take over yet: begin with an empty one"
    )]
    HasData,
    /// A snapshot is sent of which the beginning is not known here: the sender has to begin anew.
    #[error("a part of a snapshot came whose beginning is not here: send it from its beginning")]
    UnknownSnapshot,
    /// A chunk of a snapshot can't be taken.
    #[error(transparent)]
    Chunk(ChunkError),
    /// The store failed. The node must end.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The consensus on this node has ended, after a failure or because the node stops.
    #[error("the group has ended on this node: {0}")]
    Ended(String),
}

/// What became of a commit that was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It is not in the log and never will be: this node does not lead, or not under the commit's epoch.
    #[error("the epoch of the commit is over; {}", who_leads(.leader))]
    EpochOver {
        /// The node that leads, as far as this one knows.
        leader: Option<NodeId>,
    },
    /// This node has lost the leadership meanwhile. Whether the next leader has the commit is not known here.
    #[error("this node has lost the leadership; whether the commit is kept is not known here")]
    Unknown,
    /// The consensus on this node has ended. Whether the commit is kept is not known here.
    #[error("the group has ended on this node: {0}")]
    Ended(String),
}

fn who_leads(leader: &Option<NodeId>) -> String {
    leader.map_or_else(|| "no leader is known".to_owned(), |node| format!("node {node} does"))
}
