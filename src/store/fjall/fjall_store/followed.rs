//! A store to which commits come as bytes, as those of a follower do, ends as that of the leader.

use super::*;
use crate::workload::{Workload, message, put_record};
use crate::{decode_commit, encode_commit};
use bytes::Bytes;
use forebay_engine::model::{DueClock, WallClock};
use forebay_engine::operation::{DelayedState, Durability, Operation};
use proptest::prelude::*;
use std::collections::BTreeMap;

const QUEUES: u64 = 3;
const LEVELS: u8 = 2;

#[derive(Clone, Debug)]
enum Step {
    Publish { queue: u64, level: u8, skipped: u64, sizes: Vec<usize> },
    FanOut { level: u8, size: usize },
    Copy { queue: u64, level: u8, nth: usize },
    Settle { queue: u64, level: u8, nth: Vec<usize> },
    Delay { queue: u64, due: u64, size: usize },
    Release { queue: u64, nth: usize },
    Record { key: u8, value: u64 },
    Drop { queue: u64 },
    Commit { is_synced: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let place = (0..QUEUES, 0..LEVELS);
    let size = prop_oneof![8 => 0_usize..300, 1 => Just(70_000_usize)];
    prop_oneof![
        8 => (place.clone(), 0_u64..3, proptest::collection::vec(size.clone(), 1..5)).prop_map(
            |((queue, level), skipped, sizes)| Step::Publish { queue, level, skipped, sizes }
        ),
        3 => (0..LEVELS, prop_oneof![Just(5_000_usize), Just(70_000)])
            .prop_map(|(level, size)| Step::FanOut { level, size }),
        2 => (place.clone(), 0_usize..20)
            .prop_map(|((queue, level), nth)| Step::Copy { queue, level, nth }),
        8 => (place, proptest::collection::vec(0_usize..8, 0..6))
            .prop_map(|((queue, level), nth)| Step::Settle { queue, level, nth }),
        3 => (0..QUEUES, 0_u64..9, size).prop_map(|(queue, due, size)| Step::Delay { queue, due, size }),
        2 => (0..QUEUES, 0_usize..8).prop_map(|(queue, nth)| Step::Release { queue, nth }),
        2 => (0_u8..4, any::<u64>()).prop_map(|(key, value)| Step::Record { key, value }),
        1 => (0..QUEUES).prop_map(|queue| Step::Drop { queue }),
        6 => any::<bool>().prop_map(|is_synced| Step::Commit { is_synced }),
    ]
}

/// What a leader's queues would have committed.
#[derive(Default)]
struct Leader {
    workload: Workload,
    /// A dropped queue gets a new number.
    generations: [u64; QUEUES as usize],
    delayed: BTreeMap<QueueId, Vec<DelayedId>>,
    sequence: u64,
    operations: Vec<Operation>,
    commits: Vec<Commit>,
}

impl Leader {
    fn queue(&self, queue: u64) -> QueueId {
        QueueId(queue + 10 * self.generations[queue as usize])
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish { queue, level, skipped, sizes } => {
                let queue = self.queue(queue);
                let page = self.workload.publish(queue, Level(level), skipped, &sizes);
                self.operations.push(page);
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
            Step::Delay { queue, due, size } => {
                let queue = self.queue(queue);
                self.sequence += 1;
                let clock = DueClock::Elapsed;
                let id = DelayedId { clock, due: WallClock(due), sequence: self.sequence };
                let message = message(self.sequence, size).delayed(clock, WallClock(due));
                self.delayed.entry(queue).or_default().push(id);
                self.operations.push(Operation::PutDelayed { queue, id, message });
                self.delayed_state(queue);
            }
            Step::Release { queue, nth } => {
                let queue = self.queue(queue);
                let waiting = self.delayed.entry(queue).or_default();
                if nth < waiting.len() {
                    let id = waiting.remove(nth);
                    self.operations.push(Operation::RemoveDelayed { queue, id, body: None });
                    self.delayed_state(queue);
                }
            }
            Step::Record { key, value } => self.operations.push(put_record(key, value)),
            Step::Drop { queue } => {
                let dropped = self.queue(queue);
                self.delayed.remove(&dropped);
                self.operations.push(self.workload.drop_queue(dropped));
                self.generations[queue as usize] += 1;
            }
            Step::Commit { is_synced } => {
                let durability = if is_synced { Durability::Synced } else { Durability::Written };
                let operations = std::mem::take(&mut self.operations);
                self.commits.push(self.workload.commit(operations, durability));
            }
        }
    }

    fn delayed_state(&mut self, queue: QueueId) {
        let count = self.delayed[&queue].len() as u64;
        let next_sequence = self.sequence + 1;
        let state = DelayedState { count, bytes: count, from: WallClock(0), next_sequence };
        let clock = DueClock::Elapsed;
        self.operations.push(Operation::PutDelayedState { queue, clock, state });
    }
}

/// Everything that a shard could ever be told by a store.
fn content(store: &FjallStore, queues: &[QueueId]) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut pages = Vec::new();
    let mut delayed = Vec::new();
    for queue in queues {
        for level in 0..LEVELS {
            pages.extend(store.read(*queue, Level(level), Offset(0), usize::MAX).unwrap());
        }
        let from = DelayedId::lowest(DueClock::Elapsed);
        delayed.push(store.read_delayed(*queue, from, usize::MAX).unwrap());
    }
    (store.recover().unwrap(), pages, delayed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// The follower may take several commits together, whatever the leader did.
    #[test]
    fn a_store_that_applied_encoded_commits_equals_the_leaders(
        steps in proptest::collection::vec(step(), 0..80),
        together in proptest::collection::vec(1_usize..5, 1..10),
    ) {
        let mut leader = Leader::default();
        steps.into_iter().for_each(|step| leader.step(step));
        leader.step(Step::Commit { is_synced: true });
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [leading, following] =
            directories.each_ref().map(|directory| FjallStore::open(directory.path()).unwrap());
        let encoded: Vec<Bytes> = leader.commits.iter().map(encode_commit).collect();
        leader.commits.iter().for_each(|commit| leading.apply(std::slice::from_ref(commit)).unwrap());
        let mut rest = &encoded[..];
        for count in together.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*count));
            let commits: Vec<Commit> = now.iter().map(|bytes| decode_commit(bytes).unwrap()).collect();
            following.apply(&commits).unwrap();
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let queues: Vec<QueueId> = (0..QUEUES).map(|queue| leader.queue(queue)).collect();
        prop_assert_eq!(content(&leading, &queues), content(&following, &queues));
        drop((leading, following));
        let [leading, following] =
            directories.each_ref().map(|directory| FjallStore::open(directory.path()).unwrap());
        prop_assert_eq!(content(&leading, &queues), content(&following, &queues));
    }
}
