//! Messages into queues that drop duplicates (`x-dedup-window`), and the records of keys that the store is
//! to be rid of.

use super::Shard;
use super::publishing::{Awaited, Incoming};
use crate::deduplication::{DedupKey, KeyRecord, KeyRecordError, KeyRecordId, Original};
use crate::limits::DEAD_KEY_RECORDS_MAX;
use crate::model::{Message, Monotonic, QueueId};
use crate::queue::Instants;
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};

/// Records of one queue that are to be removed.
#[derive(Debug)]
pub(super) struct DeadKeyRecords {
    queue: QueueId,
    numbers: VecDeque<u64>,
}

impl Shard {
    /// Adds the messages that are no duplicates to a queue that drops those. What a full queue refuses is
    /// not remembered.
    pub(super) fn enqueue_new(&mut self, id: QueueId, incoming: &mut Incoming<'_>) -> Awaited {
        let mut awaited = Awaited::Nothing;
        for (place, message) in incoming.messages.iter().enumerate() {
            let Some(queue) = self.queues.get_mut(&id) else { break };
            let key = DedupKey::of(message);
            if let Some(original) = key.and_then(|key| queue.find_original(key, incoming.at)) {
                queue.count_duplicate();
                if let Some(key) = key {
                    let by = || self.clients.party_of(incoming.by.channel()?);
                    queue.record_duplicate(key, by, incoming.at);
                }
                awaited = awaited.and(match original {
                    Original::Durable => Awaited::Nothing,
                    Original::Unsynced => Awaited::Sync,
                    Original::Unwritten => Awaited::Next,
                });
                continue;
            }
            let Some(is_stored) = self.enqueue_one(id, place, incoming) else { continue };
            awaited = awaited.and(Awaited::next_if(is_stored));
            if let (Some(key), Some(queue)) = (key, self.queues.get_mut(&id)) {
                queue.remember_key(key, is_stored, incoming.at);
            }
        }
        awaited
    }

    /// Whether a queue would take a message after others of its transaction, whose keys are in `keys`,
    /// rather than drop it as a duplicate.
    pub(super) fn is_new(
        &self,
        id: QueueId,
        message: &Message,
        at: Instants,
        keys: &mut BTreeSet<(QueueId, DedupKey)>,
    ) -> bool {
        let queue = self.queues.get(&id).filter(|queue| queue.deduplicates());
        let (Some(queue), Some(key)) = (queue, DedupKey::of(message)) else { return true };
        queue.find_original(key, at).is_none() && keys.insert((id, key))
    }

    /// Gives the queues the keys that a store has, and drops those of queues that are gone.
    ///
    /// # Errors
    /// When a record was written by a newer version.
    pub(super) fn recover_keys(
        &mut self,
        records: &[(Bytes, Bytes)],
    ) -> Result<(), KeyRecordError> {
        for (id, of_queue) in KeyRecord::recover(records)? {
            let numbers = match self.queues.get_mut(&id) {
                Some(queue) => {
                    queue.recover_keys(&of_queue);
                    queue.take_dead_key_records()
                }
                None => of_queue.iter().map(|record| record.number).collect(),
            };
            self.remove_key_records(id, numbers);
        }
        Ok(())
    }

    /// Records of a queue are to be removed, some with each input.
    pub(super) fn remove_key_records(&mut self, queue: QueueId, numbers: VecDeque<u64>) {
        if !numbers.is_empty() {
            self.dead_key_records.push_back(DeadKeyRecords { queue, numbers });
        }
    }

    /// Removes as many records as one input may.
    pub(super) fn remove_dead_key_records(&mut self, now: Monotonic) {
        let Some(DeadKeyRecords { queue, numbers }) = self.dead_key_records.front_mut() else {
            return;
        };
        let part = numbers.len().min(DEAD_KEY_RECORDS_MAX);
        let part = numbers.drain(..part);
        let queue = *queue;
        let removals = part.map(|number| KeyRecordId { queue, number }.remove());
        self.commits.add_deferred_operations(removals, now);
        if numbers.is_empty() {
            self.dead_key_records.pop_front();
        }
    }
}
