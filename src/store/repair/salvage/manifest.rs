//! Which files a keyspace has, by its manifest (little endian):
//!
//! ```text
//! v<version>: section* toc trailer
//! toc:        "TOC!" count:u32 (position:u64 size:u64 name_size:u16 name)*
//! trailer:    "SFA!" bytes:18 toc_position:u64 toc_size:u64
//! tables:     levels:u8 (runs:u8 (count:u32 (id:u64 0 checksum:u128 global_seqno:u64)*)*)*
//! blob_files: count:u32 (id:u64 0 checksum:u128)*
//! ```

use crate::check::manifest_check;
use crate::error::StoreError;
use std::path::Path;

const TRAILER_SIZE: usize = 4 + 18 + 8 + 8;

/// The files of one keyspace: their numbers and checksums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) tables: Vec<(u64, u128)>,
    pub(crate) blob_files: Vec<(u64, u128)>,
}

impl Manifest {
    /// `None` when the keyspace has none.
    ///
    /// # Errors
    /// When it is not as it was written.
    pub(crate) fn read(keyspace: &Path) -> Result<Option<Self>, StoreError> {
        let Some(content) = manifest_check::read_checked(keyspace)? else { return Ok(None) };
        match Self::parse(&content) {
            Some(manifest) => Ok(Some(manifest)),
            None => Err(manifest_check::damaged(keyspace, "names a manifest of an unknown layout")),
        }
    }

    fn parse(content: &[u8]) -> Option<Self> {
        let mut tables = ByteReader(section(content, b"tables")?);
        let mut manifest = Self::default();
        for _ in 0..tables.u8()? {
            for _ in 0..tables.u8()? {
                for _ in 0..tables.u32()? {
                    manifest.tables.push(tables.file()?);
                    tables.u64()?;
                }
            }
        }
        let mut blob_files = ByteReader(section(content, b"blob_files")?);
        for _ in 0..blob_files.u32()? {
            manifest.blob_files.push(blob_files.file()?);
        }
        Some(manifest)
    }
}

fn section<'a>(content: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let trailer = content.get(content.len().checked_sub(TRAILER_SIZE)?..)?;
    let mut trailer = ByteReader(trailer.strip_prefix(b"SFA!")?.get(18..)?);
    let toc = content.get(usize::try_from(trailer.u64()?).ok()?..)?;
    let mut toc = ByteReader(toc.strip_prefix(b"TOC!")?);
    for _ in 0..toc.u32()? {
        let (position, size) = (toc.u64()?, toc.u64()?);
        let name_size = toc.array().map(u16::from_le_bytes)?;
        if toc.take(name_size.into())? == wanted {
            let rest = content.get(usize::try_from(position).ok()?..)?;
            return rest.get(..usize::try_from(size).ok()?);
        }
    }
    None
}

struct ByteReader<'a>(&'a [u8]);

impl<'a> ByteReader<'a> {
    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn file(&mut self) -> Option<(u64, u128)> {
        let id = self.u64()?;
        let checksum_kind = self.u8()?;
        let checksum = self.array().map(u128::from_le_bytes)?;
        (checksum_kind == 0).then_some((id, checksum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_content_makes_it_panic(content: Vec<u8>) {
            let _ = Manifest::parse(&content);
        }
    }
}
