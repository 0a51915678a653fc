//! A data directory whose files are harmed: verified, repaired, verified again.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
use forebay_store::fuzz_target::{Ground, damaged};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static GROUND: std::sync::OnceLock<Ground> = std::sync::OnceLock::new();
    let directory = || tempfile::tempdir().expect("a directory");
    let ground = GROUND.get_or_init(|| Ground::make(directory().path()));
    damaged(bytes, ground, directory().path());
});
