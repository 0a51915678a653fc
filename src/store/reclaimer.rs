//! Gives disk space back, on a thread of its own, in steps so small that commits don't wait.
//!
//! Three things: the tables below a lane's watermark; everything of a dropped queue; and old
//! journals, which a keyspace without heartbeats would pin. A crash at any point is harmless:
//! liveness comes from the settled state only, and a dropped queue keeps its mark until the last
//! key is gone.

use crate::database::{Error, Space, View};
use crate::fjall_store::Shared;
use crate::key;
use crate::limits::{
    FLUSH_INTERVAL, RECLAIM_INTERVAL, RECLAIM_OCTETS, REMOVE_KEYS_MAX, REMOVE_OCTETS_MAX,
};
use bytes::Bytes;
use forebay_engine::ids::{Lane, Offset, QueueId};
use forebay_engine::operation::Durability;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The reclaimer's handle: dropping it ends the thread after the step it is at.
#[derive(Debug)]
pub(crate) struct Reclaimer {
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

/// What is to be looked after.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Lanes of which much was settled.
    pub(crate) lanes: BTreeSet<(QueueId, Lane)>,
    /// Dropped queues.
    pub(crate) queues: BTreeSet<QueueId>,
    pub(crate) is_heartbeat_due: bool,
}

#[derive(Debug, Default)]
struct Board {
    state: Mutex<BoardState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct BoardState {
    wanted: Wanted,
    is_ending: bool,
}

enum Task {
    Lane(QueueId, Lane),
    Queue(QueueId),
    Heartbeat,
    LookAround,
    End,
}

impl Reclaimer {
    pub(crate) fn start(shared: Arc<Shared>, wanted: Wanted) -> io::Result<Self> {
        let state = BoardState { wanted, is_ending: false };
        let board = Arc::new(Board { state: Mutex::new(state), changed: Condvar::new() });
        let worker = Worker { shared, board: Arc::clone(&board) };
        let thread =
            Builder::new().name("forebay-reclaimer".to_owned()).spawn(move || worker.run())?;
        Ok(Self { board, thread: Some(thread) })
    }

    pub(crate) fn want(&self, wanted: Wanted) {
        if wanted.is_empty() {
            return;
        }
        let mut state = self.board.lock();
        state.wanted.lanes.extend(wanted.lanes);
        state.wanted.queues.extend(wanted.queues);
        state.wanted.is_heartbeat_due |= wanted.is_heartbeat_due;
        drop(state);
        self.board.changed.notify_one();
    }

    pub(crate) fn queues_to_remove(&self) -> u64 {
        self.board.lock().wanted.queues.len() as u64
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        self.board.lock().is_ending = true;
        self.board.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // Had it panicked, the panic hook has told.
            let _ = thread.join();
        }
    }
}

impl Wanted {
    fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.queues.is_empty() && !self.is_heartbeat_due
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, BoardState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Task {
        let state = self.lock();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, RECLAIM_INTERVAL, |state| {
                state.wanted.is_empty() && !state.is_ending
            })
            .unwrap_or_else(PoisonError::into_inner);
        if state.is_ending {
            return Task::End;
        }
        if std::mem::take(&mut state.wanted.is_heartbeat_due) {
            return Task::Heartbeat;
        }
        if let Some((queue, lane)) = state.wanted.lanes.pop_first() {
            return Task::Lane(queue, lane);
        }
        // It stays on the board until it is gone, so that it is counted.
        state.wanted.queues.first().map_or(Task::LookAround, |queue| Task::Queue(*queue))
    }

    fn is_ending(&self) -> bool {
        self.lock().is_ending
    }
}

struct Worker {
    shared: Arc<Shared>,
    board: Arc<Board>,
}

impl Worker {
    fn run(self) {
        loop {
            let done = match self.board.next() {
                Task::End => return,
                Task::Heartbeat => self.shared.database.rotate(),
                Task::Lane(queue, lane) => self.reclaim_lane(queue, lane),
                Task::Queue(queue) => self.remove_queue(queue),
                Task::LookAround => self.look_around(),
            };
            if let Err(error) = done {
                let error = self.shared.stop("reclaim disk space", error);
                tracing::error!(%error, "the store stops");
                return;
            }
        }
    }

    /// Unlinks the tables that lie wholly below the watermark.
    fn reclaim_lane(&self, queue: QueueId, lane: Lane) -> Result<(), Error> {
        let state = {
            let mut lanes = self.shared.lanes.write().unwrap_or_else(PoisonError::into_inner);
            let Some(mut state) = lanes.get(queue, lane) else { return Ok(()) };
            state.octets_reclaimed = state.watermark.octets_settled;
            lanes.insert(queue, lane, state);
            state
        };
        let below = state.span.and_then(|span| span.highest_below(state.watermark.low));
        let Some(below) = below else { return Ok(()) };
        let (first_body, last_body) = key::bodies_range(queue, lane, Offset(0), below);
        let first = key::keeper(&key::page(queue, lane, Offset(0)));
        let last = key::page(queue, lane, below);
        self.drop_tables([(Space::Pages, first, last), (Space::Bodies, first_body, last_body)])?;
        Ok(())
    }

    /// Unlinks the tables that lie wholly in these ranges. Tells whether it came to the end.
    fn drop_tables(&self, ranges: [(Space, Bytes, Bytes); 2]) -> Result<bool, Error> {
        let database = &self.shared.database;
        // What says that they are not needed must not be lost once they are gone.
        database.sync()?;
        // What is still in memory would become a table later, and stay.
        database.rotate()?;
        while !database.is_flushed() {
            if self.board.is_ending() {
                return Ok(false);
            }
            std::thread::sleep(FLUSH_INTERVAL);
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
        for space in [Space::Pages, Space::Bodies, Space::Acks] {
            if !self.remove_keys(space, &first, &last)? {
                return Ok(());
            }
        }
        let mut batch = database.batch();
        batch.remove(Space::Meta, key::dropped_queue(queue));
        batch.commit(Durability::Written)?;
        self.board.lock().wanted.queues.remove(&queue);
        Ok(())
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
                // Not weakly: keepers are written many times.
                batch.remove(space, key);
            }
            batch.commit(Durability::Written)?;
            // From the last one on, so as not to pass over the removed ones again.
            first = highest;
            if self.board.is_ending() {
                return Ok(false);
            }
        }
    }

    fn look_around(&self) -> Result<(), Error> {
        let lanes = {
            let lanes = self.shared.lanes.read().unwrap_or_else(PoisonError::into_inner);
            lanes.settled_by(RECLAIM_OCTETS / 4)
        };
        for (queue, lane) in lanes {
            self.reclaim_lane(queue, lane)?;
        }
        if self.shared.database.journal_count() > 1 {
            self.shared.database.rotate()?;
        }
        Ok(())
    }
}

fn some_keys(view: &View, space: Space, first: &Bytes, last: &Bytes) -> Result<Vec<Bytes>, Error> {
    view.keys(space, first, last).take(REMOVE_KEYS_MAX).collect()
}

/// Whether a range takes so much that its tables are worth a look.
fn is_large(view: &View, first: &Bytes, last: &Bytes) -> Result<bool, Error> {
    let mut octets = 0;
    for (values, size) in [Space::Pages, Space::Bodies]
        .into_iter()
        .flat_map(|space| view.sizes(space, first, last).enumerate())
    {
        octets += size?;
        if values >= REMOVE_KEYS_MAX || octets >= REMOVE_OCTETS_MAX {
            return Ok(true);
        }
    }
    Ok(false)
}
