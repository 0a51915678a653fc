//! The seam for more than one machine: a store that is given the log of a run has what the store of
//! the run has.

use forebay_engine::model::{DelayedId, Offset};
use forebay_engine::operation::{Commit, Recovered};
use forebay_engine::page::Page;
use forebay_store::{MemoryStore, Store};

/// Applies the log to a new store and compares that with the one that was there.
///
/// # Panics
/// When they differ.
pub(crate) fn check(log: &[Commit], original: &MemoryStore) {
    let is_same = content(&apply(log)) == content(original);
    assert!(is_same, "the log gives another state than the store has");
}

fn apply(log: &[Commit]) -> MemoryStore {
    let store = MemoryStore::new();
    for commit in log {
        store.apply(std::slice::from_ref(commit)).expect("a store in memory");
    }
    store
}

/// Records, levels, pages and delayed messages.
fn content(store: &MemoryStore) -> String {
    let Recovered { records, levels, delayed, .. } = store.recover().expect("what a store holds");
    let pages = levels.iter().map(|level| {
        let pages = store.read(level.queue, level.level, Offset(0), usize::MAX);
        pages.expect("pages without a hole")
    });
    let pages: Vec<Vec<Page>> = pages.collect();
    let waiting = delayed.iter().map(|order| {
        let first = DelayedId::lowest(order.clock);
        store.read_delayed(order.queue, first, usize::MAX).expect("delayed messages").messages
    });
    let waiting: Vec<_> = waiting.collect();
    format!("{records:?} {levels:?} {pages:?} {delayed:?} {waiting:?}")
}
