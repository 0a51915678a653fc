//! The broker as pure state machines: connection, channel, exchange, topology, queue.
//!
//! Sans-IO: no tokio, no clock, no files, no threads, no randomness of its own. Inputs are methods
//! named `handle_*`, outputs are drained by `poll_*`; the time and the seed are arguments. The
//! server drives it over sockets, the tests drive it directly.
//!
//! Two halves meet in [`command`] and [`event`]: a `Connection` (one per client) turns bytes into
//! commands and events into bytes; the `Shard` owns the topology and all queues, turns commands
//! into events and into [`operation`]s for the store.
#![deny(missing_docs)]

pub mod access;
pub mod administration;
mod broker_snapshot;
pub mod browse;
mod channel;
mod clock_record;
pub mod command;
pub mod connection;
mod credit;
mod deduplication;
pub mod definition;
pub mod delayed_request;
mod delivered_record;
pub mod event;
pub mod limits;
pub mod model;
pub mod operation;
pub mod page;
pub mod published_delay;
pub mod published_properties;
pub(crate) mod queue;
pub mod schedules;
mod session;
pub mod shard;
pub mod token_bucket;
pub mod topology;
pub mod trace;
pub mod trace_request;

pub use broker_snapshot::BrokerSnapshot;
