//! What the fuzzer has found worth keeping, fed to the same functions without the fuzzer: inputs that
//! reach deep, and those that once broke something. `fuzz/README.md` tells how they were made; the
//! store replays its own (`src/store/fuzz_target.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that meets what it did not expect has failed; the modules are programs of the fuzzer too"
)]

#[path = "../../fuzz/fuzz_targets/broker.rs"]
mod broker;
#[path = "../../fuzz/fuzz_targets/configuration.rs"]
mod configuration;
#[path = "../../fuzz/fuzz_targets/connection.rs"]
mod connection;
#[path = "../../fuzz/fuzz_targets/definitions.rs"]
mod definitions;
#[path = "../../fuzz/fuzz_targets/frames.rs"]
mod frames;
#[path = "../../fuzz/fuzz_targets/queue.rs"]
mod queue;
#[path = "../../fuzz/fuzz_targets/tables.rs"]
mod tables;

use std::path::Path;

fn replay(name: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> =
        std::fs::read_dir(&corpus).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", corpus.display());
    for file in files {
        eprintln!("{}", file.display());
        run(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn frames_of_the_corpus() {
    replay("frames", frames::run);
}

#[test]
fn tables_of_the_corpus() {
    replay("tables", tables::run);
}

#[test]
fn connections_of_the_corpus() {
    replay("connection", connection::run);
}

#[test]
fn queue_operations_of_the_corpus() {
    replay("queue", queue::run);
}

#[test]
fn configuration_files_of_the_corpus() {
    replay("configuration", configuration::run);
}

#[test]
fn definitions_files_of_the_corpus() {
    replay("definitions", definitions::run);
}
