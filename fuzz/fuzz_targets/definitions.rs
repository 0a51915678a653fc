//! Any bytes where a file of definitions is expected: taken whole or refused with a text, and what
//! is taken an empty broker can judge.
#![cfg_attr(fuzzing, no_main)]

use forebay_engine::topology::Topology;
use forebay_server::definitions::{ReadOptions, parse};
use forebay_wire::ShortStr;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

/// # Panics
/// When a promise is broken.
pub fn run(bytes: &[u8]) {
    let vhost = ShortStr::from_static("/");
    let options = [(None, false), (Some(&vhost), false), (None, true)];
    for (vhost, skip_unsupported) in options {
        match parse(bytes, ReadOptions { vhost, skip_unsupported }) {
            Ok(read) => {
                let flaws = forebay_engine::definition::check(Topology::new(), &read.definitions);
                assert!(flaws.iter().all(|flaw| !flaw.to_string().is_empty()));
            }
            Err(flaws) => assert!(!flaws.to_string().is_empty()),
        }
    }
}
