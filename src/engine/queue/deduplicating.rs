//! Which messages a queue has had already (`x-dedup-window`).

use super::{Instants, Queue};
use crate::deduplication::{AcceptedKeys, DedupKey, DedupRule, KeyRecord, KeyTime, Original};
use crate::limits::{DEDUP_FORGET_INTERVAL_MS, TURN_KEYS_FORGOTTEN_MAX};
use crate::model::Monotonic;
use crate::operation::Operation;
use std::collections::VecDeque;

/// A queue's part of deduplication.
#[derive(Debug, Default)]
pub(super) struct Deduplication {
    /// Boxed: most queues have none.
    keys: Option<Box<AcceptedKeys>>,
    /// When to forget keys.
    forget_at: Option<Monotonic>,
    /// Records of keys that the store has to remove, of a window that was taken away.
    dead_records: VecDeque<u64>,
}

impl Deduplication {
    /// When the queue wants a turn because of it.
    pub(super) fn poll_timeout(&self) -> Option<Monotonic> {
        self.forget_at
    }
}

impl Queue {
    /// Whether it drops duplicates.
    pub(crate) fn deduplicates(&self) -> bool {
        self.rules.dedup.is_some()
    }

    /// The message with this key that was accepted within the window.
    pub(crate) fn find_original(&self, key: DedupKey, at: Instants) -> Option<Original> {
        self.dedup.keys.as_ref()?.find(key, key_time(at), self.rules.dedup?)
    }

    /// A message was dropped, because another had its key.
    pub(crate) fn count_duplicate(&mut self) {
        self.counters.deduplicated += 1;
    }

    /// A message with this key was added; `is_stored`: it goes to the store.
    pub(crate) fn remember_key(&mut self, key: DedupKey, is_stored: bool, at: Instants) {
        let Some(rule) = self.rules.dedup else { return };
        let keys = self.dedup.keys.get_or_insert_default();
        let is_kept = is_stored && self.rules.durable;
        self.counters.dedup_evicted += keys.add(key, key_time(at), is_kept, rule);
        self.record_key(key);
        self.forget_keys_later(at, rule);
    }

    /// Takes the keys that the store has of it, oldest first.
    pub(crate) fn recover_keys(&mut self, records: &[KeyRecord]) {
        let Some(rule) = self.rules.dedup else {
            self.dedup.dead_records = records.iter().map(|record| record.number).collect();
            return;
        };
        self.dedup.keys = Some(Box::new(AcceptedKeys::recover(records, rule.size)));
        self.dedup.forget_at = Some(Monotonic::AT_ONCE);
    }

    /// Adds the keys that the next commit has to write, and the removal of records that are not needed any
    /// more. Returns up to where keys are in a commit, when it has any.
    pub(super) fn take_keys(&mut self, operations: &mut Vec<Operation>) -> Option<u64> {
        self.dedup.keys.as_mut()?.take_commit(self.id, operations)
    }

    /// Keys up to here are on stable storage.
    pub(crate) fn handle_keys_synced(&mut self, to: u64) {
        if let Some(keys) = &mut self.dedup.keys {
            keys.handle_synced(to);
        }
    }

    /// Keys that are remembered.
    pub(super) fn dedup_keys(&self) -> u64 {
        self.dedup.keys.as_ref().map_or(0, |keys| keys.len())
    }

    /// Forgets keys whose time has passed. Returns whether the store has to learn of it.
    pub(super) fn forget_keys(&mut self, at: Instants) -> bool {
        let Some(rule) = self.rules.dedup else { return false };
        let Some(keys) = self.dedup.keys.as_mut() else { return false };
        if self.dedup.forget_at.is_none_or(|when| when > at.monotonic) {
            return false;
        }
        let forgotten = keys.forget(key_time(at), rule, TURN_KEYS_FORGOTTEN_MAX);
        self.counters.dedup_evicted += forgotten.early;
        let has_changed = keys.has_forgotten_records();
        self.dedup.forget_at = None;
        if forgotten.is_more {
            self.dedup.forget_at = Some(at.monotonic);
        } else {
            self.forget_keys_later(at, rule);
        }
        has_changed
    }

    /// The rule changed. Without one all keys are forgotten.
    pub(super) fn change_dedup_rule(&mut self, now: Monotonic) {
        if self.rules.dedup.is_some() {
            self.dedup.forget_at = Some(now);
        } else if let Some(keys) = &mut self.dedup.keys {
            self.dedup.dead_records.extend(keys.clear());
            self.dedup.forget_at = None;
        }
    }

    /// The queue is deleted: its keys are forgotten.
    pub(crate) fn discard_keys(&mut self) {
        if let Some(keys) = &mut self.dedup.keys {
            self.dedup.dead_records.extend(keys.clear());
        }
    }

    /// Takes the numbers of the records that the store has to remove since there is no window any more.
    pub(crate) fn take_dead_key_records(&mut self) -> VecDeque<u64> {
        std::mem::take(&mut self.dedup.dead_records)
    }

    fn forget_keys_later(&mut self, at: Instants, rule: DedupRule) {
        if self.dedup.forget_at.is_none()
            && let Some(keys) = &self.dedup.keys
            && let Some(left) = keys
                .oldest_left(key_time(at), rule)
                .or_else(|| keys.has_forgotten_records().then_some(0))
        {
            let left = left.saturating_add(DEDUP_FORGET_INTERVAL_MS);
            self.dedup.forget_at = Some(at.monotonic.plus(left));
        }
    }
}

fn key_time(at: Instants) -> KeyTime {
    let ms = |time: i128| i64::try_from(time).unwrap_or(i64::MAX);
    let ahead = i128::from(at.wall.0) - at.steady;
    KeyTime { steady: ms(at.steady), ahead: ms(ahead), started: ms(at.started) }
}
