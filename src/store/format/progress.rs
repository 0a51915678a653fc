//! How far the store has come: each batch carries its own number, and that of the last one that
//! was known to be on stable storage when it was written. After a crash the two tell damage from a
//! torn tail: what a later batch calls synced must be there.
//!
//! ```text
//! progress: applied:u64 synced:u64 [before:u64 count:u64]
//! ```
//! `before` and `count`: messages that were put into pages before this batch, and by it. When batches
//! are lost, those around them tell how many messages they held. Earlier versions wrote neither.

use crate::format::checksummed::{self, Flaw};
use crate::format::cursor::Cursor;
use bytes::{BufMut, Bytes};

/// Numbers of batches, from 1; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) applied: u64,
    pub(crate) synced: u64,
    /// `None` when an earlier version wrote it.
    pub(crate) put: Option<MessagesPut>,
}

/// Messages that were ever put into pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MessagesPut {
    /// Before the batch.
    pub(crate) before: u64,
    /// By the batch.
    pub(crate) count: u64,
}

impl MessagesPut {
    /// With the batch.
    pub(crate) fn after(self) -> u64 {
        self.before.saturating_add(self.count)
    }
}

impl Progress {
    /// Before anything was stored.
    pub(crate) const NONE: Self =
        Self { applied: 0, synced: 0, put: Some(MessagesPut { before: 0, count: 0 }) };

    pub(crate) fn encode(self, key: &[u8]) -> Bytes {
        let mut content = Vec::with_capacity(4 * 8);
        content.put_u64(self.applied);
        content.put_u64(self.synced);
        if let Some(MessagesPut { before, count }) = self.put {
            content.put_u64(before);
            content.put_u64(count);
        }
        checksummed::seal(key, &content)
    }

    pub(crate) fn decode(key: &[u8], value: &Bytes) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(checksummed::unseal(key, value)?);
        let (Some(applied), Some(synced)) = (cursor.integer(), cursor.integer()) else {
            return Err(Flaw::Layout("progress"));
        };
        let put = cursor.integer().zip(cursor.integer());
        let put = put.map(|(before, count)| MessagesPut { before, count });
        Ok(Self { applied, synced, put })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_that_of_an_earlier_version_is_read() {
        let put = Some(MessagesPut { before: 7, count: 2 });
        for put in [put, None] {
            let progress = Progress { applied: 3, synced: u64::MAX, put };
            assert_eq!(Progress::decode(b"k", &progress.encode(b"k")), Ok(progress));
        }
        assert_eq!(put.map(MessagesPut::after), Some(9));
    }
}
