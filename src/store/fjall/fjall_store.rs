//! The store on the disk. The committer's thread calls [`Store::apply`]; readers' threads call
//! [`Store::read`]; a thread of its own reclaims what is settled, so that no commit waits for it.

use crate::check::scrubber::Scrubber;
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::fjall::damaged_reads::look_for_noted_damage;
use crate::fjall::journal_unlinker::JournalUnlinker;
use crate::fjall::opening::Opened;
use crate::fjall::shared::{Shared, Writer};
use crate::fjall::{fjall_failure, opening, recovery};
use crate::limits::{GARBAGE_BYTES_MIN, JOURNALS_CHECK_BYTES};
use crate::reclaim::reclaim_queue::ReclaimRequests;
use crate::reclaim::reclaimer::Reclaimer;
use crate::store::{DelayedMessages, Statistics, Store};
use crate::store_memory::StoreMemory;
use forebay_engine::model::{DelayedId, Level, Offset, QueueId};
use forebay_engine::operation::{Commit, Recovered};
use forebay_engine::page::Page;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A store in a data directory, which it keeps locked.
#[derive(Debug)]
pub struct FjallStore {
    pub(crate) shared: Arc<Shared>,
    /// Joined when the store is dropped, and before those that it uses.
    reclaimer: Reclaimer,
    /// Joined when the store is dropped.
    journals: JournalUnlinker,
    /// Joined when the store is dropped; empty until [`FjallStore::scrub`].
    scrubber: OnceLock<Scrubber>,
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
        Self::open_directory(DataDirectory::open(path.as_ref())?, memory)
    }

    /// Opens the store in a directory that this process has.
    pub(crate) fn open_directory(
        directory: DataDirectory,
        memory: StoreMemory,
    ) -> Result<Self, StoreError> {
        fjall_failure::listen();
        let Opened { database, high_water, progress } = opening::open(&directory, memory)?;
        let view = database.view();
        let levels = recovery::levels(&view).map_err(|error| recovery::named(error, &view))?;
        let dropped = recovery::dropped_queues(&view)?;
        let (damage_notes, damaged) = look_for_noted_damage(&directory, &view, &levels)?;
        directory.renew_format().map_err(|source| StoreError::Unwritable {
            directory: directory.path().into(),
            source,
        })?;
        let has_bodies = recovery::has_bodies(&view);
        drop(view);
        let writer = Writer { progress, high_water, has_bodies, bytes: 0 };
        let shared = Shared::new(directory, database, writer, levels, (damage_notes, damaged));
        let shared = Arc::new(shared);
        let wanted = ReclaimRequests { queues: dropped, ..ReclaimRequests::default() };
        let journals = JournalUnlinker::start(&shared.directory.database())
            .map_err(|error| StoreError::failed("start a thread", error))?;
        let reclaimer = Reclaimer::start(Arc::clone(&shared), journals.requests(), wanted)
            .map_err(|error| StoreError::failed("start a thread", error))?;
        Ok(Self { shared, reclaimer, journals, scrubber: OnceLock::new() })
    }

    /// Has the queues removed that were dropped before what the store holds was put in place.
    pub(crate) fn remove_dropped(&self, queues: BTreeSet<QueueId>) {
        self.reclaimer.want(ReclaimRequests { queues, ..ReclaimRequests::default() });
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

    /// Writes something, and has those see to the disk's space who do.
    pub(crate) fn write(
        &self,
        write: impl FnOnce(&Shared) -> Result<ReclaimRequests, StoreError>,
    ) -> Result<(), StoreError> {
        let checks_due = || self.shared.bytes_written() / JOURNALS_CHECK_BYTES;
        let before = checks_due();
        let wanted = write(&self.shared)?;
        if checks_due() != before {
            self.journals.check();
        }
        self.reclaimer.want(wanted);
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
        self.write(|shared| shared.apply(commits, durability, None))
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

    fn read_delayed(
        &self,
        queue: QueueId,
        from: DelayedId,
        bytes_max: usize,
    ) -> Result<DelayedMessages, StoreError> {
        self.shared.read_delayed(queue, from, bytes_max)
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

#[cfg(test)]
mod tests;

#[cfg(test)]
mod damages;

#[cfg(test)]
mod delayed;

#[cfg(test)]
mod flips;

#[cfg(test)]
mod drained;

#[cfg(test)]
mod damage_met;

#[cfg(test)]
mod followed;
