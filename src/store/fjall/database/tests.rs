use super::*;
use crate::format::key;
use crate::limits::PAGES_MEMTABLE_SIZE_MAX;
use forebay_engine::model::{Level, Offset, QueueId};
use tempfile::TempDir;

fn open() -> (TempDir, Database) {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("db")).unwrap();
    (directory, database)
}

fn key(number: u64) -> Bytes {
    key::page(QueueId(1), Level(0), Offset(number))
}

fn keys(database: &Database, space: Space) -> Vec<Bytes> {
    database.view().keys(space, &key(0), &key(u64::MAX)).map(Result::unwrap).collect()
}

fn put(database: &Database, space: Space, numbers: std::ops::Range<u64>, size: usize) {
    for number in numbers {
        let mut batch = database.batch();
        batch.insert(space, key(number), vec![number as u8; size].into());
        batch.commit(Durability::Written).unwrap();
    }
}

fn remove_weak(database: &Database, numbers: std::ops::Range<u64>) {
    let mut batch = database.batch();
    for number in numbers {
        batch.remove_page(key(number));
    }
    batch.commit(Durability::Written).unwrap();
}

fn flush(database: &Database, space: Space) {
    database.keyspace(space).rotate_memtable_and_wait().unwrap();
}

#[test]
fn a_weakly_removed_key_is_gone_in_memory_in_tables_and_after_a_merge() {
    let (_directory, database) = open();
    put(&database, Space::Pages, 0..30, 1000);
    remove_weak(&database, 0..10);
    assert_eq!(keys(&database, Space::Pages).len(), 20);
    flush(&database, Space::Pages);
    remove_weak(&database, 10..20);
    assert_eq!(keys(&database, Space::Pages).len(), 10);
    flush(&database, Space::Pages);
    assert_eq!(keys(&database, Space::Pages).len(), 10);
    database.pages.major_compact().unwrap();
    assert_eq!(keys(&database, Space::Pages), (20..30).map(key).collect::<Vec<_>>());
}

#[test]
fn what_is_put_and_weakly_removed_before_a_flush_takes_no_disk() {
    let (_directory, database) = open();
    put(&database, Space::Pages, 0..500, 10_000);
    remove_weak(&database, 0..500);
    flush(&database, Space::Pages);
    assert!(database.pages.disk_space() < 100_000, "{}", database.pages.disk_space());
}

/// Without a heartbeat these memories would stay, and the fourth would stop all writes.
#[test]
fn memory_whose_pages_are_all_removed_is_let_go_of() {
    let (_directory, database) = open();
    for round in 0..6 {
        put(&database, Space::Pages, round * 10..round * 10 + 10, 1000);
        remove_weak(&database, round * 10..round * 10 + 10);
        flush(&database, Space::Pages);
        assert_eq!(database.pages.sealed_memtable_count(), 0);
    }
}

#[test]
fn dropping_a_range_unlinks_whole_tables_and_spares_its_neighbours() {
    let (_directory, database) = open();
    put(&database, Space::Pages, 0..100, 10_000);
    flush(&database, Space::Pages);
    put(&database, Space::Pages, 100..200, 10_000);
    flush(&database, Space::Pages);
    let before = database.pages.disk_space();
    database.drop_range(Space::Pages, &key(0), &key(150)).unwrap();
    assert_eq!(keys(&database, Space::Pages), (100..200).map(key).collect::<Vec<_>>());
    assert!(database.pages.disk_space() * 2 <= before + 1000);
}

#[test]
fn a_view_is_not_touched_by_later_removals_and_drops() {
    let (_directory, database) = open();
    put(&database, Space::Pages, 0..100, 10_000);
    flush(&database, Space::Pages);
    let view = database.view();
    remove_weak(&database, 0..50);
    database.drop_range(Space::Pages, &key(0), &key(99)).unwrap();
    assert!(keys(&database, Space::Pages).len() < 100);
    assert_eq!(view.keys(Space::Pages, &key(0), &key(100)).map(Result::unwrap).count(), 100);
}

#[test]
fn a_batch_is_seen_whole_or_not_at_all() {
    let (_directory, database) = open();
    let writer = database.clone();
    let thread = std::thread::spawn(move || {
        for number in 0..2000_u64 {
            let mut batch = writer.batch();
            batch.insert(Space::Pages, key(0), key(number));
            batch.insert(Space::Acks, key(0), key(number));
            batch.commit(Durability::Written).unwrap();
        }
    });
    while !thread.is_finished() {
        let view = database.view();
        let pages = view.get(Space::Pages, &key(0)).unwrap();
        assert_eq!(pages, view.get(Space::Acks, &key(0)).unwrap());
    }
    thread.join().unwrap();
}

#[test]
fn rotation_unlinks_the_journals_even_when_pages_have_cancelled_out() {
    let (_directory, database) = open();
    for round in 0..5_u64 {
        let numbers = round * 10_000..round * 10_000 + 300;
        put(&database, Space::Meta, 0..1, 10);
        put(&database, Space::Pages, numbers.clone(), 100_000);
        remove_weak(&database, numbers);
        database.rotate().unwrap();
        SPACES.into_iter().for_each(|space| flush(&database, space));
    }
    database.rotate().unwrap();
    SPACES.into_iter().for_each(|space| flush(&database, space));
    database.rotate().unwrap();
    SPACES.into_iter().for_each(|space| flush(&database, space));
    assert!(database.journal_count() <= 3, "{} journals", database.journal_count());
}

#[test]
fn a_body_put_is_not_copied_and_comes_back_after_a_flush() {
    let (_directory, database) = open();
    let body = Bytes::from(vec![7; 200_000]);
    let mut batch = database.batch();
    batch.insert(Space::Bodies, key(1), body.clone());
    batch.commit(Durability::Synced).unwrap();
    let read = database.view().get(Space::Bodies, &key(1)).unwrap().unwrap();
    assert_eq!(read.as_ptr(), body.as_ptr());
    flush(&database, Space::Bodies);
    assert_eq!(database.view().get(Space::Bodies, &key(1)).unwrap().unwrap(), body);
}

#[test]
fn keyspaces_are_numbered_as_they_are_created() {
    let (directory, database) = open();
    let ids = |database: &Database| SPACES.map(|space| database.keyspace(space).id());
    assert_eq!(ids(&database), [1, 2, 3, META_ID, DELAYED_ID]);
    drop(database);
    let database = Database::open(&directory.path().join("db")).unwrap();
    assert_eq!(ids(&database), [1, 2, 3, META_ID, DELAYED_ID]);
}

#[test]
fn a_table_of_one_level_lies_within_it_although_pages_were_removed() {
    let (_directory, database) = open();
    put(&database, Space::Pages, 0..100, 10_000);
    remove_weak(&database, 0..10);
    flush(&database, Space::Pages);
    let (first, last) = key::queue_range(QueueId(1));
    database.drop_range(Space::Pages, &first, &last).unwrap();
    assert!(keys(&database, Space::Pages).is_empty());
    assert!(database.pages.disk_space() < 10_000);
}

/// Dropping the newest tables makes a keyspace look older than the journals that name it.
#[test]
fn journals_are_unlinked_after_tables_were_dropped() {
    let (_directory, database) = open();
    put(&database, Space::Pages, 0..700, 100_000);
    SPACES.into_iter().for_each(|space| flush(&database, space));
    put(&database, Space::Pages, 700..1400, 100_000);
    SPACES.into_iter().for_each(|space| flush(&database, space));
    let (first, last) = key::queue_range(QueueId(1));
    database.drop_range(Space::Pages, &first, &last).unwrap();
    for _ in 0..2 {
        database.let_go().unwrap();
        SPACES.into_iter().for_each(|space| flush(&database, space));
    }
    assert!(database.journal_count() <= 2, "{} journals", database.journal_count());
}

#[test]
fn full_memory_goes_to_tables_however_busy_the_worker_is() {
    let (_directory, database) = open();
    put(&database, Space::Pages, 0..60, 1024 * 1024);
    assert!(database.pages.tree.active_memtable().size() <= PAGES_MEMTABLE_SIZE_MAX);
    assert!(database.pages.sealed_memtable_count() <= SEALED_MEMTABLES_MAX);
    assert_eq!(keys(&database, Space::Pages).len(), 60);
}

#[test]
fn a_key_does_not_hold_on_to_its_block() {
    let (_directory, database) = open();
    put(&database, Space::Pages, 0..10, 100);
    flush(&database, Space::Pages);
    assert!(keys(&database, Space::Pages).iter().all(Bytes::is_unique));
}
