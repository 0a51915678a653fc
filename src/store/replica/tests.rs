//! What a consensus relies on: entries, votes and what is applied are there after a restart, and a snapshot
//! makes one store equal to another.

use crate::replica::received_snapshot::ReceivedSnapshot;
use crate::workload::{Workload, put_record};
use crate::{
    ChunkError, FjallStore, LogCut, ReplicaStore, Store, StoreError, StoreMemory,
    repair_accepting_loss, verify,
};
use bytes::Bytes;
use forebay_engine::model::{Level, Offset, QueueId};
use forebay_engine::operation::{Durability, Operation, Recovered};
use forebay_engine::page::Page;
use proptest::prelude::*;
use std::path::Path;

const QUEUES: [QueueId; 2] = [QueueId(1), QueueId(2)];
const LEVEL: Level = Level(0);

fn open(path: &Path) -> ReplicaStore {
    ReplicaStore::open(path, StoreMemory::default()).unwrap()
}

fn entry(index: u64, term: u64, size: usize) -> Bytes {
    let mut entry = format!("{index} of {term}:").into_bytes();
    entry.resize(entry.len() + size, index as u8);
    entry.into()
}

fn content(store: &impl Store) -> (Recovered, Vec<Page>) {
    let read = |queue| store.read(queue, LEVEL, Offset(0), usize::MAX).unwrap();
    (store.recover().unwrap(), QUEUES.into_iter().flat_map(read).collect())
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        sizes: Vec<usize>,
    },
    /// Counted from the end.
    Truncate {
        count: usize,
    },
    /// Counted from the beginning.
    Cut {
        count: usize,
    },
    /// Behind the end: a snapshot came.
    Skip {
        count: u64,
    },
    Flush,
    GiveBack,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![9 => 0_usize..300, 1 => Just(200_000_usize)];
    prop_oneof![
        8 => proptest::collection::vec(size, 1..6).prop_map(|sizes| Step::Append { sizes }),
        2 => (0_usize..6).prop_map(|count| Step::Truncate { count }),
        3 => (1_usize..9).prop_map(|count| Step::Cut { count }),
        1 => (1_u64..5).prop_map(|count| Step::Skip { count }),
        2 => Just(Step::Flush),
        1 => Just(Step::GiveBack),
        2 => Just(Step::Reopen),
    ]
}

struct Run {
    directory: tempfile::TempDir,
    store: Option<ReplicaStore>,
    first: u64,
    entries: Vec<Bytes>,
    cut: Option<LogCut>,
    term: u64,
}

impl Run {
    fn store(&self) -> &ReplicaStore {
        self.store.as_ref().unwrap()
    }

    fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn step(&mut self, step: &Step) {
        self.term += 1;
        match step {
            Step::Append { sizes } => {
                let next = self.next();
                let new = (next..).zip(sizes).map(|(index, size)| entry(index, self.term, *size));
                let new: Vec<Bytes> = new.collect();
                self.store().append(next, &new, Durability::Synced).unwrap();
                self.entries.extend(new);
            }
            Step::Truncate { count } => {
                let kept = self.entries.len().saturating_sub(*count);
                self.store().truncate(self.first + kept as u64).unwrap();
                self.entries.truncate(kept);
            }
            Step::Cut { count } if *count <= self.entries.len() => {
                self.cut_behind(self.first + *count as u64 - 1);
                self.entries.drain(..*count);
            }
            Step::Cut { .. } => {}
            Step::Skip { count } => {
                self.cut_behind(self.next() + count);
                self.entries.clear();
            }
            Step::Flush => self.store().make_tables(),
            Step::GiveBack => self.store().give_back(),
            Step::Reopen => {
                self.store = None;
                self.store = Some(open(self.directory.path()));
            }
        }
    }

    fn cut_behind(&mut self, index: u64) {
        let cut = LogCut { index, label: entry(index, self.term, 0) };
        self.store().cut(&cut).unwrap();
        self.first = index + 1;
        self.cut = Some(cut);
    }

    fn check(&self) {
        let (indexes, cut) = self.store().log_state().unwrap();
        assert_eq!((indexes, &cut), (self.first..self.next(), &self.cut));
        assert_eq!(self.store().entries(0..u64::MAX, u64::MAX).unwrap(), self.entries);
        let middle = self.first + self.entries.len() as u64 / 2;
        let from = (middle - self.first) as usize;
        assert_eq!(
            self.store().entries(middle..self.next(), u64::MAX).unwrap(),
            self.entries[from..]
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_log_holds_what_was_appended_and_neither_truncated_nor_cut(
        steps in proptest::collection::vec(step(), 0..50),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let store = Some(open(directory.path()));
        let mut run = Run { directory, store, first: 0, entries: vec![], cut: None, term: 0 };
        for step in steps.iter().chain([&Step::Reopen]) {
            run.step(step);
            run.check();
        }
        run.store = None;
        prop_assert_eq!(verify(run.directory.path(), |_| ()).unwrap().damages, []);
    }
}

#[test]
fn an_entry_that_is_not_the_next_one_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let new = [entry(0, 1, 10)];
    store.append(0, &new, Durability::Written).unwrap();
    for first in [0, 2] {
        assert!(store.append(first, &new, Durability::Written).is_err());
    }
    assert_eq!(store.entries(0..9, u64::MAX).unwrap(), new);
    store.append(1, &new, Durability::Written).unwrap();
}

#[test]
fn entries_are_read_until_so_many_bytes_are_reached() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let entries: Vec<Bytes> = (0..4).map(|index| entry(index, 1, 1_000)).collect();
    store.append(0, &entries, Durability::Written).unwrap();
    for (bytes_max, count) in [(1, 1), (1_000, 1), (1_100, 2), (2_500, 3), (9_000, 3)] {
        assert_eq!(store.entries(1..9, bytes_max).unwrap(), entries[1..=count], "{bytes_max}");
    }
    assert!(store.entries(1..9, 0).unwrap().is_empty());
    assert!(store.entries(4..9, u64::MAX).unwrap().is_empty());
}

#[test]
fn a_vote_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert_eq!(store.vote().unwrap(), None);
    for vote in ["first", "second"] {
        store.put_vote(vote.as_bytes(), Durability::Synced).unwrap();
    }
    drop(store);
    assert_eq!(open(directory.path()).vote().unwrap().unwrap(), "second");
}

/// Commits with pages, large bodies and records.
fn fill(store: &ReplicaStore, workload: &mut Workload, commits: u64) {
    for number in 1..=commits {
        let size = if number % 5 == 0 { 200_000 } else { 2_000 };
        let queue = QUEUES[number as usize % 2];
        let mut operations = vec![
            workload.publish(queue, LEVEL, 0, &[size, 30]),
            put_record(number as u8 % 7, number),
        ];
        if number % 3 == 0 {
            operations.extend(workload.fan_out(&QUEUES, LEVEL, 9_000));
            operations.extend(workload.settle(queue, LEVEL, &[0, 2]));
        }
        let commit = workload.commit(operations, Durability::Synced);
        store.apply_logged(&[commit], &applied(number)).unwrap();
    }
}

fn applied(number: u64) -> Bytes {
    number.to_string().into()
}

#[test]
fn commits_and_how_far_the_log_is_applied_are_there_together() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert_eq!(store.applied().unwrap(), None);
    fill(&store, &mut Workload::default(), 20);
    let before = content(&store);
    // An entry without a commit, as a change of the members is.
    store.apply_logged(&[], &applied(21)).unwrap();
    assert_eq!(store.applied().unwrap(), Some(applied(21)));
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.applied().unwrap(), Some(applied(21)));
    assert_eq!(content(&store), before);
    assert!(store.apply(&[]).is_err(), "a commit that the log does not know");
}

/// Chunks of everything in a store.
fn chunks(store: &ReplicaStore) -> (Bytes, Vec<Bytes>) {
    let mut snapshot = store.snapshot().unwrap().unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = snapshot.next_chunk().unwrap() {
        chunks.push(chunk);
    }
    (snapshot.applied().clone(), chunks)
}

fn receive(store: &ReplicaStore, applied: &Bytes, chunks: &[Bytes]) -> ReceivedSnapshot {
    let mut receiver = store.receive_snapshot(applied).unwrap();
    chunks.iter().for_each(|chunk| receiver.take(chunk).unwrap());
    receiver.finish().unwrap()
}

#[test]
fn a_snapshot_takes_the_place_of_what_was_there_and_leaves_log_and_vote() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [leader, follower] = directories.each_ref().map(|directory| open(directory.path()));
    let mut workload = Workload::default();
    fill(&leader, &mut workload, 60);
    // The follower has the beginning of the same, and has it in tables.
    fill(&follower, &mut Workload::default(), 20);
    follower.make_tables();
    let entries = [entry(0, 1, 50), entry(1, 1, 50)];
    follower.append(0, &entries, Durability::Synced).unwrap();
    follower.put_vote(b"vote", Durability::Synced).unwrap();

    let (at, chunks) = chunks(&leader);
    assert!(chunks.len() > 2, "several chunks: {}", chunks.len());
    follower.install(receive(&follower, &at, &chunks)).unwrap();
    assert_eq!(follower.applied().unwrap(), Some(applied(60)));
    assert_eq!(content(&follower), content(&leader));
    assert_eq!(follower.entries(0..9, u64::MAX).unwrap(), entries);
    assert_eq!(follower.vote().unwrap().unwrap(), "vote");

    // Both go on from there, and the follower has all of it after a restart.
    for number in 61..70 {
        let oldest = workload.settle_oldest(QUEUES[0], LEVEL, 5);
        let page = workload.publish(QUEUES[0], LEVEL, 0, &[70_000, 3]);
        let operations = oldest.into_iter().chain([page]).collect();
        let commit = workload.commit(operations, Durability::Synced);
        for store in [&leader, &follower] {
            store.apply_logged(std::slice::from_ref(&commit), &applied(number)).unwrap();
            store.give_back();
        }
    }
    assert_eq!(content(&follower), content(&leader));
    drop(follower);
    let follower = open(directories[1].path());
    assert_eq!(content(&follower), content(&leader));
    drop((leader, follower));
    for directory in directories {
        assert_eq!(verify(directory.path(), |_| ()).unwrap().damages, []);
        assert!(!directory.path().join("snapshot").exists());
    }
}

#[test]
fn a_snapshot_that_was_being_put_in_place_is_finished_by_the_next_start() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [leader, follower] = directories.each_ref().map(|directory| open(directory.path()));
    fill(&leader, &mut Workload::default(), 30);
    fill(&follower, &mut Workload::default(), 10);
    let (at, chunks) = chunks(&leader);
    // The process ends.
    std::mem::forget(receive(&follower, &at, &chunks));
    follower.begin_install(&at).unwrap();
    assert_eq!(follower.applied().unwrap(), None, "half of it is not shown as a state");
    drop(follower);
    let damages = verify(directories[1].path(), |_| ()).unwrap().damages;
    assert!(damages.iter().any(|damage| damage.what.contains("being put in place")), "{damages:?}");
    let follower = open(directories[1].path());
    assert_eq!(follower.applied().unwrap(), Some(at));
    assert_eq!(content(&follower), content(&leader));
}

#[test]
fn a_snapshot_that_was_received_and_not_begun_is_dropped_by_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, &mut Workload::default(), 10);
    let before = content(&store);
    let (at, chunks) = chunks(&store);
    // The process ends.
    std::mem::forget(receive(&store, &at, &chunks));
    drop(store);
    let store = open(directory.path());
    assert_eq!(content(&store), before);
    assert!(!directory.path().join("snapshot").exists());
}

#[test]
fn a_chunk_that_is_damaged_or_out_of_order_is_refused_and_one_sent_twice_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, &mut Workload::default(), 30);
    let (at, chunks) = chunks(&store);
    let mut receiver = store.receive_snapshot(&at).unwrap();
    for bit in [0, 8, 80, chunks[0].len() * 8 - 1] {
        let mut flipped = chunks[0].to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refused = receiver.take(&flipped.into());
        assert!(matches!(refused, Err(ChunkError::Damaged { expected: 0 })), "bit {bit}");
    }
    let refused = receiver.take(&chunks[1]);
    assert!(matches!(refused, Err(ChunkError::Order { found: 1, expected: 0 })), "{refused:?}");
    receiver.take(&chunks[0]).unwrap();
    // The connection broke, and the sender does not know what has come.
    receiver.take(&chunks[0]).unwrap();
    assert_eq!(receiver.expected(), 1);
    chunks[1..].iter().for_each(|chunk| receiver.take(chunk).unwrap());
    let before = content(&store);
    store.install(receiver.finish().unwrap()).unwrap();
    assert_eq!(content(&store), before);
}

#[test]
fn a_snapshot_is_not_replaced_while_it_is_on_its_way_into_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, &mut Workload::default(), 10);
    let before = content(&store);
    let (at, chunks) = chunks(&store);
    let first = receive(&store, &at, &chunks);
    let mut second = store.receive_snapshot(&applied(99)).unwrap();
    chunks.iter().for_each(|chunk| second.take(chunk).unwrap());
    assert!(second.finish().is_err());
    store.install(first).unwrap();
    assert_eq!((content(&store), store.applied().unwrap()), (before, Some(at.clone())));
    // One that nobody wants any more makes room for the next.
    drop(receive(&store, &at, &chunks));
    store.install(receive(&store, &at, &chunks)).unwrap();
    assert!(!directory.path().join("snapshot").exists());
}

#[test]
fn a_snapshot_whose_file_is_damaged_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, &mut Workload::default(), 20);
    let before = content(&store);
    let (at, chunks) = chunks(&store);
    let file = directory.path().join("snapshot");
    for harm in [0, 20, 5_000] {
        let snapshot = receive(&store, &at, &chunks);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[harm] ^= 0x10;
        std::fs::write(&file, &bytes).unwrap();
        assert!(matches!(store.install(snapshot), Err(StoreError::Damaged(_))), "{harm}");
        assert_eq!(content(&store), before);
    }
    let snapshot = receive(&store, &at, &chunks);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 30]).unwrap();
    assert!(store.install(snapshot).is_err(), "its end is missing");
    assert_eq!(content(&store), before);
}

#[test]
fn the_directory_of_a_single_machine_becomes_that_of_a_replica_with_all_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let single = FjallStore::open(directory.path()).unwrap();
    let mut workload = Workload::default();
    let page = workload.publish(QUEUES[0], LEVEL, 0, &[100, 200]);
    let commit = workload.commit(vec![page, put_record(1, 1)], Durability::Synced);
    single.apply(&[commit]).unwrap();
    let before = content(&single);
    drop(single);
    let replica = open(directory.path());
    assert_eq!(content(&replica), before);
    assert_eq!(replica.applied().unwrap(), None);
    drop(replica);
    let refused = FjallStore::open(directory.path()).unwrap_err();
    assert!(matches!(refused, StoreError::OfReplica { .. }), "{refused}");
    let refused = repair_accepting_loss(directory.path(), |_| ()).unwrap_err();
    assert!(matches!(refused, StoreError::OfReplica { .. }), "{refused}");
    assert_eq!(content(&open(directory.path())), before);
}

#[test]
fn an_entry_that_is_damaged_or_missing_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let entries: Vec<Bytes> = (0..5).map(|index| entry(index, 1, 20)).collect();
    store.append(0, &entries, Durability::Synced).unwrap();
    store.harm_entry(2, Some(b"something else"));
    let error = store.entries(0..5, u64::MAX).unwrap_err().to_string();
    assert!(error.contains("entry 2 of the replicated log"), "{error}");
    assert_eq!(store.entries(3..5, u64::MAX).unwrap(), entries[3..]);
    store.harm_entry(2, None);
    let error = store.entries(0..5, u64::MAX).unwrap_err().to_string();
    assert!(error.contains("entry 2 of the replicated log is missing"), "{error}");
    drop(store);
    let error = ReplicaStore::open(directory.path(), StoreMemory::default()).unwrap_err();
    assert!(error.to_string().contains("entry 2 of the replicated log is missing"), "{error}");
}

/// What was cut off is not read again, whatever of it lies in tables.
#[test]
fn a_log_that_was_cut_gives_its_space_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut next = 0;
    for _ in 0..60 {
        let entries: Vec<Bytes> = (next..next + 10).map(|index| entry(index, 1, 100_000)).collect();
        store.append(next, &entries, Durability::Written).unwrap();
        next += 10;
    }
    store.make_tables();
    assert!(store.log_bytes() > 50_000_000);
    store.cut(&LogCut { index: next - 2, label: Bytes::new() }).unwrap();
    assert!(store.log_bytes() < 200_000);
    store.reclaim_until(|store| store.pages_disk_bytes() < 10_000_000);
    assert_eq!(store.entries(0..next, u64::MAX).unwrap(), [entry(next - 1, 1, 100_000)]);
    drop(store);
    assert_eq!(
        open(directory.path()).entries(0..next, u64::MAX).unwrap(),
        [entry(next - 1, 1, 100_000)]
    );
}

/// Operations of tests that reach below the interface.
impl ReplicaStore {
    fn harm_entry(&self, index: u64, value: Option<&'static [u8]>) {
        use crate::fjall::database::Space;
        let mut batch = self.shared().database.batch();
        let key = crate::format::key::log_entry(index);
        match value {
            Some(value) => batch.insert(Space::Pages, key, Bytes::from_static(value)),
            None => batch.remove(Space::Pages, key),
        }
        batch.commit(Durability::Synced).unwrap();
    }

    fn pages_disk_bytes(&self) -> u64 {
        self.shared().database.disk_space(crate::fjall::database::Space::Pages)
    }

    /// Asks for disk space until it has come back.
    fn reclaim_until(&self, is_done: impl Fn(&Self) -> bool) {
        while !is_done(self) {
            self.give_back();
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_commit_of_no_operations_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let commit = Workload::default().commit(Vec::<Operation>::new(), Durability::Written);
    store.apply_logged(&[commit], &applied(1)).unwrap();
    assert_eq!(store.applied().unwrap(), Some(applied(1)));
}
