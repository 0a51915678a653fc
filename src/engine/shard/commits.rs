//! Which work the next commit takes along and when it has to begin. Owned by the
//! [`super::Shard`].
//!
//! What a client waits for begins a commit as soon as the one before is written. Acknowledgements,
//! and messages that nobody waits for, wait for company or for a short interval: a message settled
//! in that time is never written. While consumers keep step with such messages, these wait for the
//! whole interval, and their publishers, whose budget they take, wait with them. Once nothing is consumed
//! while a publisher waits, they are written.

use super::commit_waiters::CommitWaiters;
use crate::credit::Outbox;
use crate::deduplication::KeyRecordId;
use crate::limits::{COMMIT_INTERVAL_MS, UNAWAITED_BYTES_MAX};
use crate::model::{CommitId, DueClock, Epoch, Level, Monotonic, Offset, QueueId};
use crate::operation::{Commit, Durability, Operation};
use crate::trace::MessageSpan;
use std::collections::{BTreeMap, VecDeque};

/// A page of a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewPage {
    pub(crate) queue: QueueId,
    pub(crate) level: Level,
    pub(crate) first: Offset,
}

/// The deduplication keys of one queue in a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewKeys {
    pub(crate) queue: QueueId,
    /// Keys below this number are in this commit or an earlier one.
    pub(crate) to: u64,
}

/// What a commit has of queues that are to be told of it: of keys once they are on stable storage.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) pages: Vec<NewPage>,
    /// Queues with changes of delayed messages, by clock.
    pub(crate) delayed: Vec<(QueueId, DueClock)>,
    pub(crate) keys: Vec<NewKeys>,
    /// Of publishes that it makes safe.
    pub(crate) spans: Vec<MessageSpan>,
}

/// When to begin a commit that nobody waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Due {
    /// There is nothing to be committed.
    #[default]
    Never,
    /// Then.
    At(Monotonic),
    /// When the server asks next.
    Now,
}

/// A commit that the store has not reported yet.
#[derive(Debug)]
struct UnderWay {
    id: CommitId,
    changed: Changed,
    waiters: CommitWaiters,
    /// It has more than new messages in it that clients wait for.
    is_change: bool,
    /// It is reported when it is on stable storage, and all before it with it.
    is_synced: bool,
}

/// What is to be committed, and what is being committed.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    last: CommitId,
    epoch: Epoch,
    due: Due,
    /// New messages that nobody waits for, lately: halved at each commit, so that consumers that kept
    /// step before it are expected to go on after it.
    deferred: u64,
    /// Messages that consumers have taken for good, over the same time.
    consumed: u64,
    /// What that was when a publisher was found waiting, and since when.
    consumed_at_wait: Option<(u64, Monotonic)>,
    dirty: Vec<QueueId>,
    operations: Vec<Operation>,
    /// A client waits for something other than new messages.
    must_sync: bool,
    /// Whenever it begins, the next commit has to reach the disk.
    syncs_with_next: bool,
    /// What to tell when the next commit is durable.
    pub(crate) waiters: CommitWaiters,
    /// Up to where keys were written without a sync.
    unsynced_keys: BTreeMap<QueueId, u64>,
    under_way: VecDeque<UnderWay>,
}

impl Commits {
    /// All commits are of this epoch. To be called before the first one.
    pub(crate) fn set_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// A queue has something to be committed.
    pub(crate) fn add_dirty(&mut self, queue: QueueId) {
        self.dirty.push(queue);
    }

    /// Work that may wait for the interval.
    pub(crate) fn defer(&mut self, now: Monotonic) {
        if self.due == Due::Never {
            self.due = Due::At(now.plus(COMMIT_INTERVAL_MS));
        }
    }

    /// New messages that nobody waits for.
    pub(crate) fn defer_messages(&mut self, count: u64, now: Monotonic) {
        self.deferred += count;
        self.defer(now);
    }

    /// Consumers have taken so many messages for good.
    pub(crate) fn note_consumed(&mut self, count: u64) {
        self.consumed += count;
    }

    /// New messages of so many bytes wait.
    pub(crate) fn note_unwritten(&mut self, bytes: u64) {
        let is_kept_up_with = 2 * self.consumed >= self.deferred;
        if bytes >= UNAWAITED_BYTES_MAX && !is_kept_up_with {
            self.hurry();
        }
    }

    /// A publisher waits until messages are settled or written: without consumers that are at work these
    /// are written now.
    pub(crate) fn wait_for_room(&mut self, now: Monotonic) {
        match self.consumed_at_wait {
            Some((consumed, since)) if consumed == self.consumed => {
                if since < now {
                    self.hurry();
                }
            }
            _ => self.consumed_at_wait = Some((self.consumed, now)),
        }
    }

    /// Changes of the topology: they must reach the disk.
    pub(crate) fn add_operations(&mut self, operations: Vec<Operation>) {
        self.must_sync |= !operations.is_empty();
        self.operations.extend(operations);
    }

    /// Changes that nobody waits for.
    pub(crate) fn add_deferred_operations(
        &mut self,
        operations: impl IntoIterator<Item = Operation>,
        now: Monotonic,
    ) {
        self.operations.extend(operations);
        self.defer(now);
    }

    /// A client waits for everything done so far.
    pub(crate) fn must_sync(&mut self) {
        self.must_sync = true;
    }

    /// The next commit has to reach the disk, but is in no hurry.
    pub(crate) fn sync_with_next(&mut self) {
        self.syncs_with_next = true;
    }

    /// What is told when everything that was changed so far is durable; nothing when it is.
    pub(crate) fn after_changes(&mut self) -> Option<&mut CommitWaiters> {
        if self.must_sync {
            return Some(&mut self.waiters);
        }
        let last = self.under_way.iter_mut().rev().find(|commit| commit.is_change);
        last.map(|commit| &mut commit.waiters)
    }

    /// What is told when everything that commits have had so far is on stable storage. When no commit that
    /// is under way sees to that, the next one does, even if it has nothing else to do.
    pub(crate) fn after_sync(&mut self) -> &mut CommitWaiters {
        let is_under_way = self.under_way.back().is_some_and(|commit| commit.is_synced);
        if !is_under_way {
            self.sync_all();
        }
        match self.under_way.back_mut().filter(|_| is_under_way) {
            Some(commit) => &mut commit.waiters,
            None => &mut self.waiters,
        }
    }

    /// The next commit brings everything before it to stable storage, even if it has nothing else to do.
    pub(crate) fn sync_all(&mut self) {
        self.operations.push(KeyRecordId::no_change());
        self.must_sync = true;
    }

    /// Lets everything that waits begin its commit.
    pub(crate) fn hurry(&mut self) {
        if self.due != Due::Never {
            self.due = Due::Now;
        }
    }

    /// The time has come.
    pub(crate) fn handle_timeout(&mut self, now: Monotonic) {
        if matches!(self.due, Due::At(at) if at <= now) {
            self.due = Due::Now;
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        match self.due {
            Due::At(at) => Some(at),
            Due::Never | Due::Now => None,
        }
    }

    /// Whether a commit should begin.
    pub(crate) fn is_due(&self) -> bool {
        self.due == Due::Now || !self.waiters.is_empty() || self.must_sync
    }

    /// Begins a commit: the operations so far and the dirty queues, whose changes the caller adds.
    pub(crate) fn begin(&mut self) -> (Vec<Operation>, Vec<QueueId>) {
        self.due = Due::Never;
        self.deferred /= 2;
        self.consumed /= 2;
        self.consumed_at_wait = None;
        (std::mem::take(&mut self.operations), std::mem::take(&mut self.dirty))
    }

    /// Makes the commit; `has_messages`: new ones are in it. Nothing when there is nothing to write;
    /// what was promised is then kept at once, as it is when no message of it is left to be written.
    pub(crate) fn finish(
        &mut self,
        operations: Vec<Operation>,
        changed: Changed,
        has_messages: bool,
        out: &mut Outbox,
    ) -> Option<Commit> {
        let must_sync = std::mem::take(&mut self.must_sync);
        let mut waiters = std::mem::take(&mut self.waiters);
        let has_waiters = !waiters.is_empty();
        // A key is promised, too: a publisher whose message was consumed at once relies on it.
        let is_promised = has_messages || !changed.keys.is_empty();
        if operations.is_empty() || !(is_promised || must_sync) {
            std::mem::take(&mut waiters).release(out);
        }
        if operations.is_empty() {
            return None;
        }
        let is_awaited =
            std::mem::take(&mut self.syncs_with_next) || must_sync || (has_waiters && is_promised);
        let durability = if is_awaited { Durability::Synced } else { Durability::Written };
        self.last = CommitId(self.last.0 + 1);
        let (is_change, is_synced) = (must_sync, is_awaited);
        self.under_way.push_back(UnderWay {
            id: self.last,
            changed,
            waiters,
            is_change,
            is_synced,
        });
        Some(Commit { id: self.last, epoch: self.epoch, operations, durability })
    }

    /// The store has everything up to `commit`: tells what was promised, returns whom else to tell.
    pub(crate) fn handle_committed(&mut self, commit: CommitId, out: &mut Outbox) -> Changed {
        let mut changed = Changed::default();
        while self.under_way.front().is_some_and(|group| group.id <= commit) {
            if let Some(group) = self.under_way.pop_front() {
                changed.pages.extend(group.changed.pages);
                changed.delayed.extend(group.changed.delayed);
                changed.spans.extend(group.changed.spans);
                let keys = group.changed.keys.into_iter();
                self.unsynced_keys.extend(keys.map(|keys| (keys.queue, keys.to)));
                if group.is_synced {
                    let keys = std::mem::take(&mut self.unsynced_keys).into_iter();
                    changed.keys.extend(keys.map(|(queue, to)| NewKeys { queue, to }));
                }
                group.waiters.release(out);
            }
        }
        changed
    }
}
