//! What the server asks of a store.

use crate::error::StoreError;
use forebay_engine::model::{DelayedId, Level, Message, Offset, QueueId};
use forebay_engine::operation::{Commit, Recovered};
use forebay_engine::page::Page;

/// Keeps what the engine commits.
///
/// What the engine keeps to, and the store relies on:
/// - Every offset of a level, from its watermark to the `end` of its last page, is covered by a page
///   or settled in a block. A page whose messages are not to be kept (transient ones) still covers
///   their offsets: a page begins where the one before it ended. A hole is taken for damage.
/// - `RemovePage` stands in the same commit as the watermark or block that settles the page's last
///   message, or in a later one.
/// - A delayed message is put and removed once each. With it, in the same commit, stands the state of the
///   queue's delayed messages as it is afterwards.
/// - Nothing names a queue after its `DropQueue`.
pub trait Store: Send + Sync + 'static {
    /// What is there: topology records and levels. Pages wholly below a level's watermark don't
    /// count.
    ///
    /// # Errors
    /// When the disk fails or holds something damaged.
    fn recover(&self) -> Result<Recovered, StoreError>;

    /// Applies commits in their order, all or none of them, and returns when the strongest
    /// durability asked for is reached. Called by one thread.
    ///
    /// # Errors
    /// After an error nothing is known of these commits: they may or may not be there after a
    /// restart. The store takes no further ones; the process must end.
    fn apply(&self, commits: &[Commit]) -> Result<(), StoreError>;

    /// The pages of a level from the one that covers `from` (or the next one, when `from` is
    /// settled), in order, until the bytes of their messages reach `bytes_max`: at least one
    /// page, when there is one. They end before a damaged page, which the next read is told of. From
    /// any thread; what is applied later is not seen.
    ///
    /// # Errors
    /// When the first page is damaged, or not there although it should be: never silently fewer
    /// messages. What is damaged of a queue concerns that queue alone.
    fn read(
        &self,
        queue: QueueId,
        level: Level,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<Page>, StoreError>;

    /// The delayed messages of a queue from `from` on, those of its clock, in order, until their bytes reach
    /// `bytes_max`: at least one, when there is one. They end before a damaged one, which the next read is
    /// told of. From any thread; what is applied later is not seen.
    ///
    /// # Errors
    /// When the first one is damaged. What is damaged of a queue concerns that queue alone.
    fn read_delayed(
        &self,
        queue: QueueId,
        from: DelayedId,
        bytes_max: usize,
    ) -> Result<DelayedMessages, StoreError>;

    /// Brings everything applied so far to stable storage.
    ///
    /// # Errors
    /// As [`Store::apply`].
    fn sync(&self) -> Result<(), StoreError>;

    /// Whether the store can go on. Called now and then, from any thread.
    ///
    /// # Errors
    /// When something has failed, be it on a thread of the store's own that nobody waits for.
    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether it takes no more writes; asked without waiting for anything.
    fn is_stopped(&self) -> bool {
        false
    }

    /// Bytes that must be free on the disk beside what the operator wants to be free, for merges of
    /// tables. Called now and then, from any thread.
    fn merge_bytes_max(&self) -> u64 {
        0
    }

    /// Gives back space on the disk that is not needed, in the background: it runs short.
    fn give_back(&self) {}

    /// Figures for metrics; cheap enough to be asked every second.
    fn statistics(&self) -> Statistics;
}

/// Delayed messages that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelayedMessages {
    /// In order.
    pub messages: Vec<(DelayedId, Message)>,
    /// Nothing lies behind them.
    pub is_end: bool,
}

/// Figures of a store since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Calls of [`Store::apply`] that succeeded.
    pub applied: u64,
    /// Of these and of [`Store::sync`], those that waited for stable storage.
    pub synced: u64,
    /// Bytes of keys and values handed to the journal.
    pub bytes_written: u64,
    /// Pages read.
    pub pages_read: u64,
    /// Bytes that the store takes on the disk, journals included.
    pub disk_bytes: u64,
    /// Bytes of these that are journals.
    pub journal_bytes: u64,
    /// Dropped queues whose pages are still being removed.
    pub queues_to_remove: u64,
    /// Rounds in which everything that is stored was read again.
    pub scrub_rounds: u64,
    /// Bytes that were read again.
    pub scrub_bytes: u64,
    /// Files found damaged that are there still.
    pub files_damaged: u64,
}
