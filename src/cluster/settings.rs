//! What a node is told about its group.

use std::time::Duration;

/// A node of a cluster, by its number, which no other node ever has.
pub type NodeId = u64;

/// A node as the others find it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Where it listens for other nodes, as `host:port`.
    pub address: String,
}

/// How a group works.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// How often a leader that has nothing to append says that it is there.
    pub heartbeat_interval: Duration,
    /// How long a follower waits for a word of the leader before it wants to lead, at least.
    pub election_timeout_min: Duration,
    /// The same, at most: each wait is drawn between the two, so that not all want to lead at once.
    pub election_timeout_max: Duration,
    /// Entries after which the log is cut.
    pub entries_until_cut: u64,
    /// Entries that a cut leaves for followers that lag. One that lags further gets a snapshot.
    pub entries_kept: u64,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(100),
            election_timeout_min: Duration::from_millis(500),
            election_timeout_max: Duration::from_millis(1_000),
            entries_until_cut: 1_000,
            entries_kept: 1_000,
        }
    }
}
