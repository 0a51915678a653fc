//! Random commits, flushes, reclaiming and reopening, against the store in memory as the model.

use super::*;
use crate::MemoryStore;
use crate::damage::Damage;
use crate::fjall::database::Space;
use crate::fjall::shared_bodies;
use crate::format::key;
use crate::workload::{Workload, put_record};
use bytes::Bytes;
use forebay_engine::model::BodyId;
use forebay_engine::operation::Durability;
use forebay_engine::operation::Operation;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        queue: u64,
        level: u8,
        skipped: u64,
        sizes: Vec<usize>,
    },
    /// To all queues.
    FanOut {
        level: u8,
        size: usize,
    },
    /// As a dead letter of what was sent to all.
    Copy {
        queue: u64,
        level: u8,
        nth: usize,
    },
    Settle {
        queue: u64,
        level: u8,
        nth: Vec<usize>,
    },
    Record {
        key: u8,
        value: Option<u64>,
    },
    Drop {
        queue: u64,
    },
    /// Closes a commit; `true` also hands what was gathered to the stores.
    Commit {
        is_synced: bool,
        is_last: bool,
    },
    Flush,
    Reclaim,
    GiveBack,
    Read {
        queue: u64,
        level: u8,
        from: u64,
        bytes_max: usize,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let place = (0_u64..3, 0_u8..2);
    let skipped = prop_oneof![8 => 0_u64..3, 1 => Just(65_530_u64)];
    let size = prop_oneof![8 => 0_usize..300, 1 => Just(70_000_usize)];
    prop_oneof![
        8 => (place.clone(), skipped, proptest::collection::vec(size, 0..5)).prop_map(
            |((queue, level), skipped, sizes)| {
                let skipped = if sizes.is_empty() { skipped + 1 } else { skipped };
                Step::Publish { queue, level, skipped, sizes }
            }
        ),
        4 => (0_u8..2, prop_oneof![Just(5_000_usize), Just(70_000)])
            .prop_map(|(level, size)| Step::FanOut { level, size }),
        3 => (place.clone(), 0_usize..20)
            .prop_map(|((queue, level), nth)| Step::Copy { queue, level, nth }),
        8 => (place.clone(), proptest::collection::vec(0_usize..8, 0..6))
            .prop_map(|((queue, level), nth)| Step::Settle { queue, level, nth }),
        2 => (0_u8..4, any::<Option<u64>>()).prop_map(|(key, value)| Step::Record { key, value }),
        1 => (0_u64..3).prop_map(|queue| Step::Drop { queue }),
        6 => (any::<bool>(), any::<bool>())
            .prop_map(|(is_synced, is_last)| Step::Commit { is_synced, is_last }),
        1 => Just(Step::Flush),
        1 => Just(Step::Reclaim),
        1 => Just(Step::GiveBack),
        6 => (place, prop_oneof![0_u64..30, 65_525_u64..65_560], 0_usize..1000)
            .prop_map(|((queue, level), from, bytes_max)| {
                Step::Read { queue, level, from, bytes_max }
            }),
        1 => Just(Step::Reopen),
    ]
}

struct Run {
    directory: tempfile::TempDir,
    store: Option<FjallStore>,
    model: MemoryStore,
    workload: Workload,
    /// Queue numbers of the steps; a dropped queue gets a new one.
    generations: [u64; 3],
    operations: Vec<Operation>,
    commits: Vec<Commit>,
}

impl Run {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Some(FjallStore::open(directory.path()).unwrap());
        Self {
            directory,
            store,
            model: MemoryStore::new(),
            workload: Workload::default(),
            generations: [0; 3],
            operations: Vec::new(),
            commits: Vec::new(),
        }
    }

    fn store(&self) -> &FjallStore {
        self.store.as_ref().unwrap()
    }

    fn queue(&self, queue: u64) -> QueueId {
        QueueId(queue + 10 * self.generations[queue as usize])
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish { queue, level, skipped, sizes } => {
                let queue = self.queue(queue);
                let operation = self.workload.publish(queue, Level(level), skipped, &sizes);
                self.operations.push(operation);
            }
            Step::FanOut { level, size } => {
                let queues = [0, 1, 2].map(|queue| self.queue(queue));
                self.operations.extend(self.workload.fan_out(&queues, Level(level), size));
            }
            Step::Copy { queue, level, nth } => {
                let queue = self.queue(queue);
                self.operations.extend(self.workload.copy(queue, Level(level), nth));
            }
            Step::Settle { queue, level, nth } => {
                let queue = self.queue(queue);
                self.operations.extend(self.workload.settle(queue, Level(level), &nth));
            }
            Step::Record { key, value } => self.operations.push(match value {
                Some(value) => put_record(key, value),
                None => Operation::RemoveRecord { key: Bytes::from(vec![b'q', key]) },
            }),
            Step::Drop { queue } => {
                let dropped = self.queue(queue);
                self.operations.push(self.workload.drop_queue(dropped));
                self.generations[queue as usize] += 1;
            }
            Step::Commit { is_synced, is_last } => self.commit(is_synced, is_last),
            Step::Flush => self.store().shared.database.rotate().unwrap(),
            Step::Reclaim => {
                self.store()
                    .reclaimer
                    .want(ReclaimRequests { is_reclaim_due: true, ..ReclaimRequests::default() });
            }
            Step::GiveBack => {
                let wanted =
                    ReclaimRequests { give_back_above: Some(0), ..ReclaimRequests::default() };
                self.store().reclaimer.want(wanted);
            }
            Step::Read { queue, level, from, bytes_max } => {
                let queue = self.queue(queue);
                self.compare_read(queue, Level(level), Offset(from), bytes_max);
            }
            Step::Reopen => self.reopen(),
        }
    }

    fn commit(&mut self, is_synced: bool, is_last: bool) {
        let durability = if is_synced { Durability::Synced } else { Durability::Written };
        let operations = std::mem::take(&mut self.operations);
        self.commits.push(self.workload.commit(operations, durability));
        if is_last {
            let commits = std::mem::take(&mut self.commits);
            self.store().apply(&commits).unwrap();
            self.model.apply(&commits).unwrap();
        }
    }

    fn compare_read(&self, queue: QueueId, level: Level, from: Offset, bytes_max: usize) {
        let read = self.store().read(queue, level, from, bytes_max).unwrap();
        assert_eq!(read, self.model.read(queue, level, from, bytes_max).unwrap());
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(FjallStore::open(self.directory.path()).unwrap());
        self.compare();
    }

    fn compare(&self) {
        let (found, expected) = (self.store().recover().unwrap(), self.model.recover().unwrap());
        assert_eq!(found.records, expected.records);
        assert_eq!(found.levels, expected.levels);
        for level in found.levels {
            self.compare_read(level.queue, level.level, Offset(0), usize::MAX);
        }
        self.compare_bodies();
    }

    /// Each body that several messages have is there once, and counted as often as pages have it.
    fn compare_bodies(&self) {
        while self.store().statistics().queues_to_remove > 0 {
            std::thread::yield_now();
        }
        let mut expected: BTreeMap<BodyId, u64> = BTreeMap::new();
        for level in self.model.recover().unwrap().levels {
            let pages = self.model.read(level.queue, level.level, Offset(0), usize::MAX).unwrap();
            let records = pages.iter().flat_map(|page| &page.records);
            for id in records.filter_map(|record| record.message.shared_body()) {
                *expected.entry(id).or_default() += 1;
            }
        }
        let view = self.store().shared.database.view();
        let (first, last) = key::shared_bodies_range();
        let stored = view.keys(Space::Bodies, &first, &last);
        let stored = stored.map(|key| key::parse_shared_body(&key.unwrap()).unwrap());
        assert_eq!(stored.collect::<Vec<_>>(), expected.keys().copied().collect::<Vec<_>>());
        let prefix = key::meta_prefix(key::MetaKind::BodyCount);
        let counts = view.prefix(Space::Meta, &prefix).map(|item| {
            let (key, value) = item.unwrap();
            shared_bodies::decode_count(&key, &value).unwrap()
        });
        assert_eq!(counts.collect::<Vec<_>>(), expected.into_values().collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn it_holds_what_the_model_holds(steps in proptest::collection::vec(step(), 1..80)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        run.commit(true, true);
        run.compare();
        run.reopen();
    }
}

/// A store with two pages of three messages each in one level.
/// Everything that a level holds.
///
/// # Errors
/// When a page is damaged or missing.
pub(super) fn read_all(
    store: &FjallStore,
    queue: QueueId,
    level: Level,
) -> Result<Vec<Page>, StoreError> {
    let (mut pages, mut from) = (Vec::new(), Offset(0));
    loop {
        // Up to damage, if there is any: the next read begins with it.
        let more = store.read(queue, level, from, usize::MAX)?;
        let Some(last) = more.last() else { return Ok(pages) };
        from = last.end;
        pages.extend(more);
    }
}

fn two_pages() -> (tempfile::TempDir, FjallStore, Workload) {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut workload = Workload::default();
    for _ in 0..2 {
        let sizes = [10, 70_000, 30];
        let page = workload.publish(QueueId(7), Level(2), 0, &sizes);
        store.apply(&[workload.commit(vec![page], Durability::Synced)]).unwrap();
    }
    (directory, store, workload)
}

fn damage_of(store: &FjallStore, from: u64) -> Damage {
    match store.read(QueueId(7), Level(2), Offset(from), usize::MAX) {
        Err(StoreError::Damaged(damage)) => *damage,
        other => panic!("expected damage, found {other:?}"),
    }
}

/// Puts another value under a key, or none.
fn overwrite(store: &FjallStore, space: Space, key: Bytes, value: Option<Bytes>) {
    let mut batch = store.shared.database.batch();
    match value {
        Some(value) => batch.insert(space, key, value),
        None => batch.remove(space, key),
    }
    batch.commit(Durability::Written).unwrap();
}

fn flip(store: &FjallStore, space: Space, key: Bytes, bit: usize) {
    let mut value = store.shared.database.view().get(space, &key).unwrap().unwrap().to_vec();
    value[bit / 8] ^= 1 << (bit % 8);
    overwrite(store, space, key, Some(value.into()));
}

#[test]
fn a_read_from_the_middle_of_a_page_begins_with_that_page() {
    let (_directory, store, _) = two_pages();
    for from in 0..6 {
        let pages = store.read(QueueId(7), Level(2), Offset(from), 1).unwrap();
        assert_eq!(pages.len(), 1);
        assert_eq!(pages[0].first, Offset(from / 3 * 3));
    }
    assert!(store.read(QueueId(7), Level(2), Offset(6), 1).unwrap().is_empty());
    assert!(store.read(QueueId(7), Level(1), Offset(0), 1).unwrap().is_empty());
}

#[test]
fn a_damaged_page_is_named() {
    let (_directory, store, _) = two_pages();
    flip(&store, Space::Pages, key::page(QueueId(7), Level(2), Offset(0)), 1000);
    let damage = damage_of(&store, 1);
    assert_eq!(damage.level, Some((QueueId(7), Level(2))));
    assert_eq!(damage.offsets, Some((Offset(0), Some(Offset(3)))));
    assert!(damage.to_string().contains("queue id 7, level 2, offsets 0 to below 3"), "{damage}");
    assert_eq!(store.read(QueueId(7), Level(2), Offset(3), 1).unwrap().len(), 1);
}

#[test]
fn a_missing_page_is_named() {
    let (_directory, store, mut workload) = two_pages();
    let settled = workload.settle_oldest(QueueId(7), Level(2), 1);
    store.apply(&[workload.commit(settled, Durability::Written)]).unwrap();
    overwrite(&store, Space::Pages, key::page(QueueId(7), Level(2), Offset(0)), None);
    assert_eq!(damage_of(&store, 0).offsets, Some((Offset(1), Some(Offset(3)))));
}

#[test]
fn a_damaged_or_missing_large_body_is_named() {
    let (_directory, store, _) = two_pages();
    flip(&store, Space::Bodies, key::body(QueueId(7), Level(2), Offset(3), Offset(4)), 500_000);
    let damage = damage_of(&store, 3);
    assert_eq!(damage.offsets, Some((Offset(3), None)));
    assert!(damage.what.contains("offset 4"), "{damage}");
    overwrite(&store, Space::Bodies, key::body(QueueId(7), Level(2), Offset(3), Offset(4)), None);
    assert!(damage_of(&store, 3).what.contains("missing"));
}

#[test]
fn a_recovery_refuses_what_is_damaged() {
    let keys = [
        (Space::Acks, key::ack(QueueId(7), Level(2), key::AckKind::Level)),
        (Space::Acks, key::ack(QueueId(7), Level(2), key::AckKind::Watermark)),
        (Space::Acks, key::ack(QueueId(7), Level(2), key::AckKind::Block(0))),
        (Space::Meta, key::record(b"q\x01")),
    ];
    for (space, key) in keys {
        let (_directory, store, mut workload) = two_pages();
        let mut operations = workload.settle(QueueId(7), Level(2), &[1, 4]);
        operations.push(put_record(1, 1));
        store.apply(&[workload.commit(operations, Durability::Written)]).unwrap();
        store.recover().unwrap();
        flip(&store, space, key, 75);
        assert!(matches!(store.recover(), Err(StoreError::Damaged(_))), "{space:?}");
    }
}

#[test]
fn a_recovery_names_the_queue_whose_last_page_is_damaged() {
    let (_directory, store, _) = two_pages();
    flip(&store, Space::Pages, key::page(QueueId(7), Level(2), Offset(3)), 75);
    let recovered = store.recover().unwrap();
    assert_eq!(recovered.damaged.len(), 1);
    assert_eq!(recovered.damaged[0].queue, QueueId(7));
    // What comes next has an offset that no message had.
    assert_eq!(recovered.levels[0].last_page, Some((Offset(6), 0)));
}

#[test]
fn a_read_gives_what_stands_before_the_damage() {
    let (_directory, store, _) = two_pages();
    flip(&store, Space::Pages, key::page(QueueId(7), Level(2), Offset(3)), 1000);
    assert_eq!(store.read(QueueId(7), Level(2), Offset(0), usize::MAX).unwrap().len(), 1);
    assert_eq!(damage_of(&store, 3).offsets, Some((Offset(3), None)));
    overwrite(&store, Space::Pages, key::page(QueueId(7), Level(2), Offset(3)), None);
    assert_eq!(store.read(QueueId(7), Level(2), Offset(0), usize::MAX).unwrap().len(), 1);
}

#[test]
fn the_removal_of_a_dropped_queue_goes_on_after_a_restart() {
    let (directory, store, mut workload) = two_pages();
    let other = workload.publish(QueueId(8), Level(0), 0, &[70_000]);
    let dropped = workload.drop_queue(QueueId(7));
    // As if the process had ended before the reclaimer did anything.
    let wanted = {
        let commits = [workload.commit(vec![other, dropped], Durability::Synced)];
        store.shared.apply(&commits, Durability::Synced, None).unwrap()
    };
    assert_eq!(wanted.queues.len(), 1);
    assert_eq!(store.recover().unwrap().levels.len(), 1);
    drop(store);
    let store = FjallStore::open(directory.path()).unwrap();
    while store.statistics().queues_to_remove > 0 {
        std::thread::yield_now();
    }
    let view = store.shared.database.view();
    let (first, last) = key::queue_range(QueueId(7));
    for space in [Space::Pages, Space::Bodies, Space::Acks] {
        assert_eq!(view.keys(space, &first, &last).count(), 0, "{space:?}");
    }
    assert!(recovery::dropped_queues(&view).unwrap().is_empty());
    assert_eq!(store.read(QueueId(8), Level(0), Offset(0), 1).unwrap().len(), 1);
}

#[test]
fn a_page_put_and_removed_before_it_is_written_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut workload = Workload::default();
    let put = workload.publish(QueueId(1), Level(0), 0, &[10, 70_000]);
    let put = workload.commit(vec![put], Durability::Synced);
    let settled = workload.settle_oldest(QueueId(1), Level(0), 2);
    assert!(workload.waiting(QueueId(1), Level(0)).is_empty());
    let settled = workload.commit(settled, Durability::Written);
    store.apply(&[put, settled]).unwrap();
    let view = store.shared.database.view();
    let (first, last) = key::queue_range(QueueId(1));
    for space in [Space::Pages, Space::Bodies] {
        assert_eq!(view.keys(space, &first, &last).count(), 0, "{space:?}");
    }
    let level = store.recover().unwrap().levels.remove(0);
    assert_eq!((level.watermark.low, level.last_page), (Offset(2), None));
}
