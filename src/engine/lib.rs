//! The broker as pure state machines: connection, channel, exchange, topology, queue.
//!
//! Sans-IO: no tokio, no clock, no files, no threads, no randomness of its own. Inputs are methods
//! named `handle_*`, outputs are drained by `poll_*`; the time and the seed are arguments. The
//! server drives it over sockets, the tests drive it directly.
//!
//! Two halves meet in [`command`] and [`event`]: a `Connection` (one per client) turns octets into
//! commands and events into octets; the `Shard` owns the topology and all queues, turns commands
//! into events and into [`operation`]s for the store.
#![deny(missing_docs)]

pub mod access;
pub mod administration;
mod channel;
pub mod command;
pub mod connection;
pub mod definition;
mod delivered_record;
pub mod event;
pub mod fault;
pub mod ids;
pub mod limits;
pub mod message;
pub mod name_pattern;
pub mod object_name;
pub mod operation;
pub mod origin;
pub mod page;
pub mod published_properties;
pub(crate) mod queue;
pub mod reply_address;
pub mod shard;
pub mod sweep;
pub mod time;
pub mod token_bucket;
pub mod topology;
