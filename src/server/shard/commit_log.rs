//! The seam between the shard and what makes its commits durable.

use crate::connection::publish_budget::PublishShare;
use forebay_engine::operation::Commit;

/// Takes the commits of one shard, in their order. The shard can't tell what becomes of them there: on a
/// single machine they are written and synced ([`super::committer::Committer`]).
///
/// The log answers with [`super::completion::Completion::Committed`] over the shard's completions, in the
/// order of the commits, once a commit is as durable as it asked to be and the store has it. Of a commit
/// that it could not keep it never says so.
pub trait CommitLog: Send + 'static {
    /// Takes a commit, without waiting for anything. `share`, the budget of the messages in it, is given
    /// back when the commit is durable.
    ///
    /// # Errors
    /// When the log takes no more commits: it has failed, which was reported where failures are.
    fn append(&self, commit: Commit, share: PublishShare) -> Result<(), CommitLogEnded>;
}

/// The log takes no more commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitLogEnded;
