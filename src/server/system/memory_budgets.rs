//! How much memory each part of the broker may take, by what there is in all: the figures of
//! `limits.rs` on a machine of 512 MiB or more, proportionally less below, down to
//! [`MEMORY_LIMIT_MIN`].

use crate::limits::{
    FULL_BUDGETS_MEMORY, MEMORY_LIMIT_MIN, MESSAGE_MEMORY_SHARE, PASSWORD_CHECK_MEMORY_SHARE,
    PASSWORD_HASH_MEMORY_KIB_MAX, PUBLISH_BUDGET_BYTES_MAX,
};
use forebay_engine::shard::MemoryLimits;
use forebay_store::StoreMemory;
use forebay_wire::limits::MESSAGE_SIZE_MAX;

/// All of them, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryBudgets {
    /// All that the process may use.
    pub(crate) all: u64,
    /// Published messages that are not on stable storage.
    pub(crate) publishes: usize,
    pub(crate) queues: MemoryLimits,
    pub(crate) store: StoreMemory,
    /// Unfinished bodies and transactions of a connection.
    pub(crate) unfinished: usize,
}

impl MemoryBudgets {
    /// Those for a process that may use so much.
    pub(crate) fn of(memory: u64) -> Self {
        let share = |full: u64| {
            let memory = memory.clamp(MEMORY_LIMIT_MIN, FULL_BUDGETS_MEMORY);
            full / 1024 * memory / (FULL_BUDGETS_MEMORY / 1024)
        };
        let (queues, store) = (MemoryLimits::default(), StoreMemory::default());
        Self {
            all: memory,
            publishes: share(PUBLISH_BUDGET_BYTES_MAX as u64) as usize,
            queues: MemoryLimits {
                volatile: share(queues.volatile),
                cached: share(queues.cached),
                replies: share(queues.replies as u64) as usize,
                output: share(queues.output as u64) as usize,
                lives: share(queues.lives),
            },
            store: StoreMemory {
                cache: share(store.cache),
                pages_memtable: share(store.pages_memtable),
                memtable: share(store.memtable),
            },
            unfinished: (2 * message_size_max(memory)) as usize,
        }
    }
}

/// Bytes of a message's body at most, when nothing else is configured.
pub(crate) fn message_size_max(memory: u64) -> u64 {
    (memory / MESSAGE_MEMORY_SHARE).min(MESSAGE_SIZE_MAX)
}

/// KiB that a password check may take.
pub(crate) fn password_memory_kib_max(memory: u64) -> u32 {
    let most = memory / PASSWORD_CHECK_MEMORY_SHARE / 1024;
    u32::try_from(most).unwrap_or(u32::MAX).min(PASSWORD_HASH_MEMORY_KIB_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::UNAWAITED_BUDGET_BYTES_MAX;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_large_machine_has_the_full_budgets_and_a_small_one_its_part() {
        let full = MemoryBudgets::of(FULL_BUDGETS_MEMORY);
        assert_eq!(full.publishes, PUBLISH_BUDGET_BYTES_MAX);
        assert_eq!((full.queues, full.store), (MemoryLimits::default(), StoreMemory::default()));
        assert_eq!(message_size_max(u64::MAX), MESSAGE_SIZE_MAX);
        let small = MemoryBudgets::of(MEMORY_LIMIT_MIN);
        assert_eq!(small.publishes, PUBLISH_BUDGET_BYTES_MAX / 4);
        assert_eq!(small.queues.volatile, MemoryLimits::default().volatile / 4);
        assert_eq!(small.store.pages_memtable, StoreMemory::default().pages_memtable / 4);
        assert_eq!(message_size_max(MEMORY_LIMIT_MIN), 8 * MIB);
        assert_eq!(password_memory_kib_max(MEMORY_LIMIT_MIN), 32 * 1024);
    }

    #[test]
    fn what_may_be_taken_at_once_fits_into_the_smallest_machine() {
        let MemoryBudgets { all: _, publishes, queues, store, unfinished } =
            MemoryBudgets::of(MEMORY_LIMIT_MIN);
        let check = 19 * MIB;
        let all = publishes as u64 * 2
            + queues.volatile
            + queues.cached
            + queues.lives
            + store.most()
            + unfinished as u64
            + check;
        assert!(all <= MEMORY_LIMIT_MIN * 3 / 4, "{all}");
        assert!(UNAWAITED_BUDGET_BYTES_MAX <= publishes);
    }
}
