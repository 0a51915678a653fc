//! What a user of the store relies on, over its public face and real files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod drain;
mod kill;
mod workload;
