//! How far the store has come: each batch carries its own number, and that of the last one that
//! was known to be on stable storage when it was written. After a crash the two tell damage from a
//! torn tail: what a later batch calls synced must be there.
//!
//! ```text
//! progress: applied:u64 synced:u64
//! ```

use crate::cursor::Cursor;
use crate::seal::{self, Flaw};
use bytes::{BufMut, Bytes};

/// Numbers of batches, from 1; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) applied: u64,
    pub(crate) synced: u64,
}

impl Progress {
    pub(crate) fn encode(self, key: &[u8]) -> Bytes {
        let mut content = [0; 16];
        let mut rest = content.as_mut_slice();
        rest.put_u64(self.applied);
        rest.put_u64(self.synced);
        seal::seal(key, &content)
    }

    pub(crate) fn decode(key: &[u8], value: &Bytes) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(seal::unseal(key, value)?);
        match (cursor.integer(), cursor.integer()) {
            (Some(applied), Some(synced)) => Ok(Self { applied, synced }),
            _ => Err(Flaw::Layout("progress")),
        }
    }
}
