//! The keys that one commit adds to a queue, as a record of the store: written with the messages, so that
//! after a crash a queue has both or neither, and removed when all its keys are forgotten.
//!
//! ```text
//! key    'k' queue:u64 number:u64
//! value  version:u8 started:i64 steady:i64 ahead:i64 key:16*
//!
//! integers big endian; number: grows by one in its queue; the times are those of the last key, as in
//! [`KeyTime`], in ms
//! ```

use super::{DedupKey, KeyTime};
use crate::model::QueueId;
use crate::operation::Operation;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;

const VERSION: u8 = 1;
const KIND: u8 = b'k';
const KEY_SIZE: usize = 1 + 8 + 8;

/// Whether a record of the store is one of these.
pub(crate) fn is_ours(key: &[u8]) -> bool {
    KeyRecordId::parse(key).is_some()
}

/// The name of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyRecordId {
    pub(crate) queue: QueueId,
    pub(crate) number: u64,
}

impl KeyRecordId {
    fn parse(mut key: &[u8]) -> Option<Self> {
        if key.len() != KEY_SIZE || key.try_get_u8().ok()? != KIND {
            return None;
        }
        let queue = QueueId(key.try_get_u64().ok()?);
        Some(Self { queue, number: key.try_get_u64().ok()? })
    }

    fn encode(self) -> Bytes {
        let mut key = BytesMut::with_capacity(KEY_SIZE);
        key.put_u8(KIND);
        key.put_u64(self.queue.0);
        key.put_u64(self.number);
        key.freeze()
    }

    pub(crate) fn remove(self) -> Operation {
        Operation::RemoveRecord { key: self.encode() }
    }

    /// Changes nothing, as no record has this name: for a commit that has nothing but to be synced.
    pub(crate) fn no_change() -> Operation {
        Self { queue: QueueId(u64::MAX), number: u64::MAX }.remove()
    }
}

/// Keys that were accepted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    pub(crate) number: u64,
    /// When the last of them was.
    pub(crate) time: KeyTime,
    /// In the order of their messages.
    pub(crate) keys: Vec<DedupKey>,
}

/// A record of keys that can't be read: a newer version wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "record {number} of the deduplication keys of queue id {queue} is not of version {VERSION}"
)]
pub struct KeyRecordError {
    /// The queue.
    pub queue: QueueId,
    /// Its number.
    pub number: u64,
}

/// The records of each queue, in their order.
pub(crate) type RecoveredKeys = BTreeMap<QueueId, Vec<KeyRecord>>;

impl KeyRecord {
    pub(crate) fn put(&self, queue: QueueId) -> Operation {
        let mut value = BytesMut::with_capacity(1 + 3 * 8 + self.keys.len() * 16);
        value.put_u8(VERSION);
        value.put_i64(self.time.started);
        value.put_i64(self.time.steady);
        value.put_i64(self.time.ahead);
        self.keys.iter().for_each(|key| value.put_slice(&key.0));
        let key = KeyRecordId { queue, number: self.number }.encode();
        Operation::PutRecord { key, value: value.freeze() }
    }

    /// The records of keys among those of a store.
    ///
    /// # Errors
    /// When one was written by a newer version.
    pub(crate) fn recover(records: &[(Bytes, Bytes)]) -> Result<RecoveredKeys, KeyRecordError> {
        let mut recovered = RecoveredKeys::new();
        for (key, value) in records {
            let Some(KeyRecordId { queue, number }) = KeyRecordId::parse(key) else { continue };
            let record = Self::decode(number, value.clone());
            let record = record.ok_or(KeyRecordError { queue, number })?;
            recovered.entry(queue).or_default().push(record);
        }
        recovered.values_mut().for_each(|of_queue| of_queue.sort_by_key(|record| record.number));
        Ok(recovered)
    }

    fn decode(number: u64, mut value: Bytes) -> Option<Self> {
        if value.try_get_u8().ok()? != VERSION {
            return None;
        }
        let started = value.try_get_i64().ok()?;
        let steady = value.try_get_i64().ok()?;
        let ahead = value.try_get_i64().ok()?;
        let (keys, rest) = value.as_chunks();
        let keys = keys.iter().map(|key| DedupKey(*key)).collect();
        rest.is_empty().then_some(Self { number, time: KeyTime { steady, ahead, started }, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(
            queue: u64, number: u64, times: (i64, i64, i64), keys: Vec<[u8; 16]>
        ) {
            let keys = keys.into_iter().map(DedupKey).collect();
            let (steady, ahead, started) = times;
            let record = KeyRecord { number, time: KeyTime { steady, ahead, started }, keys };
            let Operation::PutRecord { key, value } = record.put(QueueId(queue)) else { panic!() };
            prop_assert!(is_ours(&key));
            let recovered = KeyRecord::recover(&[(key.clone(), value)]);
            prop_assert_eq!(recovered, Ok(RecoveredKeys::from([(QueueId(queue), vec![record])])));
            let id = KeyRecordId { queue: QueueId(queue), number };
            let Operation::RemoveRecord { key: removed } = id.remove() else { panic!() };
            prop_assert_eq!(removed, key);
        }

        #[test]
        fn no_value_makes_reading_panic(value: Vec<u8>) {
            let key = KeyRecordId { queue: QueueId(1), number: 2 }.encode();
            let _ = KeyRecord::recover(&[(key, value.into())]);
        }
    }
}
