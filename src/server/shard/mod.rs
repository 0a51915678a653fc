//! The task that drives the shard, and the threads that read and write for it.

pub mod commit_log;
pub mod committer;
pub mod completion;
pub mod mailbox;
pub mod reader_pool;
pub(crate) mod reports;
pub mod shard_link;
pub(crate) mod shard_startup;
pub mod shard_task;
pub mod timer;
