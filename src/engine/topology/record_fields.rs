//! What one record of the topology is read from, part by part.

use super::record;
use crate::model::{Destination, ObjectName};
use bytes::Bytes;
use forebay_wire::{FieldTable, ShortStr};

/// What may be wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFlaw {
    /// Its key begins with no kind that we know.
    #[error("unknown kind, written by a newer version")]
    Kind,
    /// Its version is not ours.
    #[error("has version {found}, expected {expected}: written by a newer version", expected = record::VERSION)]
    Version {
        /// What stood there.
        found: u8,
    },
    /// It ends too early, goes on after its end, or a value in it is none that is ever written.
    #[error("damaged: {part} can't be read")]
    Damaged {
        /// The part that can't be read.
        part: &'static str,
    },
    /// It needs an object that no record tells of, or is refused for another reason.
    #[error("damaged or incomplete: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

/// What one record is read from, front to back.
pub(super) struct Fields {
    pub(super) rest: Bytes,
}

pub(super) type Read<T> = Result<T, RecordFlaw>;

impl Fields {
    pub(super) fn byte(&mut self, part: &'static str) -> Read<u8> {
        let byte = self.take(1, part)?.first().copied();
        byte.ok_or(RecordFlaw::Damaged { part })
    }

    pub(super) fn integer(&mut self, part: &'static str) -> Read<u64> {
        let bytes = self.take(8, part)?;
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub(super) fn flags(&mut self, known: u8) -> Read<u8> {
        match self.byte("flags")? {
            flags if flags & !known == 0 => Ok(flags),
            _ => Err(RecordFlaw::Damaged { part: "flags" }),
        }
    }

    pub(super) fn short(&mut self, part: &'static str) -> Read<ShortStr> {
        let length = self.byte(part)?;
        let bytes = self.take(length.into(), part)?;
        let short = ShortStr::try_from(bytes).map_err(|_| RecordFlaw::Damaged { part })?;
        Ok(short.detached())
    }

    pub(super) fn object_name(&mut self, part: &'static str) -> Read<ObjectName> {
        self.short(part).map(ObjectName::stored)
    }

    pub(super) fn destination(&mut self, part: &'static str) -> Read<Destination> {
        match self.byte(part)? {
            record::TO_QUEUE => Ok(Destination::Queue(self.object_name(part)?)),
            record::TO_EXCHANGE => Ok(Destination::Exchange(self.object_name(part)?)),
            _ => Err(RecordFlaw::Damaged { part }),
        }
    }

    /// Bytes behind their length in two bytes.
    pub(super) fn long(&mut self, part: &'static str) -> Read<Bytes> {
        let length = self.take(2, part)?;
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        self.take(length, part)
    }

    /// A table that is the rest of the record.
    pub(super) fn last_table(&mut self, part: &'static str) -> Read<FieldTable> {
        let table = FieldTable::decode(&self.rest).map_err(|_| RecordFlaw::Damaged { part })?;
        Ok(table.detached())
    }

    pub(super) fn end(&self) -> Read<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(RecordFlaw::Damaged { part: "end" }) }
    }

    pub(super) fn take(&mut self, length: usize, part: &'static str) -> Read<Bytes> {
        if self.rest.len() < length {
            return Err(RecordFlaw::Damaged { part });
        }
        Ok(self.rest.split_to(length))
    }
}
