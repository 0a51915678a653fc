//! Three nodes and more in one process: real stores in directories, the real consensus, a network of the
//! test's own between them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cluster;
mod links;
mod members;
mod replication;
mod serving;
mod storm;
