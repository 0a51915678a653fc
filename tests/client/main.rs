//! The client crate against the real binary, through a proxy where the network must fail.
//!
//! With `FOREBAY_TEST_ADDR=HOST:PORT` the same tests run against whatever listens there
//! (`tests/client/against-rabbitmq` does so with RabbitMQ).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it did not expect has failed"
)]

#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "../harness/mod.rs"]
mod harness;

mod ground;
mod proxy;

mod alarm;
mod batches;
mod chaos;
mod connecting;
mod consuming;
mod declaring;
mod handlers;
mod idempotence;
mod leases;
mod publishing;
mod reconnecting;
mod requesting;
mod stores;
mod tasks;
mod tracing;
mod working;
