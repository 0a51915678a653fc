//! The fault suite: what the broker promises, tried by breaking things under it. The real binary,
//! real clients, and a fault of each kind; `docs/contribute/faults.md` has the table of faults and promises.
//!
//! `cargo test --test faults` runs a short form. `FOREBAY_TEST_ROUNDS=50` runs a long one;
//! `FOREBAY_TEST_SEED` repeats the decisions of a run, whose seed is printed.
#![cfg(target_os = "linux")]
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

mod ballast;
mod clock;
mod damage;
mod disk;
mod exhaustion;
mod failing_disk;
mod full_disk;
mod hanging_disk;
mod kill;
mod ledger;
mod load;
mod power_cut;
mod rounds;
mod stopped;
mod stopped_client;
mod topology;
mod world;
