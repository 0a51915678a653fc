//! Damage as an operator meets it: a broker's files are harmed, `forebay verify` names it, `forebay
//! repair` goes on without what is lost, and the broker serves all the rest. What is reported missing
//! and what is delivered make up what was confirmed, message by message.
//!
//! `FOREBAY_TEST_SEED=… FOREBAY_TEST_ROUNDS=… cargo test --test integrity -- --nocapture` repeats and
//! prolongs the rounds at random places.
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

mod commands;
mod damage;
mod damaged_page;
mod formats;
mod ground;
mod interrupted;
mod running;
mod schedules;
mod set_aside;
