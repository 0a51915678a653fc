//! What others finish for the shard.

use forebay_engine::model::CommitId;
use forebay_engine::shard::{DamagedDelayedFetch, DamagedFetch, DelayedFetched, Fetched};

/// What the commit log or a reader has finished for the shard.
#[derive(Debug)]
pub enum Completion {
    /// A commit is as durable as it asked to be, all commits before it are, and the store has it.
    Committed(CommitId),
    /// Pages that the shard asked for.
    Fetched(Fetched),
    /// Of a queue that the shard asked for, what is stored is damaged.
    Damaged(DamagedFetch),
    /// Delayed messages that the shard asked for.
    DelayedFetched(DelayedFetched),
    /// Of a queue whose delayed messages the shard asked for, what is stored is damaged.
    DamagedDelayed(DamagedDelayedFetch),
}
