//! Everything that the replicas of a shard have in common, as it is at one moment, in chunks that another
//! node can check by themselves.
//!
//! ```text
//! chunk: sealed(number:varint item*)
//! item:  space:u8 size:varint key size:varint value
//! ```
//! Chunks are numbered from 0. Items are keys and values as the store has them, in the order of the
//! keyspaces and of their keys; what a replica has for itself (its log, its vote) is left out.

use crate::error::StoreError;
use crate::fjall::database::{SPACES, Space};
use crate::fjall::recovery;
use crate::fjall::view::View;
use crate::format::checksummed;
use crate::format::cursor::{Cursor, put_varint};
use crate::format::key;
use crate::limits::SNAPSHOT_CHUNK_BYTES;
use bytes::{BufMut, Bytes};

const CHUNK_KEY: &[u8] = b"snapshot chunk";

/// What a replica holds at one moment, to be sent to another node. While it is held, the disk space of what
/// is settled meanwhile is not given back.
pub struct GroupSnapshot {
    view: View,
    applied: Bytes,
    /// Where the next chunk begins: the place of a keyspace in [`SPACES`], and the last key before.
    space: usize,
    after: Option<Bytes>,
    number: u64,
}

/// A key and its value.
pub(crate) type SnapshotItem = (Space, Bytes, Bytes);

impl GroupSnapshot {
    pub(crate) fn new(view: View, applied: Bytes) -> Self {
        Self { view, applied, space: 0, after: None, number: 0 }
    }

    /// How far the replicated log is applied in it, as its owner said.
    #[must_use]
    pub fn applied(&self) -> &Bytes {
        &self.applied
    }

    /// The next chunk, of [`SNAPSHOT_CHUNK_BYTES`] or a little more; a body that is larger makes it larger.
    /// `None`: that was the last one. Blocks while the disk is read.
    ///
    /// # Errors
    /// When the disk fails, or what is stored is damaged.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        let mut content = Vec::new();
        put_varint(&mut content, self.number);
        let empty = content.len();
        while content.len() < SNAPSHOT_CHUNK_BYTES
            && let Some(space) = SPACES.get(self.space).copied()
        {
            self.fill(space, &mut content)?;
        }
        if content.len() == empty {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(checksummed::seal(CHUNK_KEY, &content)))
    }

    /// Adds items of a keyspace until the chunk is full, or goes on to the next keyspace.
    fn fill(&mut self, space: Space, content: &mut Vec<u8>) -> Result<(), StoreError> {
        let (first, last) = range(space);
        let first = self.after.clone().unwrap_or(first);
        for item in self.view.range(space, &first, &last) {
            let (key, value) = item.map_err(recovery::failed)?;
            let is_own = space == Space::Meta && key::is_of_replica(&key);
            if is_own || self.after.as_ref() == Some(&key) {
                continue;
            }
            content.put_u8(space as u8);
            put_varint(content, key.len() as u64);
            content.put_slice(&key);
            put_varint(content, value.len() as u64);
            content.put_slice(&value);
            if content.len() >= SNAPSHOT_CHUNK_BYTES {
                self.after = Some(Bytes::copy_from_slice(&key));
                return Ok(());
            }
        }
        self.space += 1;
        self.after = None;
        Ok(())
    }
}

impl std::fmt::Debug for GroupSnapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("GroupSnapshot")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The first and the last key of a keyspace that replicas have in common.
pub(crate) fn range(space: Space) -> (Bytes, Bytes) {
    let (first, last) = key::shard_range();
    match space {
        // Entries of the log sort behind all pages.
        Space::Pages => (first, key::level_anchor(&key::log_entry(0))),
        _ => (first, last),
    }
}

/// The number and the items of a chunk; `None`: it is none, or damaged.
pub(crate) fn decode_chunk(chunk: &Bytes) -> Option<(u64, Vec<SnapshotItem>)> {
    let mut cursor = Cursor::new(checksummed::unseal(CHUNK_KEY, chunk).ok()?);
    let number = cursor.varint()?;
    let mut items = Vec::new();
    while !cursor.is_empty() {
        let space = *SPACES.get(usize::from(cursor.octet()?))?;
        let size = cursor.varint()?;
        let key = cursor.bytes(size)?;
        let size = cursor.varint()?;
        items.push((space, key, cursor.bytes(size)?));
    }
    Some((number, items))
}
