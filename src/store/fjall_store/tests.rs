//! Random commits, flushes, reclaiming and reopening, against the store in memory as the model.

use super::*;
use crate::MemoryStore;
use crate::workload::{Workload, put_record};
use bytes::Bytes;
use forebay_engine::operation::Operation;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        queue: u64,
        lane: u8,
        skipped: u64,
        sizes: Vec<usize>,
    },
    Settle {
        queue: u64,
        lane: u8,
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
    Read {
        queue: u64,
        lane: u8,
        from: u64,
        octets_max: usize,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let place = (0_u64..3, 0_u8..2);
    let skipped = prop_oneof![8 => 0_u64..3, 1 => Just(65_530_u64)];
    let size = prop_oneof![8 => 0_usize..300, 1 => Just(70_000_usize)];
    prop_oneof![
        8 => (place.clone(), skipped, proptest::collection::vec(size, 0..5)).prop_map(
            |((queue, lane), skipped, sizes)| {
                let skipped = if sizes.is_empty() { skipped + 1 } else { skipped };
                Step::Publish { queue, lane, skipped, sizes }
            }
        ),
        8 => (place.clone(), proptest::collection::vec(0_usize..8, 0..6))
            .prop_map(|((queue, lane), nth)| Step::Settle { queue, lane, nth }),
        2 => (0_u8..4, any::<Option<u64>>()).prop_map(|(key, value)| Step::Record { key, value }),
        1 => (0_u64..3).prop_map(|queue| Step::Drop { queue }),
        6 => (any::<bool>(), any::<bool>())
            .prop_map(|(is_synced, is_last)| Step::Commit { is_synced, is_last }),
        1 => Just(Step::Flush),
        1 => Just(Step::Reclaim),
        6 => (place, prop_oneof![0_u64..30, 65_525_u64..65_560], 0_usize..1000)
            .prop_map(|((queue, lane), from, octets_max)| {
                Step::Read { queue, lane, from, octets_max }
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
            Step::Publish { queue, lane, skipped, sizes } => {
                let queue = self.queue(queue);
                let operation = self.workload.publish(queue, Lane(lane), skipped, &sizes);
                self.operations.push(operation);
            }
            Step::Settle { queue, lane, nth } => {
                let queue = self.queue(queue);
                self.operations.extend(self.workload.settle(queue, Lane(lane), &nth));
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
                let lanes = self.workload.lanes.keys().copied().collect();
                self.store().reclaimer.want(Wanted { lanes, ..Wanted::default() });
            }
            Step::Read { queue, lane, from, octets_max } => {
                let queue = self.queue(queue);
                self.compare_read(queue, Lane(lane), Offset(from), octets_max);
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

    fn compare_read(&self, queue: QueueId, lane: Lane, from: Offset, octets_max: usize) {
        let read = self.store().read(queue, lane, from, octets_max).unwrap();
        assert_eq!(read, self.model.read(queue, lane, from, octets_max).unwrap());
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(FjallStore::open(self.directory.path()).unwrap());
        self.compare();
    }

    fn compare(&self) {
        let (found, expected) = (self.store().recover().unwrap(), self.model.recover().unwrap());
        assert_eq!(found.records, expected.records);
        assert_eq!(found.lanes, expected.lanes);
        for lane in found.lanes {
            self.compare_read(lane.queue, lane.lane, Offset(0), usize::MAX);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

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
