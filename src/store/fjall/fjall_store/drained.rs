//! What is drained comes back: tables that several queues share, files of bodies, journals.

use super::*;
use crate::check::journal_check;
use crate::fjall::database::Space;
use crate::workload::Workload;
use forebay_engine::operation::Durability;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

const MIB: u64 = 1024 * 1024;
const LEVELS: [(u64, u8); 4] = [(1, 0), (1, 3), (2, 0), (9, 1)];

/// Generous: it ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

struct Ground {
    _directory: tempfile::TempDir,
    store: FjallStore,
    workload: Workload,
}

impl Ground {
    /// A store that holds some 20 MiB of messages of all sizes, mixed in tables and journals.
    fn filled() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = FjallStore::open(directory.path()).unwrap();
        let mut workload = Workload::default();
        for round in 0..24 {
            for (queue, level) in LEVELS {
                let page = workload.publish(
                    QueueId(queue),
                    Level(level),
                    0,
                    &[100, 3_000, 50_000, 150_000],
                );
                store.apply(&[workload.commit(vec![page], Durability::Written)]).unwrap();
            }
            if round % 6 == 5 {
                store.make_tables();
            }
        }
        let ground = Self { _directory: directory, store, workload };
        assert!(ground.taken() > 30 * MIB, "{}", ground.taken());
        ground
    }

    /// Settles all but the first so many of each level, the newest first.
    fn drain(&mut self, left: usize) {
        let waiting = self.workload.waiting(QueueId(1), Level(0)).len();
        for nth in (left..waiting).rev() {
            for (queue, level) in LEVELS {
                let settled = self.workload.settle(QueueId(queue), Level(level), &[nth]);
                let commit = self.workload.commit(settled, Durability::Written);
                self.store.apply(&[commit]).unwrap();
            }
        }
    }

    /// Bytes of tables and journals on the disk.
    fn taken(&self) -> u64 {
        let database = &self.store.shared.database;
        let journals = journal_check::journals(&self.store.shared.database_path()).unwrap();
        // One that was listed may be unlinked by now.
        let sizes = journals.iter().filter_map(|path| path.metadata().ok());
        let blocks: u64 = sizes.map(|size| size.blocks()).sum();
        database.table_bytes() + blocks * 512
    }

    /// Has all given back, until no more than so much is taken.
    fn give_back(&self, bytes_max: u64) {
        self.give_back_above(0, bytes_max);
    }

    fn give_back_above(&self, garbage_min: u64, bytes_max: u64) {
        let began = Instant::now();
        let wanted =
            || ReclaimRequests { give_back_above: Some(garbage_min), ..ReclaimRequests::default() };
        self.store.reclaimer.want(wanted());
        while self.taken() > bytes_max {
            assert!(began.elapsed() < PATIENCE, "{} bytes are taken", self.taken());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_store_that_was_drained_takes_next_to_nothing() {
    let mut ground = Ground::filled();
    ground.drain(0);
    ground.give_back(MIB);
}

#[test]
fn what_stays_behind_in_every_queue_keeps_little_more_than_itself_and_can_be_read() {
    let mut ground = Ground::filled();
    ground.drain(4);
    // 4 times 203,100 bytes.
    ground.give_back(2 * MIB);
    let recovered = ground.store.recover().unwrap();
    assert_eq!(recovered.levels.len(), LEVELS.len());
    for (queue, level) in LEVELS {
        let pages = ground.store.read(QueueId(queue), Level(level), Offset(0), usize::MAX).unwrap();
        let sizes: Vec<_> = pages
            .iter()
            .flat_map(|page| &page.records)
            .map(|record| record.message.size())
            .collect();
        assert_eq!(sizes.len(), 4);
        assert!(sizes.iter().sum::<usize>() >= 203_100);
    }
}

/// Tables that said what was removed went before the older ones that they said it of, which then kept it.
#[test]
fn queues_that_are_drained_one_after_the_other_leave_nothing_beside_a_message_that_stays() {
    let mut ground = Ground::filled();
    for (queue, level) in LEVELS {
        let left = usize::from(queue == 9);
        for nth in (left..96).rev() {
            let settled = ground.workload.settle(QueueId(queue), Level(level), &[nth]);
            let commit = ground.workload.commit(settled, Durability::Written);
            ground.store.apply(&[commit]).unwrap();
        }
        let tables = || ground.store.shared.database.tables(Space::Bodies).len();
        ground.store.make_tables();
        ground
            .store
            .reclaimer
            .want(ReclaimRequests { is_reclaim_due: true, ..ReclaimRequests::default() });
        let (before, began) = (tables(), Instant::now());
        while tables() == before && began.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    ground.give_back(MIB);
    let pages = ground.store.read(QueueId(9), Level(1), Offset(0), usize::MAX).unwrap();
    assert_eq!(pages.len(), 1);
}

/// Once a pass left much, because it was needed, the next one did not look again.
#[test]
fn what_was_needed_at_first_comes_back_once_it_is_not() {
    let mut ground = Ground::filled();
    ground.drain(48);
    ground.give_back_above(MIB, 13 * MIB);
    ground.drain(1);
    ground.give_back_above(MIB, 3 * MIB);
}

#[test]
fn bodies_that_several_queues_had_are_given_back_and_those_in_use_stay() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut ground = Ground { _directory: directory, store, workload: Workload::default() };
    let queues = [1, 2, 3].map(QueueId);
    for round in 0..100 {
        let pages = ground.workload.fan_out(&queues, Level(0), 200_000);
        let commit = ground.workload.commit(pages, Durability::Written);
        ground.store.apply(&[commit]).unwrap();
        if round % 30 == 29 {
            ground.store.make_tables();
        }
    }
    assert!(ground.taken() > 19 * MIB && ground.taken() < 60 * MIB, "{}", ground.taken());
    for queue in queues {
        // The third keeps the last five.
        let count = if queue == QueueId(3) { 95 } else { 100 };
        let settled = ground.workload.settle_oldest(queue, Level(0), count);
        let commit = ground.workload.commit(settled, Durability::Written);
        ground.store.apply(&[commit]).unwrap();
    }
    ground.give_back(2 * MIB);
    let pages = ground.store.read(QueueId(3), Level(0), Offset(0), usize::MAX).unwrap();
    let sizes =
        pages.iter().flat_map(|page| &page.records).map(|record| record.message.body().len());
    assert_eq!(sizes.collect::<Vec<_>>(), [200_000; 5]);
}

#[test]
fn dropped_queues_give_back_what_they_took_beside_one_that_stays() {
    let mut ground = Ground::filled();
    let drops = [2, 9].map(|queue| ground.workload.drop_queue(QueueId(queue)));
    let commit = ground.workload.commit(drops.to_vec(), Durability::Written);
    ground.store.apply(&[commit]).unwrap();
    while ground.store.statistics().queues_to_remove > 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Half of all that was published: 2 levels, 24 pages, 203,100 bytes.
    ground.give_back(12 * MIB);
    let pages = ground.store.read(QueueId(1), Level(3), Offset(0), usize::MAX).unwrap();
    assert_eq!(pages.len(), 24);
}
