//! AMQP and HTTP over TLS: versions, certificates of both sides, logins by certificate, new certificates
//! while the broker runs, and what peers get that do it wrong. Every certificate is made here.
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

mod authority;
mod broker;
mod client;
mod files;
mod http;
mod logins;
mod our_client;
mod peers;
mod reload;
mod traffic;
