//! How much memory the queues use together. Owned by the [`crate::shard::Shard`].

use crate::limits::{
    BORROWED_BYTES_MAX, BORROWED_MESSAGES_MAX, CACHED_BYTES_MAX, OUTPUT_BUDGET_BYTES,
    REPLIES_BYTES_MAX, TRACE_BYTES_MAX, VOLATILE_BYTES_MAX,
};

/// Bounds of what queues and connections keep in memory, in bytes. Values, because a small machine has
/// smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Messages that are nowhere else.
    pub volatile: u64,
    /// Messages that are in the store too.
    pub cached: u64,
    /// Direct replies on their way to one connection.
    pub replies: usize,
    /// Deliveries on their way to one connection.
    pub output: usize,
    /// What queues tell of their messages (`x-trace`).
    pub lives: u64,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            volatile: VOLATILE_BYTES_MAX,
            cached: CACHED_BYTES_MAX,
            replies: REPLIES_BYTES_MAX,
            output: OUTPUT_BUDGET_BYTES,
            lives: TRACE_BYTES_MAX,
        }
    }
}

/// Bytes that the messages of a queue take in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryUse {
    /// Of messages that are nowhere else.
    pub(crate) volatile: u64,
    /// Of messages that are in the store too.
    pub(crate) cached: u64,
    /// Of messages that wait for the next commit.
    pub(crate) unwritten: u64,
    /// Messages that are nowhere else and still in the buffers they were received in.
    pub(crate) borrowed_messages: u64,
    /// Bytes of those.
    pub(crate) borrowed_bytes: u64,
    /// What is told of messages (`x-trace`).
    pub(crate) lives: u64,
}

/// The sum over all queues.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    total: MemoryUse,
    limits: MemoryLimits,
}

impl Memory {
    /// From now on these bounds hold.
    pub(crate) fn limit(&mut self, limits: MemoryLimits) {
        self.limits = limits;
    }

    /// A queue used `before` and uses `now`.
    pub(crate) fn account(&mut self, before: MemoryUse, now: MemoryUse) {
        self.total.volatile = self.total.volatile + now.volatile - before.volatile;
        self.total.cached = self.total.cached + now.cached - before.cached;
        self.total.unwritten = self.total.unwritten + now.unwritten - before.unwritten;
        self.total.borrowed_messages =
            self.total.borrowed_messages + now.borrowed_messages - before.borrowed_messages;
        self.total.borrowed_bytes =
            self.total.borrowed_bytes + now.borrowed_bytes - before.borrowed_bytes;
        self.total.lives = self.total.lives + now.lives - before.lives;
    }

    /// Bytes of messages that are nowhere else.
    pub(crate) fn volatile_bytes(&self) -> u64 {
        self.total.volatile
    }

    /// Bytes of messages that are in the store too.
    pub(crate) fn cached_bytes(&self) -> u64 {
        self.total.cached
    }

    /// Bytes of messages that wait for the next commit.
    pub(crate) fn unwritten_bytes(&self) -> u64 {
        self.total.unwritten
    }

    /// Whether messages may stay in memory alone.
    pub(crate) fn has_volatile_room(&self) -> bool {
        self.total.volatile < self.limits.volatile
    }

    /// Whether too much is still in the buffers it was received in.
    pub(crate) fn is_borrowed(&self) -> bool {
        self.total.borrowed_messages > BORROWED_MESSAGES_MAX
            || self.total.borrowed_bytes > BORROWED_BYTES_MAX
    }

    /// Bytes of lives of messages to be dropped, a good part more than there is too much of them, so that it does
    /// not have to be done again at once.
    pub(crate) fn lives_excess(&self) -> u64 {
        if self.total.lives <= self.limits.lives {
            return 0;
        }
        self.total.lives - self.limits.lives / 4 * 3
    }

    /// Whether content may stay in memory although the store has it.
    pub(crate) fn has_cache_room(&self) -> bool {
        self.total.cached < self.limits.cached
    }

    /// Bytes of cached content to be dropped, a good part more than there is too much of it, so
    /// that it does not have to be done again at once.
    pub(crate) fn cached_excess(&self) -> u64 {
        if self.total.cached <= self.limits.cached {
            return 0;
        }
        self.total.cached - self.limits.cached / 4 * 3
    }
}
