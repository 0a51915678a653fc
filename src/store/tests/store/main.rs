//! What a user of the store relies on, over its public face and real files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod drain;
mod kill;
#[allow(dead_code, reason = "the crate's own tests use the rest of it")]
mod workload;
