//! The store on the disk. The committer's thread calls [`Store::apply`]; readers' threads call
//! [`Store::read`]; a thread of its own reclaims what is settled, so that no commit waits for it.

use crate::check::scrubber::{ScrubCounters, Scrubber};
use crate::damage::Damage;
use crate::damage_notes::{DamageNote, DamageNotes};
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::fjall::changes::Changes;
use crate::fjall::damaged_reads::look_for_noted_damage;
use crate::fjall::database::{self, Database, Space};
use crate::fjall::fjall_failure::{self, Cause};
use crate::fjall::journal_unlinker::JournalUnlinker;
use crate::fjall::levels::Levels;
use crate::fjall::opening::{self, Opened};
use crate::fjall::recovery;
use crate::fjall::shared_bodies::{self, BodyUses};
use crate::format::high_water::HighWater;
use crate::format::key;
use crate::format::progress::{MessagesPut, Progress};
use crate::limits::{
    GARBAGE_BYTES_MIN, HEARTBEAT_BYTES, JOURNALS_LOOK_BYTES, RECLAIM_BYTES,
    RECLAIM_TABLES_SIZE_MIN, REMOVE_KEYS_MAX,
};
use crate::reclaim::reclaimer::{ReclaimRequests, Reclaimer};
use crate::store::{Statistics, Store};
use crate::store_memory::StoreMemory;
use forebay_engine::model::{BodyId, Level, Offset, QueueId};
use forebay_engine::operation::{Commit, DamagedQueue, Durability, Recovered};
use forebay_engine::page::Page;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// A store in a data directory, which it keeps locked.
#[derive(Debug)]
pub struct FjallStore {
    shared: Arc<Shared>,
    /// Joined when the store is dropped, and before those that it uses.
    reclaimer: Reclaimer,
    /// Joined when the store is dropped.
    journals: JournalUnlinker,
    /// Joined when the store is dropped; empty until [`FjallStore::scrub`].
    scrubber: OnceLock<Scrubber>,
}

/// What the threads of a store share.
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) levels: RwLock<Levels>,
    writer: Mutex<Writer>,
    /// A write failed: what is on the disk is unknown until a restart.
    is_stopped: AtomicBool,
    /// Why, once that is known.
    stop_reason: Mutex<Option<StopReason>>,
    /// Damage that was met.
    pub(crate) damage_notes: Mutex<DamageNotes>,
    /// Queues of which the last process met damage that is still there.
    damaged: Vec<DamagedQueue>,
    counters: Counters,
    pub(crate) scrubbed: ScrubCounters,
    directory: DataDirectory,
}

/// Why the store takes no more writes; everybody is told the first reason.
#[derive(Clone, Debug)]
enum StopReason {
    Damaged(Box<Damage>),
    Failed { action: &'static str, what: String },
}

#[derive(Debug)]
struct Writer {
    progress: Progress,
    high_water: HighWater,
    /// Whether there may be bodies that are values of their own.
    has_bodies: bool,
    /// Bytes written since the last heartbeat.
    bytes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    applied: AtomicU64,
    synced: AtomicU64,
    bytes_written: AtomicU64,
    bytes_settled: AtomicU64,
    pages_read: AtomicU64,
}

impl FjallStore {
    /// Flushes all memtables, and waits for their compactions.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn make_tables(&self) {
        self.shared.database.make_tables();
    }

    /// Opens the store in a data directory, or makes a new one there.
    ///
    /// # Errors
    /// When the directory is locked, not writable, of a newer format or something else than a data
    /// directory; when what it holds is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, StoreMemory::default())
    }

    /// Opens the store in a data directory with bounds for its memory, or makes a new one there.
    ///
    /// # Errors
    /// As [`FjallStore::open`].
    pub fn open_with(path: impl AsRef<Path>, memory: StoreMemory) -> Result<Self, StoreError> {
        let directory = DataDirectory::open(path.as_ref())?;
        fjall_failure::listen();
        let Opened { database, high_water, progress } = opening::open(&directory, memory)?;
        let view = database.view();
        let mut levels = recovery::levels(&view).map_err(|error| recovery::named(error, &view))?;
        if shared_bodies::last(&view).map_err(recovery::failed)? > BodyId(0) {
            levels.note_shared_bodies();
        }
        let dropped = recovery::dropped_queues(&view)?;
        let (damage_notes, damaged) = look_for_noted_damage(&directory, &view, &levels)?;
        directory
            .renew_format()
            .map_err(|source| StoreError::Unwritable { directory: path.as_ref().into(), source })?;
        let (first, _) = key::queue_range(QueueId(0));
        let (_, last) = key::queue_range(QueueId(u64::MAX));
        let has_bodies = view.keys(Space::Bodies, &first, &last).next().is_some();
        drop(view);
        let shared = Arc::new(Shared {
            database,
            levels: RwLock::new(levels),
            writer: Mutex::new(Writer { progress, high_water, has_bodies, bytes: 0 }),
            is_stopped: AtomicBool::new(false),
            stop_reason: Mutex::default(),
            damage_notes: Mutex::new(damage_notes),
            damaged,
            counters: Counters::default(),
            scrubbed: ScrubCounters::default(),
            directory,
        });
        let wanted = ReclaimRequests { queues: dropped, ..ReclaimRequests::default() };
        let journals = JournalUnlinker::start(&shared.directory.database())
            .map_err(|error| StoreError::failed("start a thread", error))?;
        let reclaimer = Reclaimer::start(Arc::clone(&shared), journals.looks(), wanted)
            .map_err(|error| StoreError::failed("start a thread", error))?;
        Ok(Self { shared, reclaimer, journals, scrubber: OnceLock::new() })
    }

    /// Has everything that is stored read again, over and over, so many bytes a second: damage is
    /// named in the log and counted. Once is enough.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub fn scrub(&self, bytes_per_second: u64) -> Result<(), StoreError> {
        let scrubber = Scrubber::start(Arc::clone(&self.shared), bytes_per_second)
            .map_err(|error| StoreError::failed("start a thread", error))?;
        // A second one is dropped, which ends it.
        drop(self.scrubber.set(scrubber));
        Ok(())
    }
}

impl Store for FjallStore {
    fn recover(&self) -> Result<Recovered, StoreError> {
        let view = self.shared.database.view();
        let recovered = recovery::recover(&view).map_err(|error| recovery::named(error, &view));
        recovered.map(|mut recovered| {
            recovered.damaged.extend_from_slice(&self.shared.damaged);
            recovered
        })
    }

    fn apply(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let durability = commits.iter().map(|commit| commit.durability).max();
        let Some(durability) = durability else { return Ok(()) };
        let looks =
            || self.shared.counters.bytes_written.load(Ordering::Relaxed) / JOURNALS_LOOK_BYTES;
        let before = looks();
        let wanted = self.shared.apply(commits, durability)?;
        if looks() != before {
            self.journals.look();
        }
        self.reclaimer.want(wanted);
        Ok(())
    }

    fn read(
        &self,
        queue: QueueId,
        level: Level,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<Page>, StoreError> {
        let Some(pages) = self.shared.read(queue, level, from, bytes_max)? else {
            return Ok(Vec::new());
        };
        self.shared.counters.pages_read.fetch_add(pages.len() as u64, Ordering::Relaxed);
        Ok(pages)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.shared.sync()
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.is_stopped() {
            return Err(self.shared.stopped());
        }
        self.shared.database.check().map_err(|error| self.shared.stop("write to its files", error))
    }

    fn is_stopped(&self) -> bool {
        self.shared.is_stopped.load(Ordering::Acquire)
    }

    fn merge_bytes_max(&self) -> u64 {
        self.shared.database.merge_bytes_max()
    }

    fn give_back(&self) {
        let wanted = ReclaimRequests {
            give_back_above: Some(GARBAGE_BYTES_MIN),
            ..ReclaimRequests::default()
        };
        self.reclaimer.want(wanted);
    }

    fn statistics(&self) -> Statistics {
        let Shared { counters, database, scrubbed, .. } = &*self.shared;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            applied: load(&counters.applied),
            synced: load(&counters.synced),
            bytes_written: load(&counters.bytes_written),
            pages_read: load(&counters.pages_read),
            disk_bytes: database.disk_bytes().unwrap_or(0),
            journal_bytes: database.journal_bytes().unwrap_or(0),
            queues_to_remove: self.reclaimer.queues_to_remove(),
            scrub_rounds: load(&scrubbed.rounds),
            scrub_bytes: load(&scrubbed.bytes),
            files_damaged: load(&scrubbed.files_damaged),
        }
    }
}

impl Shared {
    fn apply(
        &self,
        commits: &[Commit],
        durability: Durability,
    ) -> Result<ReclaimRequests, StoreError> {
        let mut writer = self.writer()?;
        let mut changes =
            Changes::gather(commits, &self.levels.read().unwrap_or_else(PoisonError::into_inner));
        let levels = std::mem::take(&mut changes.levels);
        let dropped = std::mem::take(&mut changes.dropped);

        let applied = writer.progress.applied + 1;
        let messages = changes.messages();
        let shares_bodies = changes.shares_bodies();
        let has_bodies = writer.has_bodies || shares_bodies;
        if shares_bodies {
            // Before any of them is on the disk.
            self.levels.write().unwrap_or_else(PoisonError::into_inner).note_shared_bodies();
        }
        let bodies = has_bodies.then(|| self.database.view());
        let mut batch = self.database.batch();
        writer.has_bodies |= changes
            .write(&mut batch, bodies.as_ref())
            .map_err(|error| self.stop("read its data", error))?;
        // The first batch after one of an earlier version begins to count.
        let before = writer.progress.put.map_or(0, MessagesPut::after);
        let put = Some(MessagesPut { before, count: messages });
        let progress = Progress { applied, synced: writer.progress.synced, put };
        batch.insert(Space::Meta, key::progress(), progress.encode(&key::progress()));
        let bytes = batch.bytes();
        batch.commit(durability).map_err(|error| self.stop("write a commit", error))?;

        writer.progress.applied = applied;
        writer.progress.put = put;
        if durability == Durability::Synced {
            self.synced(&mut writer)?;
        }
        self.counters.applied.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes_written.fetch_add(bytes, Ordering::Relaxed);
        writer.bytes += bytes;
        let is_heartbeat_due = writer.bytes >= HEARTBEAT_BYTES;
        if is_heartbeat_due {
            writer.bytes = 0;
        }

        let mut wanted =
            ReclaimRequests { queues: dropped, is_heartbeat_due, ..ReclaimRequests::default() };
        let mut known = self.levels.write().unwrap_or_else(PoisonError::into_inner);
        for queue in &wanted.queues {
            known.remove_queue(*queue);
        }
        let settled = levels
            .into_iter()
            .map(|((queue, level), change)| known.change(queue, level, change))
            .sum::<u64>();
        let before = self.counters.bytes_settled.fetch_add(settled, Ordering::Relaxed);
        wanted.is_reclaim_due = before / RECLAIM_BYTES != (before + settled) / RECLAIM_BYTES
            && self.database.table_bytes() >= RECLAIM_TABLES_SIZE_MIN;
        Ok(wanted)
    }

    /// Removes some of the references to shared bodies in a range of keys, with the bodies that nothing
    /// refers to any more. Tells whether there were any. No commit runs meanwhile: both change counts.
    pub(crate) fn release_bodies(
        &self,
        first: &[u8],
        last: &[u8],
    ) -> Result<bool, database::Error> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.database.view();
        let mut batch = self.database.batch();
        let mut uses = BodyUses::default();
        for item in view.range(Space::Meta, first, last).take(REMOVE_KEYS_MAX) {
            let (key, value) = item?;
            uses.remove(&mut batch, key, &value);
        }
        let has_any = batch.bytes() > 0;
        uses.write(&mut batch, &view)?;
        batch.commit(Durability::Written)?;
        Ok(has_any)
    }

    /// Brings everything applied so far to stable storage.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        self.database.sync().map_err(|error| self.stop("sync", error))?;
        self.synced(&mut writer)
    }

    /// Notes that everything applied so far is on stable storage.
    fn synced(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let applied = writer.progress.applied;
        writer.progress.synced = applied;
        let messages = writer.progress.put.map_or(0, MessagesPut::after);
        writer
            .high_water
            .raise(applied, messages)
            .map_err(|error| self.stop("write its high-water mark", error.into()))?;
        self.counters.synced.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Does something while no commit can come between: what is settled until now is on stable
    /// storage, and the levels stay as they are.
    pub(crate) fn while_nothing_is_written<T>(
        &self,
        action: impl FnOnce(&Levels) -> Result<T, database::Error>,
    ) -> Result<T, database::Error> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_stopped.load(Ordering::Acquire) {
            return Err(database::Error::Poisoned);
        }
        self.database.sync()?;
        action(&self.levels.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes written since the store was opened.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.counters.bytes_written.load(Ordering::Relaxed)
    }

    /// Bytes settled since the store was opened.
    pub(crate) fn bytes_settled(&self) -> u64 {
        self.counters.bytes_settled.load(Ordering::Relaxed)
    }

    pub(crate) fn database_path(&self) -> PathBuf {
        self.directory.database()
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_stopped.load(Ordering::Acquire) { Err(self.stopped()) } else { Ok(writer) }
    }

    /// Refuses all further writes. Tells the first reason, whoever met it.
    pub(crate) fn stop(&self, action: &'static str, error: database::Error) -> StoreError {
        self.is_stopped.store(true, Ordering::Release);
        let mut reason = self.stop_reason.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = reason.is_none();
        if is_first {
            *reason = Some(self.reason(action, &error));
        }
        drop(reason);
        let error = self.stopped();
        if let StoreError::Damaged(damage) = &error
            && let Some(file) = damage.file.clone().filter(|_| is_first)
        {
            self.note_damage(DamageNote::File(file), &error);
        }
        error
    }

    fn stopped(&self) -> StoreError {
        let reason = self.stop_reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reason.map_or(StoreError::Stopped, StopReason::into_error)
    }

    /// The one place where an error of fjall's becomes an error of the store: damage is named with its
    /// file and keyspace, whoever met it.
    fn reason(&self, action: &'static str, error: &database::Error) -> StopReason {
        match fjall_failure::cause(&self.directory.database(), error) {
            // A thread of fjall's ended, not what was being done here.
            Cause::Told(what) if matches!(error, database::Error::Poisoned) => {
                StopReason::Failed { action: "write its tables", what }
            }
            Cause::Told(what) => StopReason::Failed { action, what },
            Cause::Damaged(damage) => StopReason::Damaged(Box::new(damage)),
        }
    }

    /// What is damaged, when an error says that something is; the store goes on.
    pub(crate) fn damage_behind(&self, error: &database::Error) -> Option<StoreError> {
        let is_damage = database::is_damage(error);
        is_damage.then(|| self.reason("read its data", error).into_error())
    }
}

impl StopReason {
    fn into_error(self) -> StoreError {
        match self {
            Self::Damaged(damage) => StoreError::Damaged(damage),
            Self::Failed { action, what } => StoreError::failed(action, what),
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("directory", &self.directory).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod damages;

#[cfg(test)]
mod flips;

#[cfg(test)]
mod drained;

#[cfg(test)]
mod damage_met;
