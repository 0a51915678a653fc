//! What the threads of a store share: the database, which messages are settled, and whether a write has
//! failed.

use crate::check::scrub_counters::ScrubCounters;
use crate::damage::Damage;
use crate::damage_notes::{DamageNote, DamageNotes};
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::fjall::changes::Changes;
use crate::fjall::database::{Database, Space};
use crate::fjall::fjall_failure::Cause;
use crate::fjall::levels::Levels;
use crate::fjall::shared_bodies::BodyUses;
use crate::fjall::write_batch::WriteBatch;
use crate::fjall::{database, fjall_failure};
use crate::format::checksummed;
use crate::format::high_water::HighWater;
use crate::format::key;
use crate::format::progress::{MessagesPut, Progress};
use crate::limits::{HEARTBEAT_BYTES, RECLAIM_BYTES, RECLAIM_TABLES_SIZE_MIN, REMOVE_KEYS_MAX};
use crate::reclaim::reclaim_queue::ReclaimRequests;
use bytes::Bytes;
use forebay_engine::operation::{Commit, DamagedQueue, Durability};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// What the threads of a store share.
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) levels: RwLock<Levels>,
    pub(super) writer: Mutex<Writer>,
    /// A write failed: what is on the disk is unknown until a restart.
    pub(super) is_stopped: AtomicBool,
    /// Why, once that is known.
    stop_reason: Mutex<Option<StopReason>>,
    /// Damage that was met.
    pub(crate) damage_notes: Mutex<DamageNotes>,
    /// Queues of which the last process met damage that is still there.
    pub(super) damaged: Vec<DamagedQueue>,
    pub(super) counters: Counters,
    pub(crate) scrubbed: ScrubCounters,
    pub(crate) directory: DataDirectory,
}

/// Why the store takes no more writes; everybody is told the first reason.
#[derive(Clone, Debug)]
enum StopReason {
    Damaged(Box<Damage>),
    Failed { action: &'static str, what: String },
}

#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) progress: Progress,
    pub(super) high_water: HighWater,
    /// Whether there may be bodies that are values of their own.
    pub(crate) has_bodies: bool,
    /// Bytes written since the last heartbeat.
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) applied: AtomicU64,
    pub(super) synced: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    pub(super) bytes_settled: AtomicU64,
    pub(super) pages_read: AtomicU64,
}

impl Shared {
    /// Nothing has failed, and nothing is counted yet.
    pub(super) fn new(
        directory: DataDirectory,
        database: Database,
        writer: Writer,
        levels: Levels,
        (damage_notes, damaged): (DamageNotes, Vec<DamagedQueue>),
    ) -> Self {
        Self {
            database,
            levels: RwLock::new(levels),
            writer: Mutex::new(writer),
            is_stopped: AtomicBool::new(false),
            stop_reason: Mutex::default(),
            damage_notes: Mutex::new(damage_notes),
            damaged,
            counters: Counters::default(),
            scrubbed: ScrubCounters::default(),
            directory,
        }
    }

    /// Applies commits. `applied`: what a replicated log says of how far it has come with them, written in
    /// the same batch.
    pub(crate) fn apply(
        &self,
        commits: &[Commit],
        durability: Durability,
        applied: Option<&Bytes>,
    ) -> Result<ReclaimRequests, StoreError> {
        let mut writer = self.writer()?;
        let mut changes =
            Changes::gather(commits, &self.levels.read().unwrap_or_else(PoisonError::into_inner));
        let levels = std::mem::take(&mut changes.levels);
        let dropped = std::mem::take(&mut changes.dropped);

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
        if let Some(applied) = applied {
            let key = key::applied();
            let value = checksummed::seal(&key, applied);
            batch.insert(Space::Meta, key, value);
        }
        let mut wanted = self.write(&mut writer, batch, messages, durability)?;
        self.counters.applied.fetch_add(1, Ordering::Relaxed);

        wanted.queues = dropped;
        let mut known = self.levels.write().unwrap_or_else(PoisonError::into_inner);
        for queue in &wanted.queues {
            known.remove_queue(*queue);
        }
        let settled = levels
            .into_iter()
            .map(|((queue, level), change)| known.change(queue, level, change))
            .sum::<u64>();
        wanted.is_reclaim_due = self.note_settled(settled);
        Ok(wanted)
    }

    /// Writes a batch that is no commit: one of the replicated log.
    pub(crate) fn write_batch(
        &self,
        batch: WriteBatch<'_>,
        durability: Durability,
    ) -> Result<ReclaimRequests, StoreError> {
        let mut writer = self.writer()?;
        self.write(&mut writer, batch, 0, durability)
    }

    /// Writes a batch under the next number. `messages`: so many are put into pages by it.
    pub(crate) fn write(
        &self,
        writer: &mut Writer,
        mut batch: WriteBatch<'_>,
        messages: u64,
        durability: Durability,
    ) -> Result<ReclaimRequests, StoreError> {
        let applied = writer.progress.applied + 1;
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
            self.synced(writer)?;
        }
        self.counters.bytes_written.fetch_add(bytes, Ordering::Relaxed);
        writer.bytes += bytes;
        let is_heartbeat_due = writer.bytes >= HEARTBEAT_BYTES;
        if is_heartbeat_due {
            writer.bytes = 0;
        }
        Ok(ReclaimRequests { is_heartbeat_due, ..ReclaimRequests::default() })
    }

    /// Counts bytes that are not needed any more. Tells whether so many are that it is worth to look which
    /// tables can go.
    pub(crate) fn note_settled(&self, bytes: u64) -> bool {
        let before = self.counters.bytes_settled.fetch_add(bytes, Ordering::Relaxed);
        before / RECLAIM_BYTES != (before + bytes) / RECLAIM_BYTES
            && self.database.table_bytes() >= RECLAIM_TABLES_SIZE_MIN
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

    pub(crate) fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
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

    pub(super) fn stopped(&self) -> StoreError {
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
