//! The keys of the messages that a queue accepted within its window, and when.
//!
//! ```text
//!            forgotten │ remembered, in the order of acceptance       │ not given yet
//!   numbers:           first ………………… durable_to ………… taken_to ………… next
//!   in the store:      │ on the disk  │ not synced     │ with the next commit
//! ```
//!
//! A key takes 24 bytes in that order and 9 to 18 in the index, by hash. The index is in parts, so that one
//! that grows moves a part of it at a time: a whole one of a million keys would hold up the shard for tens
//! of milliseconds.

use super::{DedupKey, DedupRule, KeyRecord, KeyRecordId, KeyTime};
use crate::limits::{DEDUP_RECORD_KEYS_MAX, DEDUP_RECORDS_REMOVED_MAX};
use crate::model::QueueId;
use crate::operation::Operation;
use hashbrown::HashTable;
use std::collections::VecDeque;

/// Parts of the index.
const PARTS: usize = 64;

/// Keys that are kept together.
const CHUNK_KEYS: usize = 1024;

/// A part of the index with room for fewer does not give memory back.
const PART_KEYS_MIN: usize = 64;

/// What is known of the message that a duplicate repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Original {
    /// Its key is on stable storage, or it is not to be kept.
    Durable,
    /// Its key is in a commit that is under way, or that was written without a sync.
    Unsynced,
    /// The next commit has its key.
    Unwritten,
}

/// A key, and when it was accepted on the steady clock.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    key: DedupKey,
    at: i64,
}

/// What was forgotten of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// Keys forgotten before their time, because there were too many.
    pub(crate) early: u64,
    /// Whether more are to be forgotten.
    pub(crate) is_more: bool,
}

/// The keys that a queue remembers.
#[derive(Debug, Default)]
pub(crate) struct AcceptedKeys {
    /// Each full but the last one.
    chunks: VecDeque<Vec<Accepted>>,
    /// The number of the first key in `chunks`.
    base: u64,
    /// The oldest key that is remembered.
    first: u64,
    /// The number of the next one.
    next: u64,
    /// By hash: a half of it above the lower half of the key's number. [`PARTS`] tables, or none.
    index: Vec<HashTable<u64>>,
    /// Numbers below were there when the process began.
    recovered_to: u64,
    /// Keys that the next commit has to write, and when the last of them was accepted.
    unwritten: Vec<DedupKey>,
    unwritten_time: KeyTime,
    /// Numbers below are in a commit, if they are to be kept.
    taken_to: u64,
    /// Numbers below are on stable storage, if they are to be kept.
    durable_to: u64,
    /// The records in the store, the oldest first.
    records: VecDeque<Written>,
    /// The number of the next one.
    next_record: u64,
    /// Numbers of records that the store has to remove.
    dead_records: VecDeque<u64>,
}

/// A record in the store, or in a commit.
#[derive(Clone, Copy, Debug)]
struct Written {
    number: u64,
    /// The number behind its last key.
    end: u64,
}

impl AcceptedKeys {
    /// The keys that a store holds, in their order.
    ///
    /// Each process told the time by its own steady clock, which began with the wall clock. Where this
    /// one was found to be ahead at the last key of a process, it had jumped: the keys before the jump
    /// and those of earlier processes are set right by as much.
    pub(crate) fn recover(records: &[KeyRecord], size_max: u64) -> Self {
        let mut keys = Self::default();
        let mut shift = 0_i64;
        let mut shifts = Vec::with_capacity(records.len());
        let mut later: Option<i64> = None;
        for KeyRecord { time, .. } in records.iter().rev() {
            if later != Some(time.started) {
                shift = shift.saturating_add(time.ahead);
                later = Some(time.started);
            }
            shifts.push(shift);
        }
        for (record, shift) in records.iter().zip(shifts.into_iter().rev()) {
            let at = record.time.steady.saturating_add(shift);
            record.keys.iter().for_each(|key| keys.push(*key, at));
            keys.records.push_back(Written { number: record.number, end: keys.next });
            keys.next_record = record.number.saturating_add(1);
        }
        (keys.recovered_to, keys.taken_to, keys.durable_to) = (keys.next, keys.next, keys.next);
        while keys.len() > size_max {
            keys.forget_oldest();
        }
        keys
    }

    /// How many keys are remembered.
    pub(crate) fn len(&self) -> u64 {
        self.next - self.first
    }

    /// The message with this key that was accepted within the window.
    pub(crate) fn find(&self, key: DedupKey, now: KeyTime, rule: DedupRule) -> Option<Original> {
        let table = self.index.get(part(key))?;
        let found = table.find(hash(key), |slot| {
            is_of(*slot, key) && {
                let number = self.number(*slot);
                let there = self.get(number).is_some_and(|accepted| accepted.key == key);
                there && self.is_live(number, now, rule)
            }
        });
        let number = self.number(*found?);
        Some(if number < self.durable_to {
            Original::Durable
        } else if number < self.taken_to {
            Original::Unsynced
        } else if self.unwritten.is_empty() {
            Original::Durable
        } else {
            Original::Unwritten
        })
    }

    /// A message with this key is accepted. `is_kept`: the message is in the next commit, and so is the
    /// key. Returns how many keys were forgotten because of it.
    pub(crate) fn add(
        &mut self,
        key: DedupKey,
        now: KeyTime,
        is_kept: bool,
        rule: DedupRule,
    ) -> u64 {
        if is_kept {
            self.unwritten.push(key);
            self.unwritten_time = now;
        }
        self.push(key, now.steady);
        if self.len() <= rule.size {
            return 0;
        }
        self.forget_oldest();
        1
    }

    /// Forgets what is too old and too much, up to `most` keys.
    pub(crate) fn forget(&mut self, now: KeyTime, rule: DedupRule, most: usize) -> Forgotten {
        let mut forgotten = Forgotten::default();
        for _ in 0..most {
            let is_early = self.len() > rule.size;
            if self.len() == 0 || (!is_early && self.is_live(self.first, now, rule)) {
                return forgotten;
            }
            forgotten.early += u64::from(is_early);
            self.forget_oldest();
        }
        Forgotten { is_more: true, ..forgotten }
    }

    /// The time, in ms from now, after which the oldest key is too old; `None`: there is no key.
    pub(crate) fn oldest_left(&self, now: KeyTime, rule: DedupRule) -> Option<u64> {
        let at = self.accepted_at(self.first, now)?;
        let age = u64::try_from(now.steady.saturating_sub(at)).unwrap_or(0);
        Some(rule.window.saturating_sub(age))
    }

    /// Adds the next commit's part to `operations`. Returns up to where keys are in a commit, when it has
    /// any that were not before.
    pub(crate) fn take_commit(
        &mut self,
        queue: QueueId,
        operations: &mut Vec<Operation>,
    ) -> Option<u64> {
        if self.len() == 0 {
            // The window was shorter than the commit before.
            self.unwritten = Vec::new();
        }
        let has_keys = !self.unwritten.is_empty();
        for keys in self.unwritten.chunks(DEDUP_RECORD_KEYS_MAX) {
            let number = self.next_record;
            let record = KeyRecord { number, time: self.unwritten_time, keys: keys.to_vec() };
            operations.push(record.put(queue));
            self.records.push_back(Written { number, end: self.next });
            self.next_record += 1;
        }
        self.unwritten = Vec::new();
        self.taken_to = self.next;
        let removed = self.dead_records.len().min(DEDUP_RECORDS_REMOVED_MAX);
        let removed = self.dead_records.drain(..removed);
        operations.extend(removed.map(|number| KeyRecordId { queue, number }.remove()));
        has_keys.then_some(self.next)
    }

    /// Whether records are to be removed.
    pub(crate) fn has_forgotten_records(&self) -> bool {
        !self.dead_records.is_empty()
    }

    /// Keys below this number are on stable storage.
    pub(crate) fn handle_synced(&mut self, to: u64) {
        self.durable_to = self.durable_to.max(to);
    }

    /// Forgets everything at once. Returns the numbers of the records that the store has to remove.
    pub(crate) fn clear(&mut self) -> VecDeque<u64> {
        let next = self.next;
        let cleared = Self {
            base: next,
            first: next,
            next,
            taken_to: next,
            durable_to: next,
            next_record: self.next_record,
            ..Self::default()
        };
        let before = std::mem::replace(self, cleared);
        let mut dead = before.dead_records;
        dead.extend(before.records.iter().map(|record| record.number));
        dead
    }

    fn push(&mut self, key: DedupKey, at: i64) {
        if self.index.is_empty() {
            self.index.resize_with(PARTS, HashTable::new);
        }
        let is_full = self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK_KEYS);
        if is_full {
            self.chunks.push_back(Vec::new());
        }
        if let (Some(chunk), Some(table)) = (self.chunks.back_mut(), self.index.get_mut(part(key)))
        {
            chunk.push(Accepted { key, at });
            table.insert_unique(hash(key), slot(key, self.next), |slot| hash_of(*slot));
            self.next += 1;
        }
    }

    fn forget_oldest(&mut self) {
        let number = self.first;
        let Some(Accepted { key, .. }) = self.get(number).copied() else { return };
        if let Some(table) = self.index.get_mut(part(key)) {
            let here = slot(key, number);
            if let Ok(entry) = table.find_entry(hash(key), |slot| *slot == here) {
                entry.remove();
            }
            if table.len() * 4 < table.capacity() && table.capacity() > PART_KEYS_MIN {
                table.shrink_to(table.len() * 2, |slot| hash_of(*slot));
            }
        }
        self.first += 1;
        if self.first - self.base >= CHUNK_KEYS as u64 {
            self.chunks.pop_front();
            self.base += CHUNK_KEYS as u64;
        }
        if self.len() == 0 {
            // The index, too: a queue may rest for long.
            (self.chunks, self.index) = (VecDeque::new(), Vec::new());
            self.base = self.next;
        }
        while let Some(record) = self.records.front().filter(|record| record.end <= self.first) {
            self.dead_records.push_back(record.number);
            self.records.pop_front();
        }
    }

    fn get(&self, number: u64) -> Option<&Accepted> {
        let at = usize::try_from(number.checked_sub(self.base)?).ok()?;
        self.chunks.get(at / CHUNK_KEYS)?.get(at % CHUNK_KEYS)
    }

    /// When it was accepted. What is there from an earlier process can't have come after the start of
    /// this one.
    fn accepted_at(&self, number: u64, now: KeyTime) -> Option<i64> {
        let at = self.get(number)?.at;
        Some(if number < self.recovered_to { at.min(now.started) } else { at })
    }

    fn is_live(&self, number: u64, now: KeyTime, rule: DedupRule) -> bool {
        let age = self.accepted_at(number, now).map(|at| now.steady.saturating_sub(at));
        age.is_some_and(|age| u64::try_from(age).unwrap_or(0) < rule.window)
    }

    /// The number in a slot of the index. No two that are remembered have the same lower half.
    fn number(&self, slot: u64) -> u64 {
        let lower = slot as u32;
        self.first + u64::from(lower.wrapping_sub(self.first as u32))
    }
}

/// The part of the index that has the key.
fn part(key: DedupKey) -> usize {
    (key.fragment() >> 58) as usize % PARTS
}

/// What the index has of a key.
fn slot(key: DedupKey, number: u64) -> u64 {
    key.fragment() << 32 | number & u64::from(u32::MAX)
}

fn is_of(slot: u64, key: DedupKey) -> bool {
    slot >> 32 == key.fragment() & u64::from(u32::MAX)
}

/// The hash by which a part of the index finds its slots.
fn hash_of(slot: u64) -> u64 {
    (slot >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn hash(key: DedupKey) -> u64 {
    hash_of(slot(key, 0))
}

#[cfg(test)]
mod tests;
