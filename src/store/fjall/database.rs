//! fjall, as the store uses it: five keyspaces, their settings, and the calls that fjall hides in
//! its documentation (`remove_weak`, `drop_range`, `rotate_memtable`, `journal_disk_space`). Only this
//! module, [`super::view`] and [`super::write_batch`] call it; the tests here say what we rely on, for
//! this exact version of it.
//!
//! - A batch is atomic and its items carry one sequence number: no key may stand in it twice.
//! - `remove_weak` removes a key that was written exactly once; the pair never leaves the memtable
//!   when both are in it at a flush. A memtable whose content cancels out wholly is never dropped, and
//!   the fourth such one stops all writes until a restart: so a batch that removes a page weakly writes
//!   its level's anchor too, which remains.
//! - `drop_range` unlinks the tables that lie wholly within the range, tombstones included: a
//!   removed key of the range may show up again. The anchor of a level stands at its beginning, so
//!   that a table of one level lies within the level.
//! - A sealed journal is unlinked only when each keyspace named in it has a table as new as it: one
//!   whose newest tables were dropped pins it, until something newer is in a table: a heartbeat.
//! - The settings of a keyspace are those of its creation.

use crate::format::key::HEARTBEAT_KEY;
use crate::limits::{
    DEEP_MERGE_BYTES_MAX, JOURNALS_SIZE_MAX, PAGES_RUNS_UNMERGED_MAX, ROOM_INTERVAL,
    RUNS_UNMERGED_MAX, SEALED_MEMTABLES_MAX, TABLE_SIZE, WORKER_THREADS,
};
use crate::store_memory::StoreMemory;
use bytes::Bytes;
use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{
    AbstractTree, CompressionType, Keyspace, KeyspaceCreateOptions, KvSeparationOptions,
    PersistMode,
};
use forebay_engine::operation::Durability;
use std::path::Path;
use std::sync::Arc;

pub(crate) type Error = fjall::Error;

/// Whether an error says that files hold something else than was written, not that the system
/// failed to read them.
pub(crate) fn is_damage(error: &Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    match error {
        Error::Io(error) | Error::Storage(fjall::LsmError::Io(error)) => {
            matches!(error.kind(), InvalidData | InvalidInput | NotFound | UnexpectedEof)
        }
        Error::Poisoned | Error::Locked => false,
        _ => true,
    }
}

/// Whether an error says that something on the disk can't be read and won't be read by trying again:
/// damage, or a bad sector. The system's other failures pass.
pub(crate) fn is_unreadable(error: &Error) -> bool {
    let (Error::Io(system) | Error::Storage(fjall::LsmError::Io(system))) = error else {
        return is_damage(error);
    };
    let is_bad_sector = system.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    is_bad_sector || is_damage(error)
}

/// The keyspaces. Few and fixed: never one for each queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Pages,
    Bodies,
    Acks,
    Meta,
    Delayed,
}

impl Space {
    fn memtable_size_max(self, memory: StoreMemory) -> u64 {
        match self {
            Self::Pages | Self::Bodies => memory.pages_memtable,
            Self::Acks | Self::Meta => memory.memtable,
            Self::Delayed => memory.delayed_memtable(),
        }
    }
}

/// fjall's marker of a database that was made completely.
pub(crate) const VERSION_FILE: &str = "version";
/// fjall's number for `meta`: its keyspaces are numbered as they are created, from 1.
pub(crate) const META_ID: u64 = 4;
/// fjall's number for `delayed`, the last one. A database of a version before
/// [`crate::limits::FORMAT_VERSION_WITH_DELAYED`] does not have it until it is opened.
pub(crate) const DELAYED_ID: u64 = 5;

pub(crate) const SPACES: [Space; 5] =
    [Space::Pages, Space::Bodies, Space::Acks, Space::Meta, Space::Delayed];

/// An open database. Clones share it.
#[derive(Clone)]
pub(crate) struct Database {
    pub(super) inner: fjall::Database,
    pages: Keyspace,
    bodies: Keyspace,
    acks: Keyspace,
    meta: Keyspace,
    delayed: Keyspace,
    memory: StoreMemory,
}

impl Database {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, StoreMemory::default())
    }

    /// Opens it, and makes the keyspaces that are not there.
    pub(crate) fn open_with(path: &Path, memory: StoreMemory) -> Result<Self, Error> {
        let inner = fjall::Database::builder(path)
            .cache_size(memory.cache)
            .max_journaling_size(JOURNALS_SIZE_MAX)
            .manual_journal_persist(true)
            .worker_threads(WORKER_THREADS)
            .journal_compression(CompressionType::None)
            .open()?;
        Ok(Self {
            pages: inner.keyspace("pages", || options(PAGES_RUNS_UNMERGED_MAX))?,
            bodies: inner.keyspace("bodies", || {
                // Files of bodies are never written anew for what is needed of them: that took as much
                // room again as they have, just when there was none.
                let separation = KvSeparationOptions::default()
                    .staleness_threshold(1.0)
                    .compression(CompressionType::None)
                    .file_target_size(TABLE_SIZE);
                options(RUNS_UNMERGED_MAX).with_kv_separation(Some(separation))
            })?,
            acks: inner.keyspace("acks", || options(RUNS_UNMERGED_MAX))?,
            meta: inner.keyspace("meta", || options(RUNS_UNMERGED_MAX))?,
            delayed: inner.keyspace("delayed", || options(RUNS_UNMERGED_MAX))?,
            inner,
            memory,
        })
    }

    pub(super) fn keyspace(&self, space: Space) -> &Keyspace {
        match space {
            Space::Pages => &self.pages,
            Space::Bodies => &self.bodies,
            Space::Acks => &self.acks,
            Space::Meta => &self.meta,
            Space::Delayed => &self.delayed,
        }
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.inner.persist(PersistMode::SyncData)
    }

    /// Unlinks the tables that lie wholly in a range of keys. Memtables stay as they are.
    pub(crate) fn drop_range(&self, space: Space, first: &[u8], last: &[u8]) -> Result<(), Error> {
        Ok(self.keyspace(space).tree.drop_range(first..=last)?)
    }

    /// Seals all memtables, which are flushed in the background: older journals can be unlinked
    /// afterwards.
    pub(crate) fn rotate(&self) -> Result<(), Error> {
        for space in SPACES {
            self.keyspace(space).rotate_memtable()?;
        }
        Ok(())
    }

    /// Seals memtables that are full; waits while [`SEALED_MEMTABLES_MAX`] of a keyspace are not flushed.
    ///
    /// fjall would do so by itself, by a message to its worker for each commit that finds one full.
    /// A worker that compacts reads no message for seconds: memtables grew by hundreds of MiB meanwhile,
    /// and a worker that finds its own queue of messages full deadlocks.
    pub(super) fn make_room(&self) -> Result<(), Error> {
        for space in SPACES {
            let keyspace = self.keyspace(space);
            if keyspace.tree.active_memtable().size() > space.memtable_size_max(self.memory) {
                while keyspace.sealed_memtable_count() >= SEALED_MEMTABLES_MAX {
                    // Fails when the worker has failed: a failed worker flushes no memtable.
                    self.inner.persist(PersistMode::Buffer)?;
                    std::thread::sleep(ROOM_INTERVAL);
                }
                keyspace.rotate_memtable()?;
            }
        }
        Ok(())
    }

    /// After tables were dropped: writes heartbeats and seals memtables, so that the journals of the dropped
    /// tables are unlinked.
    pub(crate) fn let_go(&self) -> Result<(), Error> {
        self.put_heartbeats()?;
        self.rotate()
    }

    /// Writes something into every keyspace.
    pub(crate) fn put_heartbeats(&self) -> Result<(), Error> {
        let mut batch = self.batch();
        for space in SPACES {
            batch.insert(space, Bytes::from_static(HEARTBEAT_KEY), Bytes::new());
        }
        batch.commit(Durability::Written)
    }

    /// Flushes all memtables, and waits until the compactions that follow have run: how tables lie
    /// depends on their order otherwise.
    #[cfg(any(test, fuzzing))]
    #[allow(clippy::expect_used, reason = "a test that fails")]
    pub(crate) fn make_tables(&self) {
        let before = self.inner.compactions_completed();
        let rotated = SPACES
            .into_iter()
            .filter(|space| self.keyspace(*space).rotate_memtable().expect("a rotation"));
        // Each flush asks for a compaction.
        let compactions = before + rotated.count();
        while !self.is_flushed() || self.inner.compactions_completed() < compactions {
            self.check().expect("fjall's threads run");
            std::thread::yield_now();
        }
    }

    /// Whether all sealed memtables are flushed.
    pub(crate) fn is_flushed(&self) -> bool {
        SPACES.into_iter().all(|space| self.keyspace(space).sealed_memtable_count() == 0)
    }

    /// Bytes of the tables of messages.
    pub(crate) fn table_bytes(&self) -> u64 {
        self.pages.disk_space() + self.bodies.disk_space()
    }

    /// Bytes of the tables of a keyspace, and of what they keep apart.
    pub(crate) fn disk_space(&self, space: Space) -> u64 {
        self.keyspace(space).disk_space()
    }

    /// The tables of a keyspace.
    pub(crate) fn tables(&self, space: Space) -> Vec<TableRange> {
        let version = self.keyspace(space).tree.current_version();
        let ranges = version.iter_tables().map(|table| {
            let range = &table.metadata.key_range;
            let (first, last) = (range.min().clone().into(), range.max().clone().into());
            let metadata = &table.metadata;
            TableRange {
                id: table.id(),
                first,
                last,
                has_removals: metadata.tombstone_count + metadata.weak_tombstone_count > 0,
                newest: table.get_highest_seqno(),
            }
        });
        ranges.collect()
    }

    /// Whether a compaction runs at this moment.
    pub(crate) fn is_merging(&self) -> bool {
        self.inner.active_compactions() > 0
    }

    /// Bytes of bodies that are kept apart and not needed any more, as far as compactions have found out.
    pub(crate) fn stale_bytes(&self, space: Space) -> u64 {
        self.keyspace(space).tree.current_version().gc_stats().stale_bytes()
    }

    /// Compacts all tables of a keyspace into the last level: removed values are gone afterwards.
    pub(crate) fn merge(&self, space: Space) -> Result<(), Error> {
        self.keyspace(space).major_compact()
    }

    /// Bytes that fjall's next compactions may write before the tables that they read are unlinked, at
    /// most. It chooses the level with the most too much: all of the first one with what it overlaps in
    /// the next, or the least part of a deeper one, a table or two with some ten below.
    pub(crate) fn merge_bytes_max(&self) -> u64 {
        SPACES.into_iter().map(|space| self.merge_bytes_max_of(space)).max().unwrap_or(0)
    }

    fn merge_bytes_max_of(&self, space: Space) -> u64 {
        let version = self.keyspace(space).tree.current_version();
        let mut levels = version.iter_levels().map(|level| level.size());
        let first = levels.next().unwrap_or(0);
        let second = levels.by_ref().find(|size| *size > 0).unwrap_or(0);
        let deeper = levels.sum::<u64>();
        let tables = match first {
            // Tables of one level only are moved, not rewritten.
            0 if deeper == 0 => 0,
            _ => (first + second).max(deeper.min(DEEP_MERGE_BYTES_MAX)),
        };
        // Of files of bodies those are written anew of which a fourth is not needed any more: what is
        // needed of them is at most three times as much as what is not.
        let (kept_apart, stale) =
            (version.blob_files.on_disk_size(), version.gc_stats().stale_bytes());
        tables + kept_apart.saturating_sub(stale).min(stale.saturating_mul(3))
    }

    /// Whether everything that was committed can still be written on.
    ///
    /// # Errors
    /// When a thread of fjall's has failed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.inner.persist(PersistMode::Buffer)
    }

    pub(crate) fn journal_count(&self) -> usize {
        self.inner.journal_count()
    }

    pub(crate) fn journal_bytes(&self) -> Result<u64, Error> {
        self.inner.journal_disk_space()
    }

    pub(crate) fn disk_bytes(&self) -> Result<u64, Error> {
        self.inner.disk_space()
    }
}

fn options(runs_unmerged_max: u8) -> KeyspaceCreateOptions {
    let compaction =
        Leveled::default().with_l0_threshold(runs_unmerged_max).with_table_target_size(TABLE_SIZE);
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        // Never: see `make_room`.
        .max_memtable_size(u64::MAX)
        .data_block_size_policy(BlockSizePolicy::all(4 * 1024))
        .data_block_compression_policy(CompressionPolicy::disabled())
        .index_block_compression_policy(CompressionPolicy::disabled())
        .compaction_strategy(Arc::new(compaction))
}

/// A table, and the first and the last of its keys.
#[derive(Clone, Debug)]
pub(crate) struct TableRange {
    pub(crate) id: u64,
    pub(crate) first: Bytes,
    pub(crate) last: Bytes,
    /// Whether it says of keys that they are removed, which older tables may have.
    pub(crate) has_removals: bool,
    /// The number of the latest write in it.
    pub(crate) newest: u64,
}

impl TableRange {
    pub(crate) fn holds(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

#[cfg(test)]
mod tests;
