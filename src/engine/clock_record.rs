//! How far the wall clock is ahead of the clock by which `x-delay` counts, as one record of the store. It is
//! written when the wall clock was set, so that a message that was published after that is due in its time
//! after a restart too: until then its due time stands on a clock that never jumped.
//!
//! ```text
//! key    'c'
//! value  version:u8 ahead:i64
//!
//! integers big endian; ms; no record: it was never set
//! ```

use crate::operation::Operation;
use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u8 = 1;
const KEY: &[u8] = b"c";

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockRecord {
    pub(crate) ahead: i64,
}

/// Whether a record of the store is this one.
pub(crate) fn is_ours(key: &[u8]) -> bool {
    key == KEY
}

impl ClockRecord {
    /// What is stored; nothing when there is no such record, or none that this version can read.
    pub(crate) fn recover(records: &[(Bytes, Bytes)]) -> Option<Self> {
        let (_, value) = records.iter().find(|(key, _)| is_ours(key))?;
        let mut value = value.clone();
        if value.try_get_u8().ok()? != VERSION {
            return None;
        }
        let ahead = value.try_get_i64().ok()?;
        (!value.has_remaining()).then_some(Self { ahead })
    }

    pub(crate) fn put(self) -> Operation {
        let mut value = BytesMut::from_iter([VERSION]);
        value.put_i64(self.ahead);
        Operation::PutRecord { key: Bytes::from_static(KEY), value: value.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(ahead: i64) {
            let Operation::PutRecord { key, value } = (ClockRecord { ahead }).put() else { panic!() };
            prop_assert_eq!(ClockRecord::recover(&[(key, value)]), Some(ClockRecord { ahead }));
        }

        #[test]
        fn no_value_makes_reading_panic(value: Vec<u8>) {
            let _ = ClockRecord::recover(&[(Bytes::from_static(KEY), value.into())]);
        }
    }
}
