//! The real binary over TCP, with lapin as a client that other people wrote, and raw sockets for
//! what no well-behaved client sends.
//!
//! Most tests share one broker and keep apart by the names they use; those that stop, kill or
//! configure a broker start their own. With `FOREBAY_TEST_ADDR=HOST:PORT` the shared one is
//! whatever listens there (RabbitMQ, say, to prove the tests themselves), and tests that need a
//! process of ours are passed over.
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

mod accounts;
mod acknowledgements;
mod alarms;
mod arguments;
mod bounded;
mod clock;
mod configuration;
mod confirms;
mod consumers;
mod crowd;
mod deduplication;
mod delayed;
mod delivery;
mod errors;
mod exchanges;
mod greedy;
mod groups;
mod health;
mod interop;
mod kill_storm;
mod lag;
mod leases;
mod logins;
mod negotiation;
mod otlp;
mod places;
mod poison;
mod privacy;
mod process;
mod protection;
mod queue_defaults;
mod queues;
mod readme;
mod recovery;
mod retries;
mod schedules;
mod small_messages;
mod transactions;
mod vectors;
mod violations;
