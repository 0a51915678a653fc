//! The lives of the last messages of a queue, in the order in which their records began. A message whose
//! record has given way gets a new one when something happens to it at which it is seen: it then begins in
//! the middle.

use super::happening::Happening;
use super::life::{Life, LifeNumber};
use crate::deduplication::DedupKey;
use crate::limits::TRACE_EXAMINED_MAX;
use crate::model::{DelayedId, Position, WallClock};
use forebay_wire::ShortStr;
use std::collections::{HashMap, VecDeque};

/// A part of what a queue remembers, the newest first.
#[derive(Clone, Debug)]
pub struct TracePage {
    /// How many lives the queue keeps at most.
    pub lives_max: u64,
    /// Since when it does.
    pub since: WallClock,
    /// Those that were asked for.
    pub lives: Vec<Life>,
    /// Where to go on: below this number; `None`: these were the last ones.
    pub next: Option<LifeNumber>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Lives {
    /// How many at most.
    most: usize,
    /// Since when they are kept; `None` until something has happened.
    since: Option<WallClock>,
    /// Ascending, each number one above that before it.
    lives: VecDeque<Life>,
    /// The number of the next one.
    next: u64,
    by_position: HashMap<Position, LifeNumber>,
    by_delayed: HashMap<DelayedId, LifeNumber>,
    by_key: HashMap<DedupKey, LifeNumber>,
    /// Bytes in memory, about.
    bytes: u64,
}

impl Lives {
    /// None yet, and never more than `most`.
    pub(crate) fn new(most: u64) -> Self {
        Self {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            since: None,
            lives: VecDeque::new(),
            next: 1,
            by_position: HashMap::new(),
            by_delayed: HashMap::new(),
            by_key: HashMap::new(),
            bytes: 0,
        }
    }

    /// From now on there are never more than `most`.
    pub(crate) fn set_most(&mut self, most: u64) {
        self.most = usize::try_from(most).unwrap_or(usize::MAX);
        self.keep_to_most();
    }

    /// What is before this moment is not known.
    pub(crate) fn start(&mut self, at: WallClock) {
        self.since.get_or_insert(at);
    }

    /// Bytes in memory, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Begins a record, with what happened first. Returns its number.
    pub(crate) fn begin(&mut self, life: Life, at: WallClock, first: Happening) -> LifeNumber {
        let number = LifeNumber(self.next);
        self.next += 1;
        let mut life = Life { number, ..life };
        life.add(at, first);
        self.bytes += life.size_in_memory() as u64;
        self.lives.push_back(life);
        self.keep_to_most();
        number
    }

    /// The message with this record stands there.
    pub(crate) fn place(&mut self, number: LifeNumber, position: Position) {
        if let Some(life) = self.get_mut(number) {
            life.position = Some(position);
            self.by_position.insert(position, number);
        }
    }

    /// The message with this record is not due yet.
    pub(crate) fn delay(&mut self, number: LifeNumber, id: DelayedId) {
        if let Some(life) = self.get_mut(number) {
            life.delayed = Some(id);
            self.by_delayed.insert(id, number);
        }
    }

    /// Messages with this key are duplicates of the one whose record began last.
    pub(crate) fn set_last_key(&mut self, key: DedupKey) {
        if let Some(life) = self.lives.back_mut() {
            life.key = Some(key);
            self.by_key.insert(key, life.number);
        }
    }

    /// The record of the message at a place.
    pub(crate) fn at(&self, position: Position) -> Option<LifeNumber> {
        self.by_position.get(&position).copied()
    }

    /// The record of a message that was delayed.
    pub(crate) fn delayed(&self, id: DelayedId) -> Option<LifeNumber> {
        self.by_delayed.get(&id).copied()
    }

    /// The record of the message that others with this key are duplicates of.
    pub(crate) fn with_key(&self, key: DedupKey) -> Option<LifeNumber> {
        self.by_key.get(&key).copied()
    }

    /// The places of messages that have records.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (Position, LifeNumber)> {
        let lives = self.lives.iter();
        lives.filter_map(|life| Some((life.position?, life.number)))
    }

    /// Something happened to the message with this record.
    pub(crate) fn add(&mut self, number: LifeNumber, at: WallClock, what: Happening) {
        let Some(life) = self.get_mut(number) else { return };
        let before = life.size_in_memory();
        life.add(at, what);
        let now = life.size_in_memory();
        self.bytes = (self.bytes + now as u64).saturating_sub(before as u64);
    }

    /// The oldest give way until so many bytes are free, or none is left.
    pub(crate) fn drop_oldest(&mut self, bytes: u64) {
        let target = self.bytes.saturating_sub(bytes);
        while self.bytes > target && self.drop_first() {}
    }

    /// Looks at lives from the newest on, or from below one, and takes out copies of at most `count_max` that
    /// have this message id.
    pub(crate) fn read(
        &self,
        message_id: Option<&ShortStr>,
        below: Option<LifeNumber>,
        count_max: usize,
        now: WallClock,
    ) -> TracePage {
        let first = self.lives.front().map_or(self.next, |life| life.number.0);
        let below = below.map_or(self.next, |below| below.0).clamp(first, self.next);
        let end = usize::try_from(below - first).unwrap_or(0);
        let mut lives = Vec::new();
        let mut next = None;
        let examined = self.lives.range(..end).rev().take(TRACE_EXAMINED_MAX);
        for life in examined {
            if lives.len() >= count_max {
                break;
            }
            next = Some(life.number).filter(|number| number.0 > first);
            if message_id.is_none() || message_id == life.message_id.as_ref() {
                lives.push(life.clone());
            }
        }
        let since = self.since.unwrap_or(now);
        TracePage { lives_max: self.most as u64, since, lives, next }
    }

    fn get_mut(&mut self, number: LifeNumber) -> Option<&mut Life> {
        let first = self.lives.front()?.number;
        self.lives.get_mut(usize::try_from(number.0.checked_sub(first.0)?).ok()?)
    }

    fn keep_to_most(&mut self) {
        while self.lives.len() > self.most && self.drop_first() {}
    }

    fn drop_first(&mut self) -> bool {
        let Some(life) = self.lives.pop_front() else { return false };
        self.bytes = self.bytes.saturating_sub(life.size_in_memory() as u64);
        forget(&mut self.by_position, life.position, life.number);
        forget(&mut self.by_delayed, life.delayed, life.number);
        forget(&mut self.by_key, life.key, life.number);
        true
    }
}

fn forget<K: Eq + std::hash::Hash>(
    index: &mut HashMap<K, LifeNumber>,
    key: Option<K>,
    number: LifeNumber,
) {
    if let Some(key) = key
        && index.get(&key) == Some(&number)
    {
        index.remove(&key);
    }
}
