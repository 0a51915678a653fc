//! The check of each keyspace's manifest, which says which tables there are. fjall writes its
//! checksum down, in `current`, and does not compare it: a flipped bit could make tables vanish.
//!
//! ```text
//! current: version:u64 checksum:u128 0      (little endian) XXH3 of the file v<version>
//! ```

use crate::error::{Damage, StoreError};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_128;

/// fjall takes a keyspace without this file for unfinished, and removes it.
pub(crate) const CURRENT_FILE: &str = "current";

/// # Errors
/// When the manifest of a keyspace is not as it was written.
pub(crate) fn check(keyspace: &Path) -> Result<(), StoreError> {
    let current = keyspace.join(CURRENT_FILE);
    let Some(content) = read(&current)? else { return Ok(()) };
    let damaged = |what| Err(Damage::elsewhere(format!("the file {} {what}", current.display())));
    let parsed = content.split_first_chunk().and_then(|(version, rest)| {
        let (checksum, rest) = rest.split_first_chunk()?;
        (rest == [0]).then_some((u64::from_le_bytes(*version), u128::from_le_bytes(*checksum)))
    });
    let Some((version, checksum)) = parsed else { return damaged("can't be understood") };
    let manifest = keyspace.join(format!("v{version}"));
    match read(&manifest)? {
        Some(content) if xxh3_128(&content) == checksum => Ok(()),
        Some(_) => damaged(&format!("and its manifest v{version} don't match")),
        None => damaged(&format!("names a manifest v{version} that is missing")),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: io::Error) -> StoreError {
    StoreError::failed("check its manifests", error)
}
