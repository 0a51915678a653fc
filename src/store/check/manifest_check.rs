//! The check of each keyspace's manifest, which says which tables there are. fjall writes its
//! checksum down, in `current`, and does not compare it: a flipped bit could make tables vanish.
//!
//! ```text
//! current: version:u64 checksum:u128 0      (little endian) XXH3 of the file v<version>
//! ```

use crate::damage::Damage;
use crate::error::StoreError;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_128;

/// fjall takes a keyspace without this file for unfinished, and removes it.
pub(crate) const CURRENT_FILE: &str = "current";

/// The manifest of a keyspace, whose checksum is right; nothing when the keyspace has none.
///
/// # Errors
/// When it is not as it was written.
pub(crate) fn read_checked(keyspace: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(content) = read(&keyspace.join(CURRENT_FILE))? else { return Ok(None) };
    let parsed = content.split_first_chunk().and_then(|(version, rest)| {
        let (checksum, rest) = rest.split_first_chunk()?;
        (rest == [0]).then_some((u64::from_le_bytes(*version), u128::from_le_bytes(*checksum)))
    });
    let Some((version, checksum)) = parsed else {
        return Err(damaged(keyspace, "can't be understood"));
    };
    match read(&keyspace.join(format!("v{version}")))? {
        Some(content) if xxh3_128(&content) == checksum => Ok(Some(content)),
        Some(_) => Err(damaged(keyspace, &format!("and its manifest v{version} don't match"))),
        None => Err(damaged(keyspace, &format!("names a manifest v{version} that is missing"))),
    }
}

pub(crate) fn damaged(keyspace: &Path, what: &str) -> StoreError {
    let file = Some(keyspace.join(CURRENT_FILE));
    Damage { file, what: what.to_owned(), ..Damage::default() }.into()
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::failed("check its manifests", error)),
    }
}
