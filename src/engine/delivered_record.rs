//! Up to where each level was delivered, as one record of the store. Written when the broker stops in
//! good order and removed when it starts: after a crash there is none, and nobody knows.
//!
//! ```text
//! key    'd'
//! value  version:u8 (queue:u64 level:u8 delivered_to:u64)*
//!
//! integers big endian; a level that is left out was not delivered from since it was last empty
//! ```

use crate::model::{Level, Offset, QueueId};
use crate::operation::Operation;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;

const VERSION: u8 = 1;
const KEY: &[u8] = b"d";

/// By level: every message from here on was never delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeliveredRecord {
    pub(crate) levels: BTreeMap<(QueueId, Level), Offset>,
}

/// Whether a record of the store is this one.
pub(crate) fn is_ours(key: &[u8]) -> bool {
    key == KEY
}

impl DeliveredRecord {
    /// What is stored; nothing when there is no such record, or none that this version can read.
    pub(crate) fn recover(records: &[(Bytes, Bytes)]) -> Option<Self> {
        let (_, value) = records.iter().find(|(key, _)| is_ours(key))?;
        let mut value = value.clone();
        if value.try_get_u8().ok()? != VERSION {
            return None;
        }
        let mut levels = BTreeMap::new();
        while value.has_remaining() {
            let queue = QueueId(value.try_get_u64().ok()?);
            let level = Level(value.try_get_u8().ok()?);
            levels.insert((queue, level), Offset(value.try_get_u64().ok()?));
        }
        Some(Self { levels })
    }

    pub(crate) fn put(&self) -> Operation {
        let mut value = BytesMut::from_iter([VERSION]);
        for ((queue, level), delivered_to) in &self.levels {
            value.put_u64(queue.0);
            value.put_u8(level.0);
            value.put_u64(delivered_to.0);
        }
        Operation::PutRecord { key: Bytes::from_static(KEY), value: value.freeze() }
    }

    pub(crate) fn remove() -> Operation {
        Operation::RemoveRecord { key: Bytes::from_static(KEY) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(levels: BTreeMap<(u64, u8), u64>) {
            let levels = levels.into_iter();
            let levels = levels.map(|((queue, level), to)| ((QueueId(queue), Level(level)), Offset(to)));
            let record = DeliveredRecord { levels: levels.collect() };
            let Operation::PutRecord { key, value } = record.put() else { panic!() };
            prop_assert_eq!(DeliveredRecord::recover(&[(key, value)]), Some(record));
        }

        #[test]
        fn no_value_makes_reading_panic(value: Vec<u8>) {
            let _ = DeliveredRecord::recover(&[(Bytes::from_static(KEY), value.into())]);
        }
    }
}
