//! A key at one moment, as tables and journals hold it.

use crate::format::checksummed;
use bytes::Bytes;

/// What became of a key in one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) key: Bytes,
    /// The number of the batch: of two items of a key the higher one counts.
    pub(crate) seqno: u64,
    pub(crate) kind: Kind,
    pub(crate) value: Bytes,
    /// It stood in a batch of a journal that is no whole one.
    pub(crate) is_saved: bool,
}

/// Whether an item has a value, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Value,
    /// The key is gone.
    Removal,
    /// Its value lies in a blob file, `value` says where.
    Blob,
}

impl Item {
    /// Whether a value of ours is as it was written under this key.
    pub(crate) fn is_sealed(&self) -> bool {
        self.kind == Kind::Value && checksummed::unseal(&self.key, &self.value).is_ok()
    }
}

impl Kind {
    /// fjall's number for it.
    pub(crate) fn parse(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Value),
            1 | 2 => Some(Self::Removal),
            4 => Some(Self::Blob),
            _ => None,
        }
    }
}
