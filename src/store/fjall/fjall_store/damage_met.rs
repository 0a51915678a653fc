//! Damage that the store itself meets: while it gives space back, and while it merges tables.

use super::*;
use crate::fjall::database::Space;
use crate::format::key;
use crate::workload::Workload;
use forebay_engine::operation::Durability;
use forebay_engine::operation::Operation;
use std::fs;
use std::path::PathBuf;

const DROPPED: QueueId = QueueId(1);
const KEPT: QueueId = QueueId(2);

/// The tables of a keyspace.
fn tables(directory: &Path, space: Space) -> Vec<PathBuf> {
    let id = space as u64 + 1;
    let tables = fs::read_dir(directory.join(format!("fjall/keyspaces/{id}/tables"))).unwrap();
    tables.map(|entry| entry.unwrap().path()).collect()
}

/// Two queues in one table of pages, the first block of which is damaged: it holds the first page of
/// the queue with the lower id.
fn damaged() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let store = FjallStore::open(&path).unwrap();
    let mut workload = Workload::default();
    for _ in 0..4 {
        for queue in [DROPPED, KEPT] {
            let page = workload.publish(queue, Level(0), 0, &[6_000, 6_000]);
            store.apply(&[workload.commit(vec![page], Durability::Synced)]).unwrap();
        }
    }
    store.make_tables();
    drop(store);
    let table = tables(&path, Space::Pages).into_iter().next().unwrap();
    let mut bytes = fs::read(&table).unwrap();
    bytes[3_000] ^= 4;
    fs::write(&table, bytes).unwrap();
    (directory, path)
}

fn drop_queue(store: &FjallStore) {
    let operations = vec![Operation::DropQueue { queue: DROPPED }];
    let commit = Commit {
        id: forebay_engine::model::CommitId(99),
        epoch: forebay_engine::model::Epoch(0),
        operations,
        durability: Durability::Synced,
    };
    store.apply(&[commit]).unwrap();
    while !store.reclaimer.is_idle() && !store.is_stopped() {
        std::thread::yield_now();
    }
}

/// No message needs what is left of a deleted queue.
#[test]
fn damage_of_a_dropped_queue_does_not_stop_the_store() {
    let (_directory, path) = damaged();
    let store = FjallStore::open(&path).unwrap();
    assert!(store.read(DROPPED, Level(0), Offset(0), usize::MAX).is_err());
    drop_queue(&store);
    store.check().unwrap();
    assert_eq!(store.statistics().queues_to_remove, 1);
    assert_eq!(store.read(KEPT, Level(0), Offset(0), usize::MAX).unwrap().len(), 4);
    drop(store);
    // The mark of the dropped queue is met again by the reclaimer of the next start.
    let store = FjallStore::open(&path).unwrap();
    while !store.reclaimer.is_idle() && !store.is_stopped() {
        std::thread::yield_now();
    }
    store.check().unwrap();
    assert_eq!(store.read(KEPT, Level(0), Offset(0), usize::MAX).unwrap().len(), 4);
}

#[test]
fn an_error_of_fjalls_about_damage_names_the_file_and_its_keyspace() {
    let (_directory, path) = damaged();
    let store = FjallStore::open(&path).unwrap();
    let (first, last) = key::queue_range(DROPPED);
    let view = store.shared.database.view();
    let error = view.sizes(Space::Pages, &first, &last).find_map(Result::err).unwrap();
    let text = store.shared.damage_behind(&error).unwrap().to_string();
    let table = tables(&path, Space::Pages).into_iter().next().unwrap();
    let table = table.strip_prefix(&path).unwrap().display().to_string();
    assert!(text.contains(&format!("file {table}")) && text.contains("keyspace pages"), "{text}");
    let StoreError::Damaged(damage) = store.shared.stop("do something", error) else {
        panic!("it is damage whoever meets it")
    };
    assert_eq!(damage.file, Some(table.into()));
}

/// Otherwise the broker would come up and end with each compaction.
#[test]
fn damage_that_a_compaction_meets_is_noted_and_the_next_start_refuses_it() {
    let (_directory, path) = damaged();
    let table = tables(&path, Space::Pages).into_iter().next().unwrap();
    let store = FjallStore::open(&path).unwrap();
    let mut workload = Workload::default();
    // So many tables above the damaged one that fjall merges them with it.
    while store.check().is_ok() {
        let page = workload.publish(QueueId(1), Level(1), 0, &[100]);
        let commit = workload.commit(vec![page], Durability::Synced);
        if store.apply(&[commit]).is_ok() && store.shared.database.rotate().is_ok() {
            while !store.shared.database.is_flushed() && store.check().is_ok() {
                std::thread::yield_now();
            }
        }
    }
    let named = |error: &StoreError| {
        let file = table.strip_prefix(&path).unwrap().display().to_string();
        error.to_string().contains(&format!("file {file}"))
    };
    assert!(named(&store.check().unwrap_err()));
    drop(store);
    for _ in 0..2 {
        let error = FjallStore::open(&path).unwrap_err();
        assert!(named(&error), "{error}");
        assert!(matches!(error, StoreError::Damaged(_)));
    }
    // As if the file came from a backup.
    let mut bytes = fs::read(&table).unwrap();
    bytes[3_000] ^= 4;
    fs::write(&table, bytes).unwrap();
    let store = FjallStore::open(&path).unwrap();
    assert_eq!(store.read(KEPT, Level(0), Offset(0), usize::MAX).unwrap().len(), 4);
    drop(store);
    assert!(!path.join("DAMAGED").exists());
}

/// Readers know of a queue for a moment longer than the store.
#[test]
fn a_queue_that_is_dropped_while_it_is_read_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    for number in 1..=12 {
        let mut workload = Workload::default();
        let queue = QueueId(number);
        // Enough for its tables to go as a whole.
        for _ in 0..10 {
            let page = workload.publish(queue, Level(0), 0, &[60_000; 30]);
            store.apply(&[workload.commit(vec![page], Durability::Written)]).unwrap();
        }
        store.make_tables();
        std::thread::scope(|scope| {
            let (started, is_started) = std::sync::mpsc::channel();
            let store = &store;
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let started = started.clone();
                    scope.spawn(move || {
                        loop {
                            let pages = store.read(queue, Level(0), Offset(0), usize::MAX).unwrap();
                            let _ = started.send(());
                            // All of it, or nothing: it is gone.
                            match pages.len() {
                                0 => return,
                                pages => assert_eq!(pages, 10),
                            }
                        }
                    })
                })
                .collect();
            is_started.recv().unwrap();
            let drop_queue = workload.drop_queue(queue);
            store.apply(&[workload.commit(vec![drop_queue], Durability::Synced)]).unwrap();
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
        while !store.reclaimer.is_idle() && !store.is_stopped() {
            std::thread::yield_now();
        }
    }
    store.check().unwrap();
    assert!(!directory.path().join("DAMAGED").exists());
}

/// A reader that took its view before a queue was dropped reads the queue to its end.
#[test]
fn a_view_from_before_a_drop_has_everything() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut workload = Workload::default();
    for _ in 0..10 {
        let page = workload.publish(DROPPED, Level(0), 0, &[60_000; 30]);
        store.apply(&[workload.commit(vec![page], Durability::Written)]).unwrap();
    }
    store.make_tables();
    let view = store.shared.database.view();
    let state = store.shared.levels.read().unwrap().get(DROPPED, Level(0)).unwrap();
    drop_queue(&store);
    assert_eq!(store.statistics().queues_to_remove, 0);
    let reader =
        crate::fjall::reading::LevelReader { view: &view, queue: DROPPED, level: Level(0) };
    assert_eq!(reader.read(state, Offset(0), usize::MAX).unwrap().len(), 10);
    assert_eq!(store.read(DROPPED, Level(0), Offset(0), usize::MAX).unwrap(), []);
}

/// What stands before the damage is delivered, up to the block that is damaged.
#[test]
fn every_page_before_a_damaged_block_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut workload = Workload::default();
    // Several pages in a block, and several blocks.
    for _ in 0..40 {
        let page = workload.publish(KEPT, Level(0), 0, &[1_000]);
        store.apply(&[workload.commit(vec![page], Durability::Synced)]).unwrap();
    }
    store.make_tables();
    drop(store);
    let table = tables(directory.path(), Space::Pages).into_iter().next().unwrap();
    let mut bytes = fs::read(&table).unwrap();
    bytes[20_000] ^= 4;
    fs::write(&table, bytes).unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    // As a queue reads: on from where the last read ended.
    let mut end = Offset(0);
    let error = loop {
        match store.read(KEPT, Level(0), end, usize::MAX) {
            Ok(pages) => end = pages.last().unwrap().end,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("file fjall/keyspaces/1/tables/"), "{error}");
    assert!((10..20).contains(&end.0), "{end}");
    for from in (0..end.0).map(Offset) {
        let pages = store.read(KEPT, Level(0), from, usize::MAX).unwrap();
        assert_eq!(pages.first().unwrap().first, from);
        assert!(pages.last().unwrap().end <= end);
    }
}
