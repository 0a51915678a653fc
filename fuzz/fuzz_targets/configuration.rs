//! Any text where a configuration file is expected: read, or refused with a line that is there.
#![cfg_attr(fuzzing, no_main)]

use forebay_server::config::config_file::{ConfigFile, ConfigFileError};
use std::path::Path;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

/// # Panics
/// When a promise is broken.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = ConfigFile::parse(Path::new("forebay.toml"), text) {
        assert!(!error.to_string().is_empty());
        let ConfigFileError::Parse { line, .. } = error else { panic!("{error}") };
        assert!((1..=text.matches('\n').count() + 1).contains(&line), "line {line}");
    }
}
