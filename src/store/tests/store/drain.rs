//! A backlog that was consumed gives its disk space back.

use crate::workload::Workload;
use forebay_engine::model::{Level, Offset, QueueId};
use forebay_engine::operation::Durability;
use forebay_store::{FjallStore, Store};
use std::path::Path;
use std::time::{Duration, Instant};

const QUEUE: QueueId = QueueId(1);
const LANE: Level = Level(0);
const PAGES: u64 = 250;
/// Bytes of bodies in a page.
const PAGE_SIZE: usize = 1_000_000;
const BODY_SIZE: usize = 20_000;
const MESSAGES: usize = PAGE_SIZE / BODY_SIZE;

fn bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => bytes(&entry.path()),
            // What is allocated: a fresh journal is a sparse file.
            Ok(data) => std::os::unix::fs::MetadataExt::blocks(&data) * 512,
            // Unlinked meanwhile.
            Err(_) => 0,
        })
        .sum()
}

fn fill(store: &FjallStore, workload: &mut Workload) {
    for _ in 0..PAGES {
        let page = workload.publish(QUEUE, LANE, 0, &[BODY_SIZE; MESSAGES]);
        store.apply(&[workload.commit(vec![page], Durability::Written)]).unwrap();
    }
}

#[track_caller]
fn wait_for(what: &str, is_done: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_done() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_drained_queue_gives_its_space_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut workload = Workload::default();
    fill(&store, &mut workload);
    assert!(bytes(directory.path()) > PAGES * PAGE_SIZE as u64 / 2);
    while let Some(first) = workload.waiting(QUEUE, LANE).first() {
        let page = store.read(QUEUE, LANE, Offset(*first), 1).unwrap();
        let count = page.first().unwrap().records.len();
        let operations = workload.settle_oldest(QUEUE, LANE, count);
        store.apply(&[workload.commit(operations, Durability::Written)]).unwrap();
    }
    wait_for("the space of a drained queue", || bytes(directory.path()) < 100_000_000);
    drop(store);
    let store = FjallStore::open(directory.path()).unwrap();
    let levels = store.recover().unwrap().levels;
    assert_eq!(levels.len(), 1);
    assert_eq!(levels.first().unwrap().last_page, None);
    assert_eq!(store.read(QUEUE, LANE, Offset(0), usize::MAX).unwrap(), vec![]);
}

#[test]
fn a_dropped_queue_gives_its_space_back_and_spares_its_neighbour() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut workload = Workload::default();
    let neighbour = QueueId(2);
    let page = workload.publish(neighbour, LANE, 0, &[100; 10]);
    store.apply(&[workload.commit(vec![page], Durability::Written)]).unwrap();
    fill(&store, &mut workload);
    let drop_queue = workload.drop_queue(QUEUE);
    store.apply(&[workload.commit(vec![drop_queue], Durability::Written)]).unwrap();
    // Killed or stopped at any point, it goes on where it was.
    drop(store);
    let store = FjallStore::open(directory.path()).unwrap();
    wait_for("the removal of a dropped queue", || store.statistics().queues_to_remove == 0);
    wait_for("the space of a dropped queue", || bytes(directory.path()) < 100_000_000);
    let recovered = store.recover().unwrap();
    assert_eq!(recovered.levels.len(), 1);
    assert_eq!(store.read(neighbour, LANE, Offset(3), usize::MAX).unwrap().len(), 1);
}
