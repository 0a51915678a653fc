//! The keys of a window against a list of everything that was ever accepted.

use super::*;
use proptest::prelude::*;

fn key(number: u16) -> DedupKey {
    let mut key = [0; 16];
    // Few different parts of the index, and few different fragments within them.
    key[0] = (number % 3) as u8 * 64;
    key[7] = (number % 5) as u8;
    key[14..].copy_from_slice(&number.to_be_bytes());
    DedupKey(key)
}

#[derive(Clone, Debug)]
enum Step {
    /// A message with this key comes; whether it is to be kept.
    Accept(u16, bool),
    Pass(u16),
    Forget,
    Commit,
    /// The oldest commit that is under way is durable.
    Committed,
    /// The wall clock jumps.
    Jump(i16),
    /// The process dies and begins again with what is committed.
    Crash,
    Resize(u8),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (0_u16..60, any::<bool>()).prop_map(|(key, is_kept)| Step::Accept(key, is_kept)),
        3 => (0_u16..400).prop_map(Step::Pass),
        2 => Just(Step::Forget),
        3 => Just(Step::Commit),
        2 => Just(Step::Committed),
        1 => any::<i16>().prop_map(Step::Jump),
        1 => Just(Step::Crash),
        1 => (1_u8..40).prop_map(Step::Resize),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 0..200)
}

/// What is remembered of a message, as plainly as can be.
#[derive(Clone, Debug)]
struct Plain {
    key: DedupKey,
    at: i64,
    is_kept: bool,
    state: Original,
}

const WINDOW: u64 = 1000;

/// Keys in memory, and the records of a store.
struct Driven {
    keys: AcceptedKeys,
    model: Vec<Plain>,
    rule: DedupRule,
    /// How much time has really passed.
    truth: i64,
    /// How far the wall clock is ahead of it.
    jumped: i64,
    /// The truth when the process began, and how far its clock is ahead of that.
    begun_ahead: i64,
    begun: i64,
    store: Vec<(bytes::Bytes, bytes::Bytes)>,
    under_way: Vec<UnderWay>,
}

/// A commit: what it does, up to where it has keys, and those by their times.
#[derive(Default)]
struct UnderWay {
    operations: Vec<Operation>,
    to: Option<u64>,
    keys: Vec<(DedupKey, i64)>,
}

const QUEUE: QueueId = QueueId(3);

impl Driven {
    fn new() -> Self {
        Self {
            keys: AcceptedKeys::default(),
            model: Vec::new(),
            rule: DedupRule { window: WINDOW, size: 20 },
            truth: 1_000_000,
            jumped: 0,
            begun_ahead: 0,
            begun: 1_000_000,
            store: Vec::new(),
            under_way: Vec::new(),
        }
    }

    fn now(&self) -> KeyTime {
        KeyTime {
            steady: self.truth + self.begun_ahead,
            ahead: self.jumped - self.begun_ahead,
            started: self.begun + self.begun_ahead,
        }
    }

    fn find_in_model(&self, key: DedupKey) -> Option<&Plain> {
        let is_it = |plain: &&Plain| plain.key == key && self.truth - plain.at < WINDOW as i64;
        self.model.iter().rev().find(is_it)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Accept(number, is_kept) => self.accept(key(number), is_kept),
            Step::Pass(ms) => self.truth += i64::from(ms),
            Step::Forget => {
                let forgotten = self.keys.forget(self.now(), self.rule, 7);
                assert!(forgotten.is_more || self.keys.len() <= self.rule.size);
            }
            Step::Commit => {
                let mut operations = Vec::new();
                let to = self.keys.take_commit(QUEUE, &mut operations);
                let unwritten = |plain: &&mut Plain| plain.state == Original::Unwritten;
                let mut keys = Vec::new();
                for plain in self.model.iter_mut().filter(unwritten) {
                    plain.state = Original::Unsynced;
                    keys.push((plain.key, plain.at));
                }
                self.under_way.push(UnderWay { operations, to, keys });
            }
            Step::Committed => self.committed(),
            Step::Jump(ms) => self.jumped += i64::from(ms),
            Step::Crash => self.crash(),
            Step::Resize(size) => {
                self.rule.size = u64::from(size);
                self.trim();
                while self.keys.forget(self.now(), self.rule, 7).is_more {}
            }
            Step::Clear => {
                let dead = self.keys.clear();
                let remove = |number| KeyRecordId { queue: QUEUE, number }.remove();
                let operations = dead.into_iter().map(remove).collect();
                self.under_way.push(UnderWay { operations, ..UnderWay::default() });
                self.model.clear();
            }
        }
    }

    fn accept(&mut self, key: DedupKey, is_kept: bool) {
        let found = self.keys.find(key, self.now(), self.rule);
        let expected = self.find_in_model(key);
        assert_eq!(found.is_some(), expected.is_some(), "{key:?}");
        if let (Some(found), Some(plain)) = (found, expected) {
            // One that is not to be kept may be told as waiting with others.
            assert!(!plain.is_kept || found == plain.state, "{found:?}, {plain:?}");
            return;
        }
        self.keys.add(key, self.now(), is_kept, self.rule);
        let state = if is_kept { Original::Unwritten } else { Original::Durable };
        self.model.push(Plain { key, at: self.truth, is_kept, state });
        self.trim();
    }

    /// The oldest are forgotten when there are too many. Those whose time has passed are among them, as
    /// long as they are not forgotten otherwise.
    fn trim(&mut self) {
        self.model.retain(|plain| self.truth - plain.at < WINDOW as i64);
        let excess = self.model.len().saturating_sub(self.rule.size as usize);
        self.model.drain(..excess);
    }

    fn committed(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let UnderWay { operations, to, keys } = self.under_way.remove(0);
        for operation in operations {
            match operation {
                Operation::PutRecord { key, value } => self.store.push((key, value)),
                Operation::RemoveRecord { key } => {
                    let before = self.store.len();
                    self.store.retain(|(there, _)| *there != key);
                    assert_eq!(self.store.len() + 1, before, "a record is removed once");
                }
                other => panic!("{other:?}"),
            }
        }
        to.into_iter().for_each(|to| self.keys.handle_synced(to));
        for plain in &mut self.model {
            if plain.state == Original::Unsynced && keys.contains(&(plain.key, plain.at)) {
                plain.state = Original::Durable;
            }
        }
    }

    fn crash(&mut self) {
        self.under_way.clear();
        self.model.retain(|plain| plain.is_kept && plain.state == Original::Durable);
        (self.begun, self.begun_ahead) = (self.truth, self.jumped);
        let recovered = KeyRecord::recover(&self.store).unwrap();
        let records = recovered.get(&QUEUE).cloned().unwrap_or_default();
        self.keys = AcceptedKeys::recover(&records, self.rule.size);
    }
}

proptest! {
    /// In one process: exactly the messages whose key was accepted within the window are duplicates,
    /// and of those the newest as many as may be remembered.
    #[test]
    fn a_duplicate_is_what_was_accepted_within_the_window(steps in steps()) {
        let mut driven = Driven::new();
        for step in steps.iter().filter(|step| !matches!(step, Step::Crash)) {
            // Keys whose time has passed do not count as remembered.
            while driven.keys.forget(driven.now(), driven.rule, 7).is_more {}
            driven.step(step);
        }
    }

    /// Over restarts, with a wall clock that jumps: each commit has one key, so that its time is exact.
    #[test]
    fn a_restart_forgets_what_was_not_durable_and_nothing_else(steps in steps()) {
        let mut driven = Driven::new();
        driven.rule.size = 1000;
        for (number, step) in (1000..).zip(&steps) {
            match step {
                Step::Resize(_) | Step::Clear => continue,
                // A process has told of a jump with the next key that it wrote.
                Step::Jump(_) => {
                    driven.step(step);
                    driven.accept(key(number), true);
                }
                Step::Accept(..) => driven.step(step),
                Step::Crash => {
                    while !driven.under_way.is_empty() {
                        driven.committed();
                    }
                    driven.step(&Step::Crash);
                    continue;
                }
                _ => {
                    driven.step(step);
                    continue;
                }
            }
            driven.step(&Step::Commit);
        }
    }
}

#[test]
fn a_million_keys_take_less_than_48_bytes_each() {
    let rule = DedupRule { window: 1_000_000, size: 1_000_000 };
    let mut keys = AcceptedKeys::default();
    let now = KeyTime::default();
    for number in 0..1_000_000_u64 {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        keys.add(DedupKey(key), now, false, rule);
    }
    let order: usize =
        keys.chunks.iter().map(|chunk| chunk.capacity() * size_of::<Accepted>()).sum();
    let index: usize = keys.index.iter().map(HashTable::allocation_size).sum();
    assert!(order + index < 48_000_000, "{order} + {index}");
    assert_eq!(keys.forget(now, DedupRule { size: 10, ..rule }, usize::MAX).early, 999_990);
    assert!(keys.chunks.len() <= 2);
    assert!(keys.index.iter().map(HashTable::allocation_size).sum::<usize>() < 100_000);
}
