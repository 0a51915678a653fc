//! Durable pages on fjall, behind one trait with an in-memory and a fault-injecting twin.
//!
//! The engine decides what is to be kept and says so in commits; a [`Store`] keeps it. The server
//! owns the store: one thread writes, any thread reads. [`FjallStore`] is the real one,
//! [`MemoryStore`] the model and the fast one for tests, [`FaultyStore`] wraps either and fails on
//! demand.
//!
//! Nothing that was synced goes missing silently: every value has a checksum of ours, the offsets of
//! a level are contiguous, each batch is numbered, the number of the last synced one is kept outside
//! fjall's files, and those are checked before fjall opens them. [`verify()`] reads everything;
//! [`repair_accepting_loss`] goes on with what can be read, and says what can't.
//!
//! A body that is routed to several queues is stored once for each of them.
#![deny(missing_docs)]

pub mod check;
mod creation;
pub mod damage;
mod damage_notes;
mod data_directory;
pub mod error;
pub mod fjall;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzz_target;
mod lag_histories;
pub mod limits;
mod reclaim;
pub mod repair;
mod replica;
pub mod store;
mod store_memory;
pub mod twins;
#[cfg(any(test, fuzzing))]
#[allow(clippy::unwrap_used, reason = "for tests and the fuzzer")]
#[path = "tests/store/workload.rs"]
mod workload;

pub use check::verify::{ReadProgress, Verification, verify};
pub use damage::{Certainty, Damage, Missing, QueueName};
pub use data_directory::check_data_directory;
pub use error::StoreError;
pub use fjall::fjall_store::FjallStore;
pub use format::commit_value::{CommitError, decode_commit, encode_commit};
pub use lag_histories::{LagDay, LagFile, LagHistories};
pub use repair::{Repair, repair_accepting_loss};
pub use replica::group_snapshot::GroupSnapshot;
pub use replica::received_snapshot::{ChunkError, ReceivedSnapshot, SnapshotReceiver};
pub use replica::replica_store::ReplicaStore;
pub use replica::replicated_log::LogCut;
pub use store::{DelayedMessages, Statistics, Store};
pub use store_memory::StoreMemory;
pub use twins::faulty::{Fault, FaultyStore};
pub use twins::memory::MemoryStore;
