//! What operators and their tools rely on: the admin listener, permissions, users, definitions.
//! Over sockets, with the broker as a process of its own.

mod access;
mod definitions;
#[path = "../broker/harness/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of the broker")]
mod harness;
mod http;
mod objects;
