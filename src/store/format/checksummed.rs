//! The envelope of every value: a version and a checksum of our own, over key and content.
//!
//! ```text
//! version:u8 checksum:u64 content
//! ```
//! The checksum is XXH3 of the content, seeded with that of the key and the version: a value that
//! stands under a wrong key is found out as well.

use bytes::{BufMut, Bytes};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const VERSION: u8 = 1;
const HEADER_SIZE: usize = 1 + 8;

/// Why a value can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("its value has version {found}, expected {VERSION}")]
    Version { found: u8 },
    #[error("its value does not match its checksum")]
    Checksum,
    #[error("its value is not laid out as expected ({0})")]
    Layout(&'static str),
}

/// A value that is being written, into one buffer of the right size.
pub(crate) struct Sealing {
    buffer: Vec<u8>,
}

impl Sealing {
    pub(crate) fn with_size(content_size: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_SIZE + content_size);
        buffer.put_u8(VERSION);
        buffer.put_u64(0);
        Self { buffer }
    }

    pub(crate) fn content(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(crate) fn finish(mut self, key: &[u8]) -> Bytes {
        if let Some((header, content)) = self.buffer.split_at_mut_checked(HEADER_SIZE)
            && let Some((_, slot)) = header.split_first_mut()
        {
            slot.copy_from_slice(&checksum(key, content).to_be_bytes());
        }
        self.buffer.into()
    }
}

/// Seals a content that is there already.
pub(crate) fn seal(key: &[u8], content: &[u8]) -> Bytes {
    let mut sealing = Sealing::with_size(content.len());
    sealing.content().put_slice(content);
    sealing.finish(key)
}

/// The content of a value, sharing its memory.
pub(crate) fn unseal(key: &[u8], value: &Bytes) -> Result<Bytes, Flaw> {
    match value.first() {
        Some(&VERSION) => {}
        Some(&found) => return Err(Flaw::Version { found }),
        None => return Err(Flaw::Layout("empty")),
    }
    let Some((header, content)) = value.split_at_checked(HEADER_SIZE) else {
        return Err(Flaw::Layout("shorter than its header"));
    };
    if header.ends_with(&checksum(key, content).to_be_bytes()) {
        Ok(value.slice(HEADER_SIZE..))
    } else {
        Err(Flaw::Checksum)
    }
}

/// The checksum by itself, for values without an envelope.
pub(crate) fn checksum(key: &[u8], content: &[u8]) -> u64 {
    xxh3_64_with_seed(content, xxh3_64(key) ^ u64::from(VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_under_its_own_key_only() {
        let value = seal(b"key", b"content");
        assert_eq!(unseal(b"key", &value).unwrap(), "content");
        assert_eq!(unseal(b"other", &value), Err(Flaw::Checksum));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let value = seal(b"key", b"content");
        for bit in 0..value.len() * 8 {
            let mut flipped = value.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(b"key", &flipped.into()).is_err(), "bit {bit}");
        }
        for length in 0..value.len() {
            assert!(unseal(b"key", &value.slice(..length)).is_err(), "length {length}");
        }
    }
}
