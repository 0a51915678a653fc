//! Any octets where the store expects one of its values, keys or journals.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| forebay_store::fuzz_target::records(octets));
