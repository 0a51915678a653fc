//! The delayed messages of one queue and one clock, in the order in which they become due. Belongs to
//! [`super::Delayed`].
//!
//! The store has all of them. Memory has a window of those that are due next, up to a horizon, and those
//! that the store does not have yet; so it does not grow with their number. What lies behind the horizon
//! is read shortly before it is due.
//!
//! ```text
//!   published ──► unwritten ──► writing ──► stored, in the window ──► released, into the queue's order
//!                                  │              │      ▲
//!                                  └─► behind ◄───┘      │
//!                                      the horizon ──────┘ read
//! ```
//! What is released or cancelled is removed from the store in the next commit; a released message is put
//! into a page in that commit.

use crate::limits::{
    DELAYED_ENTRY_SIZE, DELAYED_READ_AHEAD_MS, DELAYED_WINDOW_BYTES_MAX, DELAYED_WINDOW_BYTES_MIN,
};
use crate::model::{BodyId, DelayedId, DueClock, Message, QueueId, WallClock};
use crate::operation::{DelayedState, Operation};
use crate::queue::pages::compact;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How far a message in memory has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It goes with the next commit.
    Unwritten,
    /// A commit under way has it.
    Writing,
    /// The store has it.
    Stored,
}

#[derive(Debug)]
struct Entry {
    message: Message,
    progress: Progress,
}

/// What one commit under way puts and removes.
#[derive(Debug, Default)]
struct Batch {
    puts: Vec<DelayedId>,
    removals: Vec<DelayedId>,
}

/// What is read from the store at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Nothing,
    /// What comes into the window.
    Window,
    /// What an operator asked for.
    Request,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct DelayedOrder {
    clock: DueClock,
    count: u64,
    /// Bytes of the bodies of all.
    bytes: u64,
    next_sequence: u64,
    /// Those in memory.
    entries: BTreeMap<DelayedId, Entry>,
    /// What those take of which the store has a copy, or will have with the commit under way.
    stored_cost: u64,
    unwritten_bytes: u64,
    /// From here on the store may have messages that memory does not have; `None`: memory has all.
    horizon: Option<DelayedId>,
    /// The lowest message that left memory while the window is being read: the read may not show it.
    passed: Option<DelayedId>,
    reading: Reading,
    /// Content was dropped because memory was short: the rest is read when it is due, not before.
    was_evicted: bool,
    /// To be put with the next commit, unless they are gone by then.
    new: Vec<DelayedId>,
    /// To be removed with the next commit.
    gone: Vec<(DelayedId, Option<BodyId>)>,
    /// Those that a read may still show although they are gone.
    removed: BTreeSet<DelayedId>,
    /// Those among them whose removal is committed.
    removals_done: Vec<DelayedId>,
    under_way: VecDeque<Batch>,
}

/// What a commit has of delayed messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DelayedChanges {
    /// Some are put: whoever published them waits for it.
    pub(crate) has_puts: bool,
    /// The order has to be told of the commit.
    pub(crate) is_any: bool,
}

fn cost(message: &Message) -> u64 {
    message.size() as u64 + DELAYED_ENTRY_SIZE
}

fn lower(one: Option<DelayedId>, other: Option<DelayedId>) -> Option<DelayedId> {
    one.into_iter().chain(other).min()
}

impl DelayedOrder {
    pub(super) fn new(clock: DueClock) -> Self {
        Self {
            clock,
            count: 0,
            bytes: 0,
            next_sequence: 0,
            entries: BTreeMap::new(),
            stored_cost: 0,
            unwritten_bytes: 0,
            horizon: None,
            passed: None,
            reading: Reading::Nothing,
            was_evicted: false,
            new: Vec::new(),
            gone: Vec::new(),
            removed: BTreeSet::new(),
            removals_done: Vec::new(),
            under_way: VecDeque::new(),
        }
    }

    /// What a store holds.
    pub(super) fn recover(&mut self, state: DelayedState) {
        self.count = state.count;
        self.bytes = state.bytes;
        self.next_sequence = state.next_sequence;
        let from = DelayedId { clock: self.clock, due: state.from, sequence: 0 };
        self.horizon = (state.count > 0).then_some(from);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn unwritten_bytes(&self) -> u64 {
        self.unwritten_bytes
    }

    /// Bytes in memory that the store has too, or will have with the commit under way.
    pub(super) fn stored_cost(&self) -> u64 {
        self.stored_cost
    }

    /// No message is due earlier.
    pub(super) fn next_due(&self) -> Option<WallClock> {
        lower(self.entries.keys().next().copied(), self.horizon).map(|id| id.due)
    }

    /// Adds a message that was just published. Returns how it is named.
    pub(super) fn add(&mut self, due: WallClock, message: Message) -> DelayedId {
        let id = DelayedId { clock: self.clock, due, sequence: self.next_sequence };
        self.next_sequence += 1;
        self.count += 1;
        self.bytes += message.body().len() as u64;
        self.unwritten_bytes += message.size() as u64;
        self.new.push(id);
        self.entries.insert(id, Entry { message, progress: Progress::Unwritten });
        id
    }

    /// Takes the message out that is due first, if it is by `now`, on the order's clock, and in memory.
    pub(super) fn pop_due(&mut self, now: i128) -> Option<(DelayedId, Message)> {
        let id = self.first_known()?;
        if i128::from(id.due.0) > now {
            return None;
        }
        Some((id, self.take(id)?))
    }

    /// Takes a message out that is in memory, wherever it stands.
    pub(super) fn take(&mut self, id: DelayedId) -> Option<Message> {
        let Entry { message, progress } = self.entries.remove(&id)?;
        if progress == Progress::Unwritten {
            self.unwritten_bytes -= message.size() as u64;
            self.uncount(&message);
        } else {
            self.stored_cost -= cost(&message);
            self.remove_stored(id, &message);
        }
        Some(message)
    }

    /// Takes a message out that was read from the store; whether it was still there.
    pub(super) fn take_read(&mut self, id: DelayedId, message: &Message) -> bool {
        if self.removed.contains(&id) {
            return false;
        }
        if self.take(id).is_none() {
            self.remove_stored(id, message);
        }
        true
    }

    /// Those in memory from one identifier on, in order.
    pub(super) fn known_from(
        &self,
        from: DelayedId,
    ) -> impl Iterator<Item = (DelayedId, &Message)> {
        self.entries.range(from..).map(|(id, entry)| (*id, &entry.message))
    }

    /// Whether a message that a read shows is gone.
    pub(super) fn is_removed(&self, id: DelayedId) -> bool {
        self.removed.contains(&id)
    }

    /// All that are published from now on have this sequence or a higher one.
    pub(super) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// When, on the order's clock, it wants to be looked at; `None`: not before something else happens.
    pub(super) fn wake_at(&self) -> Option<i128> {
        let first = self.first_known().map(|id| i128::from(id.due.0));
        let may_read = self.reading == Reading::Nothing && self.has_window_room();
        let horizon = self.horizon.filter(|_| may_read);
        let read = horizon.map(|id| i128::from(id.due.0) - self.read_ahead());
        first.into_iter().chain(read).min()
    }

    /// Whether the store is to be read because of what is due soon.
    pub(super) fn wants_window(&self, now: i128) -> bool {
        let is_soon = |id: DelayedId| i128::from(id.due.0) - self.read_ahead() <= now;
        self.reading == Reading::Nothing
            && self.has_window_room()
            && self.horizon.is_some_and(is_soon)
    }

    /// Begins to read the window: from where on, and up to how many bytes.
    pub(super) fn begin_window(&mut self) -> Option<(DelayedId, usize)> {
        let from = self.horizon?;
        self.reading = Reading::Window;
        self.passed = None;
        let room = DELAYED_WINDOW_BYTES_MAX.saturating_sub(self.stored_cost);
        Some((from, usize::try_from(room).unwrap_or(1).max(1)))
    }

    /// Whether the store may be read for an operator now; then it counts as begun.
    pub(super) fn begin_request(&mut self) -> bool {
        let may_begin = self.reading == Reading::Nothing;
        if may_begin {
            self.reading = Reading::Request;
        }
        may_begin
    }

    /// The store has read the window: what it showed, and whether nothing lies behind that.
    pub(super) fn handle_window(&mut self, messages: Vec<(DelayedId, Message)>, is_end: bool) {
        let read_to = messages.last().map(|(id, _)| id.next()).filter(|_| !is_end);
        self.horizon = lower(read_to, self.passed.take());
        self.was_evicted = false;
        for (id, message) in messages {
            let is_behind = self.horizon.is_some_and(|horizon| id >= horizon);
            if is_behind || self.removed.contains(&id) || self.entries.contains_key(&id) {
                continue;
            }
            self.stored_cost += cost(&message);
            self.entries.insert(id, Entry { message, progress: Progress::Stored });
        }
        self.end_read();
    }

    /// A read is over, whatever it was for.
    pub(super) fn end_read(&mut self) {
        self.reading = Reading::Nothing;
        for id in std::mem::take(&mut self.removals_done) {
            self.removed.remove(&id);
        }
    }

    /// Adds what the store has to learn.
    pub(super) fn take_commit(
        &mut self,
        queue: QueueId,
        operations: &mut Vec<Operation>,
    ) -> DelayedChanges {
        let mut batch = Batch::default();
        for id in std::mem::take(&mut self.new) {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.progress = Progress::Writing;
            self.unwritten_bytes -= entry.message.size() as u64;
            self.stored_cost += cost(&entry.message);
            let message = entry.message.clone();
            operations.push(Operation::PutDelayed { queue, id, message });
            batch.puts.push(id);
        }
        for (id, body) in std::mem::take(&mut self.gone) {
            operations.push(Operation::RemoveDelayed { queue, id, body });
            batch.removals.push(id);
        }
        let has_puts = !batch.puts.is_empty();
        let is_any = has_puts || !batch.removals.is_empty();
        if is_any {
            let (clock, state) = (self.clock, self.state());
            operations.push(Operation::PutDelayedState { queue, clock, state });
            self.under_way.push_back(batch);
        }
        DelayedChanges { has_puts, is_any }
    }

    /// The store has the oldest commit under way.
    pub(super) fn handle_committed(&mut self) {
        let Some(batch) = self.under_way.pop_front() else { return };
        for id in batch.puts {
            self.stored(id);
        }
        self.removals_done.extend(batch.removals);
        if self.reading == Reading::Nothing {
            self.end_read();
        }
        if self.stored_cost > DELAYED_WINDOW_BYTES_MAX {
            self.drop_stored(self.stored_cost - DELAYED_WINDOW_BYTES_MIN);
        }
    }

    /// Drops content that the store has, what is due last first, until `bytes` are free; how many were
    /// freed. Memory is short.
    pub(super) fn evict(&mut self, bytes: u64) -> u64 {
        let freed = self.drop_stored(bytes);
        self.was_evicted |= freed > 0;
        freed
    }

    fn state(&self) -> DelayedState {
        DelayedState {
            count: self.count,
            bytes: self.bytes,
            from: self.next_due().unwrap_or_default(),
            next_sequence: self.next_sequence,
        }
    }

    /// The first message, when it is in memory.
    fn first_known(&self) -> Option<DelayedId> {
        let first = self.entries.keys().next().copied()?;
        self.horizon.is_none_or(|horizon| first < horizon).then_some(first)
    }

    fn has_window_room(&self) -> bool {
        self.stored_cost < DELAYED_WINDOW_BYTES_MIN
    }

    fn read_ahead(&self) -> i128 {
        if self.was_evicted { 0 } else { i128::from(DELAYED_READ_AHEAD_MS) }
    }

    fn remove_stored(&mut self, id: DelayedId, message: &Message) {
        self.uncount(message);
        self.removed.insert(id);
        self.gone.push((id, message.shared_body()));
    }

    fn uncount(&mut self, message: &Message) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(message.body().len() as u64);
    }

    /// The store has a message: it stays in memory when it belongs to the window.
    fn stored(&mut self, id: DelayedId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if self.horizon.is_some_and(|horizon| id >= horizon) {
            self.drop_entry(id);
            return;
        }
        entry.progress = Progress::Stored;
        // On its own it keeps a whole receive buffer alive.
        if let Some(copy) = compact(std::iter::once(&entry.message)).pop() {
            entry.message = copy;
        }
    }

    fn drop_stored(&mut self, bytes: u64) -> u64 {
        let before = self.stored_cost;
        let stored = self.entries.iter().rev();
        let stored = stored.filter(|(_, entry)| entry.progress == Progress::Stored);
        let mut freed = 0;
        let dropped: Vec<DelayedId> = stored
            .take_while(|(_, entry)| {
                let is_enough = freed >= bytes;
                freed += cost(&entry.message);
                !is_enough
            })
            .map(|(id, _)| *id)
            .collect();
        for id in dropped {
            self.drop_entry(id);
            self.horizon = lower(self.horizon, Some(id));
        }
        before - self.stored_cost
    }

    /// The store has it, and memory no more.
    fn drop_entry(&mut self, id: DelayedId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.stored_cost -= cost(&entry.message);
        if self.reading == Reading::Window {
            self.passed = lower(self.passed, Some(id));
        }
    }
}
