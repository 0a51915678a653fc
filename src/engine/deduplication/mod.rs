//! Which messages a queue accepted a short while ago (`x-dedup-window`): the key of a message, the keys
//! that a queue remembers, and their records in the store. Used by a [`Queue`](crate::queue::Queue),
//! which is told which of its messages are new, and by the shard at its start.

mod accepted_keys;
mod dedup_key;
mod key_record;
mod key_time;

pub(crate) use accepted_keys::{AcceptedKeys, Original};
pub(crate) use dedup_key::DedupKey;
pub use key_record::KeyRecordError;
pub(crate) use key_record::{KeyRecord, KeyRecordId, is_ours};
pub(crate) use key_time::KeyTime;

/// For how long a queue remembers keys, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DedupRule {
    /// In ms.
    pub(crate) window: u64,
    /// Keys at most; one more, and the oldest is forgotten.
    pub(crate) size: u64,
}
