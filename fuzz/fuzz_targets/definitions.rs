//! Any octets where a file of definitions is expected: taken whole or refused with a text, and what
//! is taken an empty broker can judge.
#![cfg_attr(fuzzing, no_main)]

use forebay_server::definitions::parse;
use forebay_wire::ShortStr;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| run(octets));

/// # Panics
/// When a promise is broken.
pub fn run(octets: &[u8]) {
    let vhost = ShortStr::from_static("/");
    for vhost in [None, Some(&vhost)] {
        let checked = parse(octets, vhost)
            .and_then(|read| forebay_engine::definition::check(&read.definitions).map(drop));
        if let Err(error) = checked {
            assert!(!error.to_string().is_empty());
        }
    }
}
