//! The commits of a shard on a majority of machines.
//!
//! A [`Group`] is a shard's queues on several nodes, of which one leads. The leader runs the shard and
//! appends its commits to a log that openraft replicates; every node applies the committed ones to its own
//! store, and runs no shard. What a client waits for is told when its commit is on the disks of a majority and
//! applied here. A node that becomes the leader makes the shard from its store, as at a restart.
//!
//! openraft stays behind this crate: others see nodes, epochs, commits and messages between nodes.
#![deny(missing_docs)]

mod entry_value;
mod group;
mod group_error;
mod limits;
mod log_storage;
mod log_writer;
mod peer_network;
mod peers;
mod raft_types;
mod received_snapshots;
mod settings;
mod state_machine;
#[cfg(test)]
mod storage_tests;

pub use group::{Appended, Group, GroupStatus, Progress};
pub use group_error::{AppendError, GroupError};
pub use peers::{PeerError, PeerRequest, PeerResponse, Peers};
pub use settings::{GroupSettings, Member, NodeId};
