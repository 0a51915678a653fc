//! What a node of a cluster stores beside what a single machine does: the replicated log, and snapshots
//! that go from one node to another.

pub(crate) mod group_snapshot;
pub(crate) mod received_snapshot;
pub(crate) mod replica_store;
pub(crate) mod replicated_log;
#[cfg(test)]
mod tests;
