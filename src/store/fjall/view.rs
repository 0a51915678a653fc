//! The content of the database at one moment.

use crate::fjall::database::{Database, Error, Space};
use bytes::Bytes;
use fjall::{Readable, Snapshot};

/// A view of the content at one moment.
pub(crate) struct View {
    database: Database,
    snapshot: Snapshot,
}

impl View {
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.snapshot.get(self.database.keyspace(space), key)?.map(Bytes::from))
    }

    pub(crate) fn range(
        &self,
        space: Space,
        first: &[u8],
        last: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Bytes, Bytes), Error>> + use<> {
        self.snapshot.range(self.database.keyspace(space), first..=last).map(|guard| {
            let (key, value) = guard.into_inner()?;
            Ok((key.into(), value.into()))
        })
    }

    /// The keys alone, as copies: what fjall gives shares the memory of a whole block.
    pub(crate) fn keys(
        &self,
        space: Space,
        first: &[u8],
        last: &[u8],
    ) -> impl Iterator<Item = Result<Bytes, Error>> + use<> {
        self.snapshot
            .range(self.database.keyspace(space), first..=last)
            .map(|guard| Ok(Bytes::copy_from_slice(&guard.key()?)))
    }

    /// The highest key of a range.
    pub(crate) fn last_key(
        &self,
        space: Space,
        first: &[u8],
        last: &[u8],
    ) -> Result<Option<Bytes>, Error> {
        let highest = self.snapshot.range(self.database.keyspace(space), first..=last).next_back();
        highest.map(|guard| Ok(Bytes::copy_from_slice(&guard.key()?))).transpose()
    }

    /// Bytes of the values; those that are kept apart are not read.
    pub(crate) fn sizes(
        &self,
        space: Space,
        first: &[u8],
        last: &[u8],
    ) -> impl Iterator<Item = Result<u64, Error>> + use<> {
        self.snapshot
            .range(self.database.keyspace(space), first..=last)
            .map(|guard| Ok(u64::from(guard.size()?)))
    }

    pub(crate) fn prefix(
        &self,
        space: Space,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(Bytes, Bytes), Error>> + use<> {
        self.snapshot.prefix(self.database.keyspace(space), prefix).map(|guard| {
            let (key, value) = guard.into_inner()?;
            Ok((key.into(), value.into()))
        })
    }
}

impl Database {
    /// The content at this moment, whatever is written or dropped meanwhile.
    pub(crate) fn view(&self) -> View {
        View { database: self.clone(), snapshot: self.inner.snapshot() }
    }
}
