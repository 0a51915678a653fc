//! Delayed messages on the disk: read back in order, removed with their queue, taken over by pages, and what a
//! damaged file costs.

use super::*;
use crate::check::journal_check;
use crate::check::verify::verify;
use crate::fjall::database::DELAYED_ID;
use crate::fjall::database::Space;
use crate::format::key;
use crate::repair::repair_accepting_loss;
use crate::workload::{Workload, message, put_record};
use forebay_engine::model::{BodyId, DueClock, Message, WallClock};
use forebay_engine::operation::{DelayedState, Durability, Operation};
use forebay_engine::page::Record;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

type Waiting = BTreeMap<(QueueId, DelayedId), Message>;

/// A store, and what it is to hold.
struct Ground {
    store: FjallStore,
    work: Workload,
    waiting: Waiting,
}

fn id(clock: DueClock, due: u64, sequence: u64) -> DelayedId {
    DelayedId { clock, due: WallClock(due), sequence }
}

fn delayed(due: u64, size: usize) -> Message {
    let message = message(due, size).delayed(DueClock::Elapsed, WallClock(due));
    if size > 4096 { message.with_shared_body(BodyId(due)) } else { message }
}

impl Ground {
    fn new(path: &Path) -> Self {
        let store = FjallStore::open(path).unwrap();
        Self { store, work: Workload::default(), waiting: Waiting::new() }
    }

    fn state(&self, queue: QueueId, clock: DueClock) -> Operation {
        let range = (queue, DelayedId::lowest(clock))..=(queue, DelayedId::highest(clock));
        let there: Vec<_> = self.waiting.range(range).collect();
        let state = DelayedState {
            count: there.len() as u64,
            bytes: there.iter().map(|(_, message)| message.body().len() as u64).sum(),
            from: there.first().map(|((_, id), _)| id.due).unwrap_or_default(),
            next_sequence: 1_000_000,
        };
        Operation::PutDelayedState { queue, clock, state }
    }

    fn put(&mut self, queue: QueueId, messages: Vec<(DelayedId, Message)>) {
        let mut operations = Vec::new();
        for (id, message) in messages {
            operations.push(Operation::PutDelayed { queue, id, message: message.clone() });
            self.waiting.insert((queue, id), message);
        }
        self.apply(queue, operations);
    }

    fn remove(&mut self, queue: QueueId, ids: &[DelayedId], more: Vec<Operation>) {
        let mut operations = more;
        for id in ids {
            let message = self.waiting.remove(&(queue, *id)).unwrap();
            let body = message.shared_body();
            operations.push(Operation::RemoveDelayed { queue, id: *id, body });
        }
        self.apply(queue, operations);
    }

    fn apply(&mut self, queue: QueueId, mut operations: Vec<Operation>) {
        operations.extend(DueClock::ALL.map(|clock| self.state(queue, clock)));
        let commit = self.work.commit(operations, Durability::Synced);
        self.store.apply(&[commit]).unwrap();
    }

    fn bodies(&self) -> usize {
        let (first, last) = key::shared_bodies_range();
        self.store.shared.database.view().keys(Space::Bodies, &first, &last).count()
    }
}

/// All that a store has of a queue, read in parts of a few messages.
fn all(store: &FjallStore, queue: QueueId) -> Result<Vec<(DelayedId, Message)>, StoreError> {
    let mut all = Vec::new();
    for clock in DueClock::ALL {
        let mut from = DelayedId::lowest(clock);
        loop {
            let read = store.read_delayed(queue, from, 1_000)?;
            from = read.messages.last().map_or(from, |(id, _)| id.next());
            all.extend(read.messages);
            if read.is_end {
                break;
            }
        }
    }
    Ok(all)
}

fn expected(waiting: &Waiting, queue: QueueId) -> Vec<(DelayedId, Message)> {
    let of_queue = waiting.iter().filter(|((owner, _), _)| *owner == queue);
    of_queue.map(|((_, id), message)| (*id, message.clone())).collect()
}

const QUEUES: [QueueId; 3] = [QueueId(1), QueueId(2), QueueId(700)];

fn fill(ground: &mut Ground) {
    for round in 0..6_u64 {
        for (number, queue) in QUEUES.into_iter().enumerate() {
            let messages = (0..40_u64).map(|nth| {
                let due = 10_000 + 997 * nth % 5_000 + round * 7 + number as u64 * 100_000;
                let clock = DueClock::ALL[(nth % 2) as usize];
                let size = if nth == 7 { 5_000 } else { 50 + nth as usize };
                (id(clock, due, round * 40 + nth), delayed(due, size))
            });
            ground.put(queue, messages.collect());
        }
    }
}

#[test]
fn they_are_read_in_the_order_of_their_due_times_before_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut ground = Ground::new(directory.path());
    fill(&mut ground);
    ground.store.make_tables();
    let first = expected(&ground.waiting, QUEUES[0]).into_iter().take(30);
    ground.remove(QUEUES[0], &first.map(|(id, _)| id).collect::<Vec<_>>(), Vec::new());
    let Ground { store, waiting, .. } = ground;
    for queue in QUEUES {
        assert_eq!(all(&store, queue).unwrap(), expected(&waiting, queue));
    }
    let before = store.recover().unwrap().delayed;
    assert_eq!(before.len(), QUEUES.len() * DueClock::ALL.len());
    drop(store);
    let verified = verify(directory.path(), |_| {}).unwrap();
    assert_eq!((verified.damages, verified.delayed), (vec![], waiting.len() as u64));
    let store = FjallStore::open(directory.path()).unwrap();
    assert_eq!(store.recover().unwrap().delayed, before);
    for queue in QUEUES {
        assert_eq!(all(&store, queue).unwrap(), expected(&waiting, queue));
    }
}

#[test]
fn a_page_takes_the_body_over_in_the_commit_that_removes_the_delayed_message() {
    let directory = tempfile::tempdir().unwrap();
    let mut ground = Ground::new(directory.path());
    let (queue, due) = (QUEUES[0], id(DueClock::Elapsed, 9, 0));
    let large = delayed(9, 70_000);
    ground.put(queue, vec![(due, large.clone())]);
    assert_eq!(ground.bodies(), 1);
    let written = ground.store.shared.bytes_written();
    let page = Page {
        first: Offset(0),
        end: Offset(1),
        bytes_before: 0,
        bytes_after: large.body().len() as u64,
        bounds: None,
        records: vec![Record { offset: Offset(0), message: large }],
    };
    let page = Operation::PutPage { queue, level: Level(0), page: Arc::new(page) };
    ground.remove(queue, &[due], vec![page]);
    assert_eq!(ground.bodies(), 1);
    assert!(ground.store.shared.bytes_written() - written < 1_000, "the body is not written again");
    assert_eq!(ground.store.read(queue, Level(0), Offset(0), 1).unwrap()[0].records.len(), 1);
    drop(ground);
    assert_eq!(verify(directory.path(), |_| {}).unwrap().damages, []);
}

#[test]
fn a_cancelled_message_and_a_dropped_queue_take_their_bodies_along() {
    let directory = tempfile::tempdir().unwrap();
    let mut ground = Ground::new(directory.path());
    for queue in QUEUES {
        let messages = (0..600_u64).map(|nth| {
            let due = queue.0 * 10_000 + nth;
            (id(DueClock::Elapsed, due, nth), delayed(due, if nth < 3 { 5_000 } else { 9 }))
        });
        ground.put(queue, messages.collect());
    }
    assert_eq!(ground.bodies(), 9);
    ground.remove(QUEUES[1], &[id(DueClock::Elapsed, 20_000, 0)], Vec::new());
    assert_eq!(ground.bodies(), 8);
    let drop_queue = Operation::DropQueue { queue: QUEUES[0] };
    let commit = ground.work.commit(vec![drop_queue], Durability::Synced);
    ground.store.apply(&[commit]).unwrap();
    assert_eq!(ground.store.recover().unwrap().delayed.len(), 2);
    while ground.store.statistics().queues_to_remove > 0 || !ground.store.reclaimer.is_idle() {
        std::thread::yield_now();
    }
    assert_eq!(ground.bodies(), 5);
    assert_eq!(all(&ground.store, QUEUES[0]).unwrap(), []);
    ground.waiting.retain(|(queue, _), _| *queue != QUEUES[0]);
    for queue in QUEUES {
        assert_eq!(all(&ground.store, queue).unwrap(), expected(&ground.waiting, queue));
    }
    drop(ground);
    assert_eq!(verify(directory.path(), |_| {}).unwrap().damages, []);
}

/// The tables of delayed messages.
fn tables(directory: &Path) -> Vec<PathBuf> {
    let tables = directory.join("fjall/keyspaces").join(DELAYED_ID.to_string()).join("tables");
    let entries = fs::read_dir(tables).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn damage_costs_what_is_named_and_nothing_else() {
    let whole = tempfile::tempdir().unwrap();
    let mut ground = Ground::new(whole.path());
    fill(&mut ground);
    let page = ground.work.publish(QUEUES[0], Level(0), 0, &[100, 200]);
    let commit = ground.work.commit(vec![page, put_record(1, 1)], Durability::Synced);
    ground.store.apply(&[commit]).unwrap();
    ground.store.make_tables();
    let waiting = std::mem::take(&mut ground.waiting);
    drop(ground);
    // What they hold is in tables.
    for journal in journal_check::journals(&whole.path().join("fjall")).unwrap() {
        fs::write(journal, "").unwrap();
    }
    let sizes: Vec<_> =
        tables(whole.path()).iter().map(|path| fs::metadata(path).unwrap().len()).collect();
    let mut lost_ever = 0;
    for nth in 0..24_u64 {
        let directory = tempfile::tempdir().unwrap();
        copy(whole.path(), directory.path());
        let mut harmed = tables(directory.path());
        harmed.sort();
        let harmed = &harmed[(nth % sizes.len() as u64) as usize];
        let mut bytes = fs::read(harmed).unwrap();
        let at = (nth * 7_919) as usize % bytes.len();
        bytes[at] ^= 0x55;
        fs::write(harmed, bytes).unwrap();
        let found = verify(directory.path(), |_| {}).unwrap();
        assert!(!found.damages.is_empty(), "byte {at}");
        let repaired = repair_accepting_loss(directory.path(), |_| {}).unwrap();
        let store = FjallStore::open(directory.path()).unwrap();
        let mut lost = 0;
        for queue in QUEUES {
            let expected = expected(&waiting, queue);
            let there = all(&store, queue).unwrap();
            assert!(there.iter().all(|message| expected.contains(message)));
            let gone = (expected.len() - there.len()) as u64;
            let of_queue = |damage: &&crate::damage::Damage| {
                damage.level.is_some_and(|(owner, _)| owner == queue)
            };
            let named = found.damages.iter().filter(of_queue);
            let named: u64 = named.filter_map(|damage| damage.messages).sum();
            assert_eq!(named, gone, "of queue {queue}, byte {at}: {:?}", found.damages);
            lost += gone;
        }
        assert_eq!(found.delayed, waiting.len() as u64 - lost);
        assert_eq!(repaired.kept.delayed, found.delayed);
        assert!(lost < 200, "one block of messages at most, not {lost}");
        lost_ever += lost;
        let pages = store.read(QUEUES[0], Level(0), Offset(0), usize::MAX).unwrap();
        assert_eq!(pages[0].records.len(), 2);
        let states = store.recover().unwrap().delayed;
        let counted: u64 = states.iter().map(|recovered| recovered.state.count).sum();
        assert_eq!(counted, found.delayed);
        drop(store);
        assert_eq!(verify(directory.path(), |_| {}).unwrap().damages, []);
    }
    assert!(lost_ever > 0, "no damage hit a message");
}

#[test]
fn a_read_of_what_is_damaged_names_the_queue_and_others_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut ground = Ground::new(directory.path());
    fill(&mut ground);
    ground.store.make_tables();
    let waiting = std::mem::take(&mut ground.waiting);
    drop(ground);
    for table in tables(directory.path()) {
        let mut bytes = fs::read(&table).unwrap();
        // In the first block: the lowest queue.
        bytes[100] ^= 1;
        fs::write(table, bytes).unwrap();
    }
    let store = FjallStore::open(directory.path()).unwrap();
    let StoreError::Damaged(damage) = all(&store, QUEUES[0]).unwrap_err() else { panic!() };
    assert_eq!(damage.level.map(|(queue, _)| queue), Some(QUEUES[0]));
    assert_eq!(all(&store, QUEUES[2]).unwrap(), expected(&waiting, QUEUES[2]));
}

#[test]
fn an_upgrade_that_was_interrupted_is_done_again() {
    let directory = tempfile::tempdir().unwrap();
    drop(FjallStore::open(directory.path()).unwrap());
    // As a version without delayed messages left it, and a start of this one that ended in the middle.
    let keyspace = directory.path().join("fjall/keyspaces").join(DELAYED_ID.to_string());
    fs::write(directory.path().join("FORMAT"), "forebay data format 2\n").unwrap();
    fs::remove_dir_all(keyspace.join("tables")).unwrap();
    let mut ground = Ground::new(directory.path());
    ground.put(QUEUES[0], vec![(id(DueClock::Calendar, 5, 0), delayed(5, 10))]);
    drop(ground);
    assert!(keyspace.join("current").exists(), "fjall has given it its number");
    let format = fs::read_to_string(directory.path().join("FORMAT")).unwrap();
    assert_eq!(format, format!("forebay data format {}\n", crate::limits::FORMAT_VERSION));
    assert_eq!(verify(directory.path(), |_| {}).unwrap().delayed, 1);
}
