//! How much memory the store may take. Values, because a small machine has smaller ones.

use crate::limits::{CACHE_SIZE, MEMTABLE_SIZE_MAX, PAGES_MEMTABLE_SIZE_MAX, SEALED_MEMTABLES_MAX};

/// Bounds in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreMemory {
    /// Blocks of tables that were read.
    pub cache: u64,
    /// A memtable of pages, or of large bodies.
    pub pages_memtable: u64,
    /// A memtable of what is small.
    pub memtable: u64,
}

impl Default for StoreMemory {
    fn default() -> Self {
        Self {
            cache: CACHE_SIZE,
            pages_memtable: PAGES_MEMTABLE_SIZE_MAX,
            memtable: MEMTABLE_SIZE_MAX,
        }
    }
}

impl StoreMemory {
    /// What memtables and cache can take together: of each keyspace one memtable that is written, and
    /// others on their way to tables.
    #[must_use]
    pub fn most(self) -> u64 {
        let memtables = 1 + SEALED_MEMTABLES_MAX as u64;
        let of_spaces = 2 * (self.pages_memtable + self.memtable) + self.delayed_memtable();
        self.cache + memtables * of_spaces
    }

    /// A memtable of delayed messages. They live long, and are merged the more often the smaller their tables
    /// are.
    #[must_use]
    pub fn delayed_memtable(self) -> u64 {
        self.pages_memtable / 4
    }
}
