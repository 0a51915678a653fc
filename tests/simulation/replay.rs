//! The seam for more than one machine: applying one log of operations gives one state, whoever does
//! it and however often.

use forebay_engine::model::Offset;
use forebay_engine::operation::{Commit, Recovered};
use forebay_engine::page::Page;
use forebay_store::{MemoryStore, Store};

/// Applies the log to two stores and compares them with each other and with the one that was there.
///
/// # Panics
/// When they differ.
pub(crate) fn check(log: &[Commit], original: &MemoryStore) {
    let [one, other] = [apply(log), apply(log)];
    let [one, other, original] = [&one, &other, original].map(content);
    assert!(one == other, "one log, two states");
    assert!(one == original, "the log gives another state than the store has");
}

fn apply(log: &[Commit]) -> MemoryStore {
    let store = MemoryStore::new();
    for commit in log {
        store.apply(std::slice::from_ref(commit)).expect("a store in memory");
    }
    store
}

/// Records, levels and pages.
fn content(store: &MemoryStore) -> String {
    let Recovered { records, levels, .. } = store.recover().expect("what a store holds");
    let pages = levels.iter().map(|level| {
        let pages = store.read(level.queue, level.level, Offset(0), usize::MAX);
        pages.expect("pages without a hole")
    });
    let pages: Vec<Vec<Page>> = pages.collect();
    format!("{records:?} {levels:?} {pages:?}")
}
