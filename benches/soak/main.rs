//! Load held for long: is memory flat, are descriptors flat, is nothing lost? Not a benchmark of
//! speed; it stands here because it wants a release build and a broker of its own.
//!
//! ```text
//! cargo bench --bench soak -- storm [--minutes N]        publish, consume, kill, reconnect at random
//! cargo bench --bench soak -- connections [--count N]    what an idle connection costs; then all publish
//! cargo bench --bench soak -- topology [--count N]       many queues: declare, restart, memory
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a run that meets what it did not expect has nothing to report"
)]

mod broker;
mod connections;
mod ledger;
#[allow(dead_code, reason = "each program uses a part of it")]
#[path = "../../tests/harness/random.rs"]
mod random;
mod storm;
mod topology;
#[allow(dead_code, reason = "shared with another benchmark")]
#[path = "../throughput/wire.rs"]
mod wire;

use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs benchmarks without this; it only wants to see that they build.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let number = |name: &str, default: u64| {
        let place = arguments.iter().position(|argument| argument == name);
        place.map_or(default, |place| arguments[place + 1].parse().expect("a number"))
    };
    match arguments.first().map(String::as_str) {
        Some("storm") => storm::run(Duration::from_secs(60 * number("--minutes", 60))),
        Some("connections") => connections::run(number("--count", 10_000) as usize),
        Some("topology") => topology::run(number("--count", 100_000) as usize),
        _ => eprintln!("which one: storm, connections or topology?"),
    }
}
