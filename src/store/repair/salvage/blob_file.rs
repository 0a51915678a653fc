//! Values that lie in files of their own, as the pinned lsm-tree writes them:
//!
//! ```text
//! blob:   "BLOB" checksum:u128 seqno:u64 key_size:u16 size:u32 stored_size:u32 key value
//!         (little endian) checksum: XXH3 of key and value
//! handle: offset:varint file:varint stored_size:varint size:varint     what an item has instead
//! ```

use crate::format::cursor::Cursor;
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8] = b"BLOB";
const HEADER_SIZE: usize = MAGIC.len() + 16 + 8 + 2 + 4 + 4;

/// The value that a handle names, from the directory with a keyspace's blob files; nothing when it
/// is damaged or missing.
pub(super) fn value(directory: &Path, key: &[u8], handle: Bytes) -> io::Result<Option<Bytes>> {
    let mut handle = Cursor::new(handle);
    let mut field = || handle.varint();
    let (Some(offset), Some(file), Some(size)) = (field(), field(), field()) else {
        return Ok(None);
    };
    let file = match File::open(directory.join(file.to_string())) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // A wrong size takes no more memory than the file has.
    let end = offset.checked_add((HEADER_SIZE + key.len()) as u64);
    let end = end.and_then(|start| start.checked_add(size));
    if end.is_none_or(|end| file.metadata().is_ok_and(|file| file.len() < end)) {
        return Ok(None);
    }
    let Ok(size) = usize::try_from(size) else { return Ok(None) };
    let mut bytes = BytesMut::zeroed(HEADER_SIZE + key.len() + size);
    file.read_exact_at(&mut bytes, offset)?;
    Ok(checked(&bytes.freeze(), key))
}

fn checked(bytes: &Bytes, key: &[u8]) -> Option<Bytes> {
    let (header, rest) = bytes.split_at_checked(HEADER_SIZE)?;
    let checksum = u128::from_le_bytes(*header.strip_prefix(MAGIC)?.first_chunk()?);
    let value = rest.strip_prefix(key)?;
    let mut hasher = Xxh3::new();
    hasher.update(key);
    hasher.update(value);
    (hasher.digest128() == checksum).then(|| bytes.slice_ref(value))
}
