//! What the engine asks the store to make durable, and what it gets back at the start.
//!
//! A [`Commit`] is atomic and commits are applied in their order. Everything that a clock, a
//! random number or the leader's memory decided is already written into the operations: applying
//! the same commits twice gives the same store.

use crate::model::{
    BodyId, CommitId, DelayedId, DueClock, Epoch, Level, Message, Offset, QueueId, Retry, WallClock,
};
use crate::page::{ExpiryBounds, Page};
use bytes::Bytes;
use std::sync::Arc;

/// Whether the store must reach the disk before the commit counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Handed to the operating system: survives the process, not a power loss. For acks (their
    /// loss is a redelivery) and for transient messages that memory has no room for.
    Written,
    /// On stable storage (data sync). For everything that a client waits for.
    Synced,
}

/// One atomic group of operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its place in the order of its epoch.
    pub id: CommitId,
    /// The epoch of the shard that made it. Where several machines have the queues, a commit is applied
    /// only while its epoch lasts.
    pub epoch: Epoch,
    /// In the order in which they take effect.
    pub operations: Vec<Operation>,
    /// How far it must get before it is reported.
    pub durability: Durability,
}

/// One change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Adds a page; its key was never written before. It begins where the level's last page ended,
    /// or further on when every offset between is settled in a watermark or block of this commit
    /// or an earlier one: the store takes any other hole for a lost page.
    PutPage {
        /// The queue.
        queue: QueueId,
        /// The level of it.
        level: Level,
        /// The messages.
        page: Arc<Page>,
    },
    /// Removes a page that was put, each at most once: all its messages are settled, in this
    /// commit or an earlier one.
    RemovePage {
        /// The queue.
        queue: QueueId,
        /// The level of it.
        level: Level,
        /// The page's first offset.
        first: Offset,
    },
    /// Replaces what is known of a level as a whole.
    PutWatermark {
        /// The queue.
        queue: QueueId,
        /// The level of it.
        level: Level,
        /// The new value.
        watermark: Watermark,
    },
    /// Replaces one block of settled offsets above the watermark.
    PutBlock {
        /// The queue.
        queue: QueueId,
        /// The level of it.
        level: Level,
        /// Which block: `offset / BLOCK_OFFSETS`.
        block: u64,
        /// The new content.
        content: Block,
    },
    /// Removes a block that has fallen below the watermark or became empty.
    RemoveBlock {
        /// The queue.
        queue: QueueId,
        /// The level of it.
        level: Level,
        /// Which block.
        block: u64,
    },
    /// Adds a delayed message, which no queue delivers yet. Its key was never written before, or was
    /// removed by an earlier commit.
    PutDelayed {
        /// The queue.
        queue: QueueId,
        /// Its place among the queue's delayed messages.
        id: DelayedId,
        /// The message.
        message: Message,
    },
    /// Removes a delayed message that was put, each at most once.
    RemoveDelayed {
        /// The queue.
        queue: QueueId,
        /// Its place among the queue's delayed messages.
        id: DelayedId,
        /// The body that it has in common with other messages, as it was put.
        body: Option<BodyId>,
    },
    /// Replaces what is known of the delayed messages of one clock as a whole; stands in each commit
    /// that adds or removes some.
    PutDelayedState {
        /// The queue.
        queue: QueueId,
        /// The clock.
        clock: DueClock,
        /// The new value.
        state: DelayedState,
    },
    /// Removes every page, watermark and block of a queue, and its delayed messages.
    DropQueue {
        /// The queue.
        queue: QueueId,
    },
    /// Adds or replaces a record of the topology; the engine encodes it.
    PutRecord {
        /// Its key, which begins with its kind.
        key: Bytes,
        /// Its value, which begins with its version.
        value: Bytes,
    },
    /// Removes a record of the topology.
    RemoveRecord {
        /// Its key.
        key: Bytes,
    },
}

/// What is known of the delayed messages of one queue and one clock without reading them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelayedState {
    /// How many there are.
    pub count: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// None is due earlier.
    pub from: WallClock,
    /// No message there has this sequence or a higher one.
    pub next_sequence: u64,
}

/// What is known of a level: everything below `low` is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The lowest offset that is not settled; at the tail when the level is empty.
    pub low: Offset,
    /// Bytes of the bodies of all settled messages that ever stood in the level's pages.
    pub bytes_settled: u64,
}

/// Settled offsets, and how often deliveries came back, of `BLOCK_OFFSETS` neighbouring offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Settled runs, first and last included, relative to the block's start, ascending, not
    /// touching one another.
    pub settled: Vec<(u16, u16)>,
    /// Failed deliveries of the messages that have any: offset relative to the block, count.
    pub failures: Vec<(u16, u32)>,
    /// Deliveries that a client returned in good order, of the messages that have any: offset relative
    /// to the block, count.
    pub returns: Vec<(u16, u32)>,
    /// Waits of the messages that came back and waited, over or not: offset relative to the block, wait.
    pub retries: Vec<(u16, Retry)>,
}

/// Offsets in one [`Block`].
pub const BLOCK_OFFSETS: u64 = 1 << 16;

/// What a store holds when it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The epoch under which the shard makes its commits.
    pub epoch: Epoch,
    /// Topology records by key, ascending.
    pub records: Vec<(Bytes, Bytes)>,
    /// Every level of every queue that has a page, a watermark or a block.
    pub levels: Vec<RecoveredLevel>,
    /// What is known of delayed messages, of each queue and clock that has some.
    pub delayed: Vec<RecoveredDelayed>,
    /// The highest identifier of a body that several messages have in common; 0 when there is none.
    pub last_body: BodyId,
    /// Queues of which messages can't be read.
    pub damaged: Vec<DamagedQueue>,
}

/// Delayed messages as they were recovered: they are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredDelayed {
    /// The queue.
    pub queue: QueueId,
    /// The clock.
    pub clock: DueClock,
    /// What is known of them.
    pub state: DelayedState,
}

/// A queue of which something is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedQueue {
    /// The queue.
    pub queue: QueueId,
    /// What is damaged, for people.
    pub what: Arc<str>,
}

/// A level as it was recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredLevel {
    /// The queue.
    pub queue: QueueId,
    /// The level of it.
    pub level: Level,
    /// Its watermark (default when none was written).
    pub watermark: Watermark,
    /// Its blocks, ascending.
    pub blocks: Vec<(u64, Block)>,
    /// The `end` of the last page there, and its `bytes_after`; nothing when no page is there.
    pub last_page: Option<(Offset, u64)>,
    /// The bounds that the last page says.
    pub bounds: Option<ExpiryBounds>,
}
