//! Sizes and bounds of the store, and their relations.

/// A body above this size has a value of its own, so that pages stay small.
pub const BODY_INLINE_SIZE_MAX: usize = 64 * 1024;

/// Octets of messages that the engine puts into one page at most, out-of-line bodies not counted.
pub const PAGE_SIZE_MAX: usize = 1024 * 1024;

/// The on-disk format that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

const _: () = assert!(BODY_INLINE_SIZE_MAX < PAGE_SIZE_MAX);
