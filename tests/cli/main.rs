//! The command line as a user or a script sees it: output, exit codes, what happens to messages.
//!
//! With `FOREBAY_TEST_ADDR=HOST:PORT` what speaks AMQP runs against whatever listens there.
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
mod terminal;

mod access;
mod bad_input;
mod bench;
mod bench_faults;
mod contexts;
mod definitions;
mod demo;
mod forms;
mod help;
mod messages;
mod objects;
mod operators;
mod secrets;
mod topology;
mod traffic;
