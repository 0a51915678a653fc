//! The store on the disk. The committer's thread calls [`Store::apply`]; readers' threads call
//! [`Store::read`]; a thread of its own reclaims what is settled, so that no commit waits for it.

use crate::changes::Changes;
use crate::damage::Damage;
use crate::damage_notes::{DamageNote, DamageNotes};
use crate::damaged_reads::look_for_noted_damage;
use crate::data_directory::DataDirectory;
use crate::database::{self, Database, Space};
use crate::error::StoreError;
use crate::fjall_failure::{self, Cause};
use crate::high_water::HighWater;
use crate::key;
use crate::lanes::Lanes;
use crate::limits::{
    GARBAGE_OCTETS_MIN, HEARTBEAT_OCTETS, JOURNALS_LOOK_OCTETS, RECLAIM_OCTETS,
    RECLAIM_TABLES_SIZE_MIN, REMOVE_KEYS_MAX,
};
use crate::opening::{self, Opened};
use crate::progress::{MessagesPut, Progress};
use crate::reclaimer::{Reclaimer, Wanted};
use crate::recovery;
use crate::retired_journals::RetiredJournals;
use crate::scrubber::{ScrubCounters, Scrubber};
use crate::shared_bodies::{self, BodyUses};
use crate::store::{Statistics, Store};
use crate::store_memory::StoreMemory;
use forebay_engine::ids::{BodyId, Lane, Offset, QueueId};
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
    /// The same.
    journals: RetiredJournals,
    /// The same.
    scrubber: OnceLock<Scrubber>,
}

/// What the threads of a store share.
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) lanes: RwLock<Lanes>,
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
    /// Octets written since the last heartbeat.
    octets: u64,
}

#[derive(Debug, Default)]
struct Counters {
    applied: AtomicU64,
    synced: AtomicU64,
    octets_written: AtomicU64,
    octets_settled: AtomicU64,
    pages_read: AtomicU64,
}

impl FjallStore {
    /// Moves what is in memory to tables.
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

    /// Does so within bounds for its memory.
    ///
    /// # Errors
    /// As [`FjallStore::open`].
    pub fn open_with(path: impl AsRef<Path>, memory: StoreMemory) -> Result<Self, StoreError> {
        let directory = DataDirectory::open(path.as_ref())?;
        fjall_failure::listen();
        let Opened { database, high_water, progress } = opening::open(&directory, memory)?;
        let view = database.view();
        let mut lanes = recovery::lanes(&view).map_err(|error| recovery::named(error, &view))?;
        if shared_bodies::last(&view).map_err(recovery::failed)? > BodyId(0) {
            lanes.note_shared_bodies();
        }
        let dropped = recovery::dropped_queues(&view)?;
        let (damage_notes, damaged) = look_for_noted_damage(&directory, &view, &lanes)?;
        directory
            .renew_format()
            .map_err(|source| StoreError::Unwritable { directory: path.as_ref().into(), source })?;
        let (first, _) = key::queue_range(QueueId(0));
        let (_, last) = key::queue_range(QueueId(u64::MAX));
        let has_bodies = view.keys(Space::Bodies, &first, &last).next().is_some();
        drop(view);
        let shared = Arc::new(Shared {
            database,
            lanes: RwLock::new(lanes),
            writer: Mutex::new(Writer { progress, high_water, has_bodies, octets: 0 }),
            is_stopped: AtomicBool::new(false),
            stop_reason: Mutex::default(),
            damage_notes: Mutex::new(damage_notes),
            damaged,
            counters: Counters::default(),
            scrubbed: ScrubCounters::default(),
            directory,
        });
        let wanted = Wanted { queues: dropped, ..Wanted::default() };
        let journals = RetiredJournals::start(&shared.directory.database())
            .map_err(|error| StoreError::failed("start a thread", error))?;
        let reclaimer = Reclaimer::start(Arc::clone(&shared), journals.looks(), wanted)
            .map_err(|error| StoreError::failed("start a thread", error))?;
        Ok(Self { shared, reclaimer, journals, scrubber: OnceLock::new() })
    }

    /// Has everything that is stored read again, over and over, so many octets a second: damage is
    /// named in the log and counted. Once is enough.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub fn scrub(&self, octets_per_second: u64) -> Result<(), StoreError> {
        let scrubber = Scrubber::start(Arc::clone(&self.shared), octets_per_second)
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
            || self.shared.counters.octets_written.load(Ordering::Relaxed) / JOURNALS_LOOK_OCTETS;
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
        lane: Lane,
        from: Offset,
        octets_max: usize,
    ) -> Result<Vec<Page>, StoreError> {
        let Some(pages) = self.shared.read(queue, lane, from, octets_max)? else {
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

    fn merge_octets_max(&self) -> u64 {
        self.shared.database.merge_octets_max()
    }

    fn give_back(&self) {
        let wanted = Wanted { give_back_above: Some(GARBAGE_OCTETS_MIN), ..Wanted::default() };
        self.reclaimer.want(wanted);
    }

    fn statistics(&self) -> Statistics {
        let Shared { counters, database, scrubbed, .. } = &*self.shared;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            applied: load(&counters.applied),
            synced: load(&counters.synced),
            octets_written: load(&counters.octets_written),
            pages_read: load(&counters.pages_read),
            disk_octets: database.disk_octets().unwrap_or(0),
            journal_octets: database.journal_octets().unwrap_or(0),
            queues_to_remove: self.reclaimer.queues_to_remove(),
            scrub_rounds: load(&scrubbed.rounds),
            scrub_octets: load(&scrubbed.octets),
            files_damaged: load(&scrubbed.files_damaged),
        }
    }
}

impl Shared {
    fn apply(&self, commits: &[Commit], durability: Durability) -> Result<Wanted, StoreError> {
        let mut writer = self.writer()?;
        let mut changes =
            Changes::gather(commits, &self.lanes.read().unwrap_or_else(PoisonError::into_inner));
        let lanes = std::mem::take(&mut changes.lanes);
        let dropped = std::mem::take(&mut changes.dropped);

        let applied = writer.progress.applied + 1;
        let messages = changes.messages();
        let shares_bodies = changes.shares_bodies();
        let has_bodies = writer.has_bodies || shares_bodies;
        if shares_bodies {
            // Before any of them is on the disk.
            self.lanes.write().unwrap_or_else(PoisonError::into_inner).note_shared_bodies();
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
        let octets = batch.octets();
        batch.commit(durability).map_err(|error| self.stop("write a commit", error))?;

        writer.progress.applied = applied;
        writer.progress.put = put;
        if durability == Durability::Synced {
            self.synced(&mut writer)?;
        }
        self.counters.applied.fetch_add(1, Ordering::Relaxed);
        self.counters.octets_written.fetch_add(octets, Ordering::Relaxed);
        writer.octets += octets;
        let is_heartbeat_due = writer.octets >= HEARTBEAT_OCTETS;
        if is_heartbeat_due {
            writer.octets = 0;
        }

        let mut wanted = Wanted { queues: dropped, is_heartbeat_due, ..Wanted::default() };
        let mut known = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        for queue in &wanted.queues {
            known.remove_queue(*queue);
        }
        let settled = lanes
            .into_iter()
            .map(|((queue, lane), change)| known.change(queue, lane, change))
            .sum::<u64>();
        let before = self.counters.octets_settled.fetch_add(settled, Ordering::Relaxed);
        wanted.is_reclaim_due = before / RECLAIM_OCTETS != (before + settled) / RECLAIM_OCTETS
            && self.database.table_octets() >= RECLAIM_TABLES_SIZE_MIN;
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
        let has_any = batch.octets() > 0;
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
    /// storage, and the lanes stay as they are.
    pub(crate) fn while_nothing_is_written<T>(
        &self,
        action: impl FnOnce(&Lanes) -> Result<T, database::Error>,
    ) -> Result<T, database::Error> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_stopped.load(Ordering::Acquire) {
            return Err(database::Error::Poisoned);
        }
        self.database.sync()?;
        action(&self.lanes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Octets written since the store was opened.
    pub(crate) fn octets_written(&self) -> u64 {
        self.counters.octets_written.load(Ordering::Relaxed)
    }

    /// Octets settled since the store was opened.
    pub(crate) fn octets_settled(&self) -> u64 {
        self.counters.octets_settled.load(Ordering::Relaxed)
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
