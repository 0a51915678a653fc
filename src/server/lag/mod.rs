//! What lag is normal for each queue: a watch for each, their histories on the disk, and what they say.

mod roles;
mod watches;

pub(crate) use watches::QueueLag;
pub use watches::{LagDefaults, LagWatches};
