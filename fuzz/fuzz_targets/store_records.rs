//! Any bytes where the store expects one of its values, keys or journals.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forebay_store::fuzz_target::records(bytes));
