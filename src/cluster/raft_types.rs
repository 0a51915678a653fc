//! openraft with the types of this crate.

use crate::settings::{Member, NodeId};
use bytes::Bytes;
use openraft::impls::leader_id_std;
use openraft::type_config::alias as types;
use std::fmt;

/// What a leader proposes: an encoded commit.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal(pub(crate) Bytes);

/// What became of a proposal when it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the store.
    Applied,
    /// Its epoch had ended: every node passes it over.
    EpochOver,
}

openraft::declare_raft_types!(
    /// The types.
    pub Types:
        D = Proposal,
        R = Outcome,
        NodeId = NodeId,
        Node = Member,
        Term = u64,
        // One leader a term, so that the term alone is the epoch.
        LeaderId = leader_id_std::LeaderId<u64, NodeId>,
);

pub(crate) type Entry = types::EntryOf<Types>;
pub(crate) type LogId = types::LogIdOf<Types>;
pub(crate) type Vote = types::VoteOf<Types>;
pub(crate) type Membership = openraft::Membership<NodeId, Member>;
pub(crate) type StoredMembership = types::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = types::SnapshotMetaOf<Types>;
pub(crate) type LeaderId = types::LeaderIdOf<Types>;

impl fmt::Debug for Proposal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proposal({} bytes)", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}
