//! What users of the crate rely on: the golden vectors, round trips, and calm in the face of any
//! bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod hostile_bytes;
mod round_trip;
mod strategy;
mod vector_file;
mod vectors;
