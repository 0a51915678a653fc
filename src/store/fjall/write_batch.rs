//! What is written together: all of it or none.

use crate::fjall::database::{Database, Error, Space};
use crate::format::key;
use bytes::Bytes;
use fjall::PersistMode;
use forebay_engine::operation::Durability;
use std::collections::BTreeSet;

/// What is written together.
pub(crate) struct WriteBatch<'a> {
    database: &'a Database,
    inner: fjall::OwnedWriteBatch,
    bytes: u64,
    /// Of the levels from which a page is removed.
    level_anchors: BTreeSet<Bytes>,
}

impl WriteBatch<'_> {
    pub(crate) fn insert(&mut self, space: Space, key: Bytes, value: Bytes) {
        self.bytes += (key.len() + value.len()) as u64;
        self.inner.insert(self.database.keyspace(space), key, value);
    }

    pub(crate) fn remove(&mut self, space: Space, key: Bytes) {
        self.bytes += key.len() as u64;
        self.inner.remove(self.database.keyspace(space), key);
    }

    /// Takes away a page that was written exactly once.
    pub(crate) fn remove_page(&mut self, key: Bytes) {
        self.bytes += key.len() as u64;
        self.level_anchors.insert(key::level_anchor(&key));
        self.inner.remove_weak(self.database.keyspace(Space::Pages), key);
    }

    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn commit(mut self, durability: Durability) -> Result<(), Error> {
        for level_anchor in std::mem::take(&mut self.level_anchors) {
            self.insert(Space::Pages, level_anchor, Bytes::new());
        }
        let mode = match durability {
            Durability::Written => PersistMode::Buffer,
            Durability::Synced => PersistMode::SyncData,
        };
        self.inner.durability(Some(mode)).commit()?;
        self.database.make_room()
    }
}

impl Database {
    /// An empty batch.
    pub(crate) fn batch(&self) -> WriteBatch<'_> {
        WriteBatch {
            database: self,
            inner: self.inner.batch(),
            bytes: 0,
            level_anchors: BTreeSet::new(),
        }
    }
}
