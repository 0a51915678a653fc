//! What operators and their tools rely on: the admin listener, permissions, users, definitions.
//! Over sockets, with the broker as a process of its own.
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

use harness::http;

mod access;
mod api_reference;
mod autoscaling;
mod command;
mod console;
mod dead_letter_storm;
mod dead_letters;
mod definitions;
mod delayed;
mod hardening;
mod hostile;
mod lag;
mod limits;
mod objects;
mod pausing;
mod permissions;
mod policies;
mod schedules;
mod trace;
mod users;
