//! The store on fjall.

pub(crate) mod changes;
pub(crate) mod contiguity;
pub(crate) mod damaged_reads;
pub(crate) mod database;
pub(crate) mod delayed;
pub(crate) mod descriptors;
pub(crate) mod direct_file;
pub(crate) mod fjall_failure;
pub mod fjall_store;
pub(crate) mod journal;
pub(crate) mod journal_change;
pub(crate) mod journal_preallocation;
pub(crate) mod journal_unlinker;
pub(crate) mod levels;
pub(crate) mod opening;
pub(crate) mod reading;
pub(crate) mod recovery;
pub(crate) mod shared;
pub(crate) mod shared_bodies;
pub(crate) mod view;
pub(crate) mod write_batch;
