//! Gives disk space back, on a thread of its own, in steps so small that commits don't wait.
//!
//! Four things: tables of which nothing is needed ([`crate::reclaim::dead_tables`]); tables of which little is
//! ([`crate::reclaim::garbage`]); everything of a dropped queue; and old journals, which a keyspace without
//! heartbeats would pin. It does so whenever much was settled, and once a store has little to do, so
//! that one which was drained soon takes next to nothing. A crash at any point is harmless: liveness
//! comes from the settled state only, and a dropped queue keeps its mark until the last key is gone.

use crate::check::journal_check;
use crate::fjall::database::{self, Error, Space};
use crate::fjall::journal_change;
use crate::fjall::journal_unlinker::JournalCheckRequests;
use crate::fjall::shared::Shared;
use crate::fjall::view::View;
use crate::format::key;
use crate::limits::{
    BUSY_GARBAGE_BYTES_MIN, BUSY_LOOKS_MAX, FLUSH_INTERVAL, GARBAGE_BYTES_MIN, IDLE_BYTES_MAX,
    IDLE_WRITTEN_BYTES_MAX, REMOVE_BYTES_MAX, REMOVE_KEYS_MAX,
};
use crate::reclaim::dead_tables;
use crate::reclaim::garbage;
use crate::reclaim::reclaim_queue::{ReclaimQueue, ReclaimRequests, ReclaimState, Task};
use bytes::Bytes;
use forebay_engine::model::QueueId;
use forebay_engine::operation::Durability;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};

/// The keyspaces that hold messages.
const MESSAGE_SPACES: [Space; 2] = [Space::Pages, Space::Bodies];

/// Bytes of a block, as the system counts what a file takes.
const BLOCK_SIZE: u64 = 512;

/// The reclaimer's handle: dropping it ends the thread after the step it is at.
#[derive(Debug)]
pub(crate) struct Reclaimer {
    tasks: Arc<ReclaimQueue>,
    thread: Option<JoinHandle<()>>,
}

impl Reclaimer {
    pub(crate) fn start(
        shared: Arc<Shared>,
        journals: JournalCheckRequests,
        wanted: ReclaimRequests,
    ) -> io::Result<Self> {
        let state = ReclaimState { wanted, ..ReclaimState::default() };
        let tasks = Arc::new(ReclaimQueue { state: Mutex::new(state), changed: Condvar::new() });
        let worker = Worker { shared, journals, tasks: Arc::clone(&tasks), seen: Seen::default() };
        let thread =
            Builder::new().name("forebay-reclaimer".to_owned()).spawn(move || worker.run())?;
        Ok(Self { tasks, thread: Some(thread) })
    }

    pub(crate) fn want(&self, wanted: ReclaimRequests) {
        if wanted.is_empty() {
            return;
        }
        let mut state = self.tasks.lock();
        state.wanted.is_reclaim_due |= wanted.is_reclaim_due;
        state.wanted.give_back_above = wanted.give_back_above.or(state.wanted.give_back_above);
        state.wanted.queues.extend(wanted.queues);
        state.wanted.is_heartbeat_due |= wanted.is_heartbeat_due;
        drop(state);
        self.tasks.changed.notify_one();
    }

    /// Whether nothing waits for it, but what is set aside.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.lock().wanted.is_empty()
    }

    pub(crate) fn queues_to_remove(&self) -> u64 {
        let state = self.tasks.lock();
        (state.wanted.queues.len() + state.set_aside.len()) as u64
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        self.tasks.lock().is_ending = true;
        self.tasks.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // Had it panicked, the panic hook has told.
            let _ = thread.join();
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    journals: JournalCheckRequests,
    tasks: Arc<ReclaimQueue>,
    seen: Seen,
}

/// What was there when the store was last looked at.
#[derive(Debug, Default)]
struct Seen {
    bytes_written: u64,
    /// Looks since it was looked through.
    busy_looks: u32,
    /// When it was last looked through: the bytes settled until then, and those left on the disk.
    looked_through: Option<(u64, u64)>,
    /// Bytes of the tables of pages, and of bodies, that were not needed and could not be given back.
    stuck: [u64; 2],
    /// The bound for garbage of a pass that fjall was too busy for.
    unfinished: Option<u64>,
    /// The damage that was met last, as fjall says it.
    damage: Option<String>,
}

impl Worker {
    fn run(mut self) {
        loop {
            let task = self.tasks.next();
            let removed = if let Task::Queue(queue) = task { Some(queue) } else { None };
            let done = match task {
                Task::End => return,
                Task::Heartbeat => self.shared.database.rotate(),
                Task::Reclaim => self.unlink_dead_tables().map(drop),
                Task::GiveBack { garbage_min } => self.give_back_once(garbage_min),
                Task::Queue(queue) => self.remove_queue(queue),
                Task::LookAround => self.look_around(),
            };
            let Err(error) = done else { continue };
            if !database::is_damage(&error) {
                let error = self.shared.stop("reclaim disk space", error);
                tracing::error!(%error, "the store stops");
                return;
            }
            self.set_aside(removed, &error);
        }
    }

    /// Goes on after damage was met. Space stays taken, and no message needs it: whoever reads what is
    /// damaged is told, and so is the scrub. It is tried again when more was settled; a dropped queue
    /// is removed after the next start.
    fn set_aside(&mut self, queue: Option<QueueId>, error: &Error) {
        if let Some(queue) = queue {
            self.tasks.lock().set_aside(queue);
        }
        let text = error.to_string();
        // Looking for the file reads all tables.
        if self.seen.damage.as_ref() != Some(&text) {
            if let Some(damage) = self.shared.damage_behind(error) {
                tracing::error!(
                    "{damage}. Disk space that is not needed any more stays taken there, and the broker \
                     goes on; see `forebay verify` and `forebay repair`"
                );
            }
            self.seen.damage = Some(text);
        }
        self.seen.looked_through = Some((self.shared.bytes_settled(), self.bytes_taken()));
    }

    /// Unlinks the tables of which nothing is needed. Says whether it came to the end.
    fn unlink_dead_tables(&self) -> Result<bool, Error> {
        if !self.flush()? {
            return Ok(false);
        }
        if dead_tables::unlink(&self.shared, &|| self.tasks.is_ending())? {
            self.shared.database.let_go()?;
        }
        Ok(!self.tasks.is_ending())
    }

    /// Moves what is in memory to tables; otherwise it would become a table later, and stay. Says
    /// whether it came to the end.
    fn flush(&self) -> Result<bool, Error> {
        let database = &self.shared.database;
        database.rotate()?;
        while !database.is_flushed() {
            if self.tasks.is_ending() {
                return Ok(false);
            }
            // Fails when fjall's worker has: it would not flush any more.
            database.check()?;
            std::thread::sleep(FLUSH_INTERVAL);
        }
        Ok(true)
    }

    /// Unlinks the tables that lie wholly in these ranges. Tells whether it came to the end.
    fn drop_tables(&self, ranges: [(Space, Bytes, Bytes); 2]) -> Result<bool, Error> {
        let database = &self.shared.database;
        // What says that they are not needed must not be lost once they are gone.
        database.sync()?;
        if !self.flush()? {
            return Ok(false);
        }
        for (space, first, last) in ranges {
            database.drop_range(space, &first, &last)?;
        }
        database.let_go()?;
        Ok(true)
    }

    /// A small queue costs one batch. Of a large one, the tables go first, then what they left.
    fn remove_queue(&self, queue: QueueId) -> Result<(), Error> {
        let database = &self.shared.database;
        let (first, last) = key::queue_range(queue);
        if is_large(&database.view(), &first, &last)? {
            let ranges =
                [Space::Pages, Space::Bodies].map(|space| (space, first.clone(), last.clone()));
            if !self.drop_tables(ranges)? {
                return Ok(());
            }
        }
        if !self.release_bodies(queue)? || !self.remove_delayed(queue)? {
            return Ok(());
        }
        for space in [Space::Pages, Space::Bodies, Space::Acks] {
            if !self.remove_keys(space, &first, &last)? {
                return Ok(());
            }
        }
        let mut batch = database.batch();
        batch.remove(Space::Meta, key::dropped_queue(queue));
        batch.commit(Durability::Written)?;
        self.tasks.lock().wanted.queues.remove(&queue);
        Ok(())
    }

    /// Takes a dropped queue's messages off the counts of the bodies that others have too, some at a time.
    /// Tells whether it came to the end.
    fn release_bodies(&self, queue: QueueId) -> Result<bool, Error> {
        let (first, last) = key::queue_page_bodies(queue);
        while self.shared.release_bodies(&first, &last)? {
            if self.tasks.is_ending() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes a dropped queue's delayed messages, some at a time. Tells whether it came to the end.
    fn remove_delayed(&self, queue: QueueId) -> Result<bool, Error> {
        let (mut from, _) = key::delayed_of(queue);
        // From the last one on, so as not to pass over the removed ones again.
        while let Some(last) = self.shared.remove_delayed(queue, &from)? {
            if self.tasks.is_ending() {
                return Ok(false);
            }
            from = last;
        }
        Ok(true)
    }

    /// Removes what lies in a range of keys, some at a time. Tells whether it came to the end.
    fn remove_keys(&self, space: Space, first: &Bytes, last: &Bytes) -> Result<bool, Error> {
        let mut first = first.clone();
        loop {
            let view = self.shared.database.view();
            let keys = some_keys(&view, space, &first, last)?;
            let Some(highest) = keys.last().cloned() else { return Ok(true) };
            let mut batch = self.shared.database.batch();
            for key in keys {
                // Not weakly: the anchor of a level is written many times.
                batch.remove(space, key);
            }
            batch.commit(Durability::Written)?;
            // From the last one on, so as not to pass over the removed ones again.
            first = highest;
            if self.tasks.is_ending() {
                return Ok(false);
            }
        }
    }

    /// Looks after a store that has little to do.
    fn look_around(&mut self) -> Result<(), Error> {
        let written = self.shared.bytes_written();
        let before = std::mem::replace(&mut self.seen.bytes_written, written);
        if written - before <= IDLE_WRITTEN_BYTES_MAX {
            let garbage_min = self.seen.unfinished.unwrap_or(GARBAGE_BYTES_MIN);
            self.give_back_once(garbage_min)?;
        } else if self.seen.busy_looks >= BUSY_LOOKS_MAX {
            // What is written anew is no more than what is given back.
            let garbage_min = BUSY_GARBAGE_BYTES_MIN.max(self.bytes_taken() / 2);
            self.give_back_once(garbage_min)?;
        }
        self.seen.busy_looks += 1;
        if self.shared.database.journal_count() > 1 {
            self.shared.database.rotate()?;
        }
        Ok(())
    }

    /// Gives back all that is not needed, unless nothing has happened since it was tried last.
    fn give_back_once(&mut self, garbage_min: u64) -> Result<(), Error> {
        let now = (self.shared.bytes_settled(), self.bytes_taken());
        let is_new = self.seen.looked_through.is_none_or(|(settled, bytes)| {
            now.0 > settled || now.1 > bytes.saturating_add(IDLE_BYTES_MAX)
        });
        let bytes_min = IDLE_BYTES_MAX.min(garbage_min);
        if is_new && now.1 > bytes_min {
            let is_done = self.give_back(garbage_min)?;
            self.seen.busy_looks = 0;
            self.seen.unfinished = (!is_done).then_some(garbage_min);
            if is_done {
                self.seen.looked_through = Some((now.0, self.bytes_taken()));
            }
        }
        Ok(())
    }

    /// Bytes that tables of messages, and journals, take on the disk.
    fn bytes_taken(&self) -> u64 {
        let journals = journal_check::journals(&self.shared.database_path()).unwrap_or_default();
        // Not their sizes, which are full ones from the beginning.
        let blocks = journals.iter().filter_map(|path| Some(fs::metadata(path).ok()?.blocks()));
        self.shared.database.table_bytes() + blocks.sum::<u64>() * BLOCK_SIZE
    }

    /// Says whether it came to the end.
    fn give_back(&mut self, garbage_min: u64) -> Result<bool, Error> {
        if !self.unlink_dead_tables()? {
            return Ok(false);
        }
        for (space, stuck) in MESSAGE_SPACES.into_iter().zip(&mut self.seen.stuck) {
            let is_ending = || self.tasks.is_ending();
            garbage::collect(&self.shared, space, garbage_min, stuck, &is_ending)?;
        }
        self.begin_new_journal(garbage_min.min(IDLE_BYTES_MAX / 2))
    }

    /// Leaves the newest journal behind when so much is in it. Says whether that came to the end: fjall
    /// may be busy with a compaction for longer than commits are held up for it.
    fn begin_new_journal(&self, bytes_min: u64) -> Result<bool, Error> {
        let path = self.shared.database_path();
        let written = journal_change::written_bytes(&path).unwrap_or(0);
        let database = &self.shared.database;
        let begin =
            || self.shared.while_nothing_is_written(|_| journal_change::begin_new(database, &path));
        let is_left = written <= bytes_min || begin()?;
        // The journals before are unlinked when all that was in memory is in tables, and a table of
        // every keyspace is newer than they are.
        self.shared.database.put_heartbeats()?;
        let is_flushed = self.flush()?;
        self.journals.check();
        Ok(is_left && is_flushed)
    }
}

fn some_keys(view: &View, space: Space, first: &Bytes, last: &Bytes) -> Result<Vec<Bytes>, Error> {
    view.keys(space, first, last).take(REMOVE_KEYS_MAX).collect()
}

/// Whether a range takes so much that its tables are worth a look.
fn is_large(view: &View, first: &Bytes, last: &Bytes) -> Result<bool, Error> {
    let mut bytes = 0;
    for (values, size) in [Space::Pages, Space::Bodies]
        .into_iter()
        .flat_map(|space| view.sizes(space, first, last).enumerate())
    {
        bytes += size?;
        if values >= REMOVE_KEYS_MAX || bytes >= REMOVE_BYTES_MAX {
            return Ok(true);
        }
    }
    Ok(false)
}
