//! A table file, read from front to back without lsm-tree: what is damaged is passed over, and named.

use super::block::{self, BlockHeader, HEADER_SIZE, MAGIC};
use super::item::Item;
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// Bytes read at a time where nothing says how many belong together.
const WINDOW_SIZE: usize = 64 * 1024;

/// Reads the blocks of one table.
pub(super) struct TableReader {
    file: File,
    size: u64,
    at: u64,
    /// Of everything before `at`.
    hasher: Xxh3,
}

/// What comes next in a table.
#[derive(Debug)]
pub(super) enum Found {
    Block(Vec<Item>),
    /// Bytes that are no sound block, and what may still be read in them.
    Damage {
        from: u64,
        to: u64,
        items: Vec<Item>,
    },
    /// No data follows. With the checksum of the whole file.
    End {
        checksum: u128,
    },
}

impl TableReader {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size, at: 0, hasher: Xxh3::new() })
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    pub(super) fn next(&mut self) -> io::Result<Found> {
        let from = self.at;
        if from >= self.size {
            return self.end();
        }
        let Some(header) = self.header(from)? else {
            self.at = self.next_block(from)?;
            return Ok(Found::Damage { from, to: self.at, items: Vec::new() });
        };
        if !header.is_data {
            return self.end();
        }
        let bytes = self.read(from, HEADER_SIZE + header.size)?;
        self.hasher.update(&bytes);
        self.at = from + bytes.len() as u64;
        let content = bytes.slice(HEADER_SIZE.min(bytes.len())..);
        if header.is_of(&content) {
            Ok(Found::Block(block::items(&content)))
        } else {
            let items = block::salvaged_items(&content);
            Ok(Found::Damage { from, to: self.at, items })
        }
    }

    fn header(&self, at: u64) -> io::Result<Option<BlockHeader>> {
        Ok(BlockHeader::parse(&self.read(at, HEADER_SIZE)?))
    }

    /// Where the next block behind `from` begins, or the file ends.
    fn next_block(&self, from: u64) -> io::Result<u64> {
        let mut at = from + 1;
        while at < self.size {
            let window = self.read(at, WINDOW_SIZE)?;
            let starts = window.windows(MAGIC.len()).enumerate();
            for (start, _) in starts.filter(|(_, bytes)| bytes == MAGIC) {
                let place = at + start as u64;
                if self.header(place)?.is_some() {
                    return Ok(place);
                }
            }
            at += window.len().saturating_sub(MAGIC.len() - 1).max(1) as u64;
        }
        Ok(self.size)
    }

    fn end(&mut self) -> io::Result<Found> {
        while self.at < self.size {
            let bytes = self.read(self.at, WINDOW_SIZE)?;
            self.hasher.update(&bytes);
            self.at += bytes.len() as u64;
        }
        Ok(Found::End { checksum: self.hasher.digest128() })
    }

    /// Fewer bytes at the end of the file.
    fn read(&self, at: u64, size: usize) -> io::Result<Bytes> {
        let there = self.size.saturating_sub(at);
        let size = usize::try_from(there).map_or(size, |there| size.min(there));
        let mut bytes = BytesMut::zeroed(size);
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes.freeze())
    }
}
