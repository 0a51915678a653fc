//! The store of one of several machines that have the same queues: what the store of a single machine
//! holds, and the replicated log from which all of them apply the same commits in the same order.

use crate::damage::Damage;
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::fjall::database::{SPACES, Space};
use crate::fjall::fjall_store::FjallStore;
use crate::fjall::recovery;
use crate::fjall::shared::{Shared, Writer};
use crate::format::checksummed;
use crate::format::key;
use crate::limits::REMOVE_KEYS_MAX;
use crate::reclaim::reclaim_queue::ReclaimRequests;
use crate::replica::group_snapshot::{self, GroupSnapshot};
use crate::replica::received_snapshot::{ReceivedSnapshot, SnapshotReceiver};
use crate::replica::replicated_log::{self, LogCut, LogExtent};
use crate::store::{DelayedMessages, Statistics, Store};
use crate::store_memory::StoreMemory;
use bytes::Bytes;
use forebay_engine::model::{DelayedId, Level, Offset, QueueId};
use forebay_engine::operation::{Commit, Durability, Recovered};
use forebay_engine::page::Page;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A store whose commits come by a replicated log. It knows entries of the log, votes and what says how
/// far the log is applied as bytes: what they mean is the consensus's.
///
/// Everything that is written goes to one journal, in order. So what was appended to the log and synced is
/// there after a power loss, and so is what was applied before; what was applied later may be gone, and
/// is applied again, since its entries are there.
#[derive(Debug)]
pub struct ReplicaStore {
    store: FjallStore,
    log: Mutex<LogExtent>,
}

impl ReplicaStore {
    /// Opens the store in a data directory, or makes a new one there. The directory of a single machine
    /// becomes that of a replica with all it holds, and can't be that of a single machine any more. A
    /// snapshot that was being put in place when the process ended is put in place.
    ///
    /// # Errors
    /// When the directory is locked, not writable, of a newer format or something else than a data
    /// directory; when what it holds is damaged.
    pub fn open(path: impl AsRef<Path>, memory: StoreMemory) -> Result<Self, StoreError> {
        let directory = DataDirectory::open_replica(path.as_ref())?;
        let store = FjallStore::open_directory(directory, memory)?;
        let log = LogExtent::read(&store.shared.database.view())?;
        let replica = Self { store, log: Mutex::new(log) };
        replica.need_log();
        replica.remove_cut_entries()?;
        let view = replica.shared().database.view();
        let is_unfinished = view.get(Space::Meta, &key::unfinished_snapshot());
        let is_unfinished = is_unfinished.map_err(recovery::failed)?.is_some();
        drop(view);
        match ReceivedSnapshot::find(&replica.shared().directory) {
            Some(snapshot) if is_unfinished => replica.install(snapshot)?,
            Some(unused) => unused.remove(),
            None if is_unfinished => {
                return Err(Damage::elsewhere(
                    "a snapshot from another node was being put in place, and its file is missing: \
                     replace this node by a new one",
                ));
            }
            None => {}
        }
        Ok(replica)
    }

    /// Puts entries behind the last one of the log, the first of which has this index.
    ///
    /// # Errors
    /// When another index is expected, or the store fails; the store then takes no further writes.
    pub fn append(
        &self,
        first: u64,
        entries: &[Bytes],
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut log = self.log();
        if first != log.next() {
            let what = format!("entry {first} came, {} was expected", log.next());
            return Err(StoreError::failed("append to its replicated log", what));
        }
        let mut batch = self.shared().database.batch();
        log.append(entries, &mut batch);
        self.store.write(|shared| shared.write_batch(batch, durability))
    }

    /// Takes the entries from this index on away. Not synced: an append that is synced later covers it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn truncate(&self, from: u64) -> Result<(), StoreError> {
        let mut log = self.log();
        let mut batch = self.shared().database.batch();
        log.truncate(from, &mut batch);
        self.store.write(|shared| shared.write_batch(batch, Durability::Written))
    }

    /// Takes the entries up to an index away, applied ones that no replica needs any more. Not synced: after
    /// a power loss some may be there again.
    ///
    /// # Errors
    /// When the store fails.
    pub fn cut(&self, cut: &LogCut) -> Result<(), StoreError> {
        let mut log = self.log();
        let mut batch = self.shared().database.batch();
        let bytes = log.cut(cut, &mut batch);
        drop(log);
        self.store.write(|shared| {
            let wanted = shared.write_batch(batch, Durability::Written)?;
            Ok(ReclaimRequests { is_reclaim_due: shared.note_settled(bytes), ..wanted })
        })?;
        self.need_log();
        Ok(())
    }

    /// The indexes of the entries that the log has, and where it was cut off last.
    ///
    /// # Errors
    /// When the disk fails, or the record of the cut is damaged.
    pub fn log_state(&self) -> Result<(Range<u64>, Option<LogCut>), StoreError> {
        let log = self.log();
        Ok((log.indexes(), replicated_log::cut(&self.shared().database.view())?))
    }

    /// The indexes of the entries that the log has.
    #[must_use]
    pub fn log_indexes(&self) -> Range<u64> {
        self.log().indexes()
    }

    /// Bytes of the entries that the log has.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.log().bytes()
    }

    /// The entries with these indexes, as far as the log has them, until their bytes reach `bytes_max`: at least
    /// one, when there is one. Blocks while the disk is read.
    ///
    /// # Errors
    /// When the disk fails, or one of them is damaged.
    pub fn entries(&self, indexes: Range<u64>, bytes_max: u64) -> Result<Vec<Bytes>, StoreError> {
        // The view is taken before the log can be cut.
        let log = self.log();
        let there = log.within(indexes, bytes_max);
        let view = self.shared().database.view();
        drop(log);
        replicated_log::entries(&view, there)
    }

    /// Stores what this node has voted for.
    ///
    /// # Errors
    /// When the store fails.
    pub fn put_vote(&self, vote: &[u8], durability: Durability) -> Result<(), StoreError> {
        let key = key::vote();
        let mut batch = self.shared().database.batch();
        let value = checksummed::seal(&key, vote);
        batch.insert(Space::Meta, key, value);
        self.store.write(|shared| shared.write_batch(batch, durability))
    }

    /// What this node has voted for; `None`: never yet.
    ///
    /// # Errors
    /// When the disk fails, or the vote is damaged.
    pub fn vote(&self) -> Result<Option<Bytes>, StoreError> {
        replicated_log::sealed(&self.shared().database.view(), &key::vote(), "the vote")
    }

    /// Applies commits of the log, all or none, with what says how far it is applied then. Not synced: the
    /// entries are, and are applied again.
    ///
    /// # Errors
    /// When the store fails.
    pub fn apply_logged(&self, commits: &[Commit], applied: &Bytes) -> Result<(), StoreError> {
        let durability = Durability::Written;
        self.store.write(|shared| shared.apply(commits, durability, Some(applied)))
    }

    /// How far the log is applied; `None`: not at all.
    ///
    /// # Errors
    /// When the disk fails, or the record is damaged.
    pub fn applied(&self) -> Result<Option<Bytes>, StoreError> {
        let what = "how far the replicated log is applied";
        replicated_log::sealed(&self.shared().database.view(), &key::applied(), what)
    }

    /// What the replicas have in common, as it is now; `None`: nothing is applied yet.
    ///
    /// # Errors
    /// When the disk fails, or the record of how far the log is applied is damaged.
    pub fn snapshot(&self) -> Result<Option<GroupSnapshot>, StoreError> {
        let view = self.shared().database.view();
        let what = "how far the replicated log is applied";
        let applied = replicated_log::sealed(&view, &key::applied(), what)?;
        Ok(applied.map(|applied| GroupSnapshot::new(view, applied)))
    }

    /// Begins to take a snapshot that another node sends. There is one at a time: another that was begun and
    /// not finished is lost.
    ///
    /// # Errors
    /// When its file can't be written.
    pub fn receive_snapshot(&self, applied: &Bytes) -> Result<SnapshotReceiver, StoreError> {
        SnapshotReceiver::begin(&self.shared().directory, applied)
    }

    /// Puts a snapshot in the place of everything that the replicas have in common; no commit comes between.
    /// The log and the vote stay. When the process ends meanwhile, the next start goes on with it.
    ///
    /// # Errors
    /// When the snapshot is damaged, which is found before anything is changed, or the store fails.
    pub fn install(&self, mut snapshot: ReceivedSnapshot) -> Result<(), StoreError> {
        let mut reader = snapshot.read()?;
        while reader.next_items()?.is_some() {}
        let shared = self.shared();
        let mut writer = shared.writer()?;
        let mut reader = snapshot.read()?;
        snapshot.keep();
        self.mark_unfinished(&mut writer, &reader.applied)?;
        self.clear(&mut writer)?;
        while let Some(items) = reader.next_items()? {
            let mut batch = shared.database.batch();
            for (space, key, value) in items {
                batch.insert(space, key, value);
            }
            shared.write(&mut writer, batch, 0, Durability::Written)?;
        }
        let mut batch = shared.database.batch();
        let key = key::applied();
        let value = checksummed::seal(&key, &reader.applied);
        batch.insert(Space::Meta, key, value);
        batch.remove(Space::Meta, key::unfinished_snapshot());
        shared.write(&mut writer, batch, 0, Durability::Synced)?;
        let view = shared.database.view();
        let levels = recovery::levels(&view).map_err(|error| recovery::named(error, &view))?;
        writer.has_bodies = recovery::has_bodies(&view);
        let dropped = recovery::dropped_queues(&view)?;
        // IMPORTANT: before the writer is let go. By the levels before, the reclaimer would take for dead
        // what has just been put.
        shared.levels.write().unwrap_or_else(PoisonError::into_inner).replace(levels);
        drop(writer);
        shared.database.let_go().map_err(|error| shared.stop("write a snapshot", error))?;
        self.store.remove_dropped(dropped);
        snapshot.remove();
        Ok(())
    }

    /// Brings everything written so far to stable storage.
    ///
    /// # Errors
    /// When the store fails.
    pub fn sync_log(&self) -> Result<(), StoreError> {
        self.store.sync()
    }

    /// From here on there is no state but the one that the snapshot will make.
    fn mark_unfinished(&self, writer: &mut Writer, applied: &Bytes) -> Result<(), StoreError> {
        let mut batch = self.shared().database.batch();
        let mark = key::unfinished_snapshot();
        let value = checksummed::seal(&mark, applied);
        batch.insert(Space::Meta, mark, value);
        batch.remove(Space::Meta, key::applied());
        self.shared().write(writer, batch, 0, Durability::Synced).map(drop)
    }

    /// The first half of [`Self::install`], for tests of what comes of it.
    #[cfg(test)]
    pub(crate) fn begin_install(&self, applied: &Bytes) -> Result<(), StoreError> {
        let mut writer = self.shared().writer()?;
        self.mark_unfinished(&mut writer, applied)?;
        self.clear(&mut writer)
    }

    /// Flushes all memtables, and waits for their compactions.
    #[cfg(test)]
    pub(crate) fn make_tables(&self) {
        self.store.make_tables();
    }

    /// Removes everything that the replicas have in common.
    fn clear(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let shared = self.shared();
        let failed = |error| shared.stop("remove what a snapshot replaces", error);
        for space in SPACES {
            let (mut first, last) = group_snapshot::range(space);
            if space != Space::Meta {
                // What is left of it, and what comes up again from older tables, is removed below.
                shared.database.drop_range(space, &first, &last).map_err(failed)?;
            }
            loop {
                let view = shared.database.view();
                let keys = view.keys(space, &first, &last).take(REMOVE_KEYS_MAX);
                let keys = keys.collect::<Result<Vec<_>, _>>().map_err(failed)?;
                drop(view);
                let mut batch = shared.database.batch();
                for key in &keys {
                    if space != Space::Meta || !key::is_of_replica(key) {
                        // Not weakly: the snapshot puts some of them again.
                        batch.remove(space, key.clone());
                    }
                }
                shared.write(writer, batch, 0, Durability::Written)?;
                match keys.last() {
                    // From the last one on, so as not to pass over the removed ones again.
                    Some(highest) if keys.len() == REMOVE_KEYS_MAX => first = highest.clone(),
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// Removes entries below the cut, which a crash may have left.
    fn remove_cut_entries(&self) -> Result<(), StoreError> {
        let first = self.log().indexes().start;
        let (mut from, to) = (key::log_entry(0), key::log_entry(first));
        loop {
            let view = self.shared().database.view();
            let keys = view.keys(Space::Pages, &from, &to).take(REMOVE_KEYS_MAX);
            let keys = keys.collect::<Result<Vec<_>, _>>().map_err(recovery::failed)?;
            let mut batch = self.shared().database.batch();
            for key in keys.iter().filter(|key| **key < to) {
                batch.remove(Space::Pages, key.clone());
            }
            if batch.bytes() == 0 {
                return Ok(());
            }
            self.store.write(|shared| shared.write_batch(batch, Durability::Written))?;
            from = keys.last().cloned().unwrap_or(from);
        }
    }

    /// Says which entries are needed to those who give disk space back.
    fn need_log(&self) {
        let first = self.log().indexes().start;
        let mut levels = self.shared().levels.write().unwrap_or_else(PoisonError::into_inner);
        levels.need_log_from(first);
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.store.shared
    }

    fn log(&self) -> MutexGuard<'_, LogExtent> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a shard and its readers need of it. Commits come by the log alone.
impl Store for ReplicaStore {
    fn recover(&self) -> Result<Recovered, StoreError> {
        self.store.recover()
    }

    fn apply(&self, _: &[Commit]) -> Result<(), StoreError> {
        let what = "a replica applies commits of its log only; this is a defect of the broker";
        Err(StoreError::failed("write a commit", what))
    }

    fn read(
        &self,
        queue: QueueId,
        level: Level,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<Page>, StoreError> {
        self.store.read(queue, level, from, bytes_max)
    }

    fn read_delayed(
        &self,
        queue: QueueId,
        from: DelayedId,
        bytes_max: usize,
    ) -> Result<DelayedMessages, StoreError> {
        self.store.read_delayed(queue, from, bytes_max)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }

    fn check(&self) -> Result<(), StoreError> {
        self.store.check()
    }

    fn is_stopped(&self) -> bool {
        self.store.is_stopped()
    }

    fn merge_bytes_max(&self) -> u64 {
        self.store.merge_bytes_max()
    }

    fn give_back(&self) {
        self.store.give_back();
    }

    fn statistics(&self) -> Statistics {
        self.store.statistics()
    }
}
