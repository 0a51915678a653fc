//! What operators and their tools rely on: the admin listener, permissions, users, definitions.
//! Over sockets, with the broker as a process of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it did not expect has failed"
)]

mod access;
mod definitions;
#[path = "../broker/harness/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of the broker")]
mod harness;
mod http;
mod objects;
