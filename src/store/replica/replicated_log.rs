//! The entries of a replicated log as values of the store, and which of them there are.
//!
//! They stand in the keyspace of pages and go as pages do: removed one by one when the log is cut, so that
//! most never leave the memtable, and with the tables of which nothing is needed. Unlike a page, an entry
//! may be written again under its key, after a truncation: it is never removed weakly.

use crate::damage::Damage;
use crate::error::StoreError;
use crate::fjall::database::Space;
use crate::fjall::recovery;
use crate::fjall::view::View;
use crate::fjall::write_batch::WriteBatch;
use crate::format::checksummed;
use crate::format::cursor::Cursor;
use crate::format::key;
use bytes::{BufMut, Bytes};
use std::collections::VecDeque;
use std::ops::Range;

/// Where a log was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCut {
    /// The last index that is not there any more.
    pub index: u64,
    /// What the log's owner said of it.
    pub label: Bytes,
}

/// Which entries there are: all indexes from the first to the last one.
#[derive(Debug, Default)]
pub(crate) struct LogExtent {
    first: u64,
    /// Bytes of each entry.
    sizes: VecDeque<u64>,
}

impl LogExtent {
    /// Reads it.
    pub(crate) fn read(view: &View) -> Result<Self, StoreError> {
        let first = cut(view)?.map_or(0, |cut| cut.index.saturating_add(1));
        let mut extent = Self { first, sizes: VecDeque::new() };
        let (from, to) = (key::log_entry(first), key::log_entry(u64::MAX));
        let keys = view.keys(Space::Pages, &from, &to);
        for (key, size) in keys.zip(view.sizes(Space::Pages, &from, &to)) {
            let index = key::parse_log_entry(&key.map_err(recovery::failed)?);
            if index != Some(extent.next()) {
                return Err(missing(extent.next()));
            }
            extent.sizes.push_back(size.map_err(recovery::failed)?);
        }
        Ok(extent)
    }

    /// The indexes that are there.
    pub(crate) fn indexes(&self) -> Range<u64> {
        self.first..self.next()
    }

    /// Those of these indexes that are there, until the bytes of their entries reach `bytes_max`.
    pub(crate) fn within(&self, indexes: Range<u64>, bytes_max: u64) -> Range<u64> {
        let (from, to) = (indexes.start.max(self.first), indexes.end.min(self.next()));
        let skipped = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        let mut bytes = 0_u64;
        let sizes = self.sizes.iter().skip(skipped);
        let fitting = sizes.take_while(|size| {
            let has_room = bytes < bytes_max;
            bytes = bytes.saturating_add(**size);
            has_room
        });
        from..to.min(from.saturating_add(fitting.count() as u64))
    }

    /// The index that the next entry has.
    pub(crate) fn next(&self) -> u64 {
        self.first.saturating_add(self.sizes.len() as u64)
    }

    /// Bytes of all entries.
    pub(crate) fn bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// Puts entries behind the last one.
    pub(crate) fn append(&mut self, entries: &[Bytes], batch: &mut WriteBatch<'_>) {
        for entry in entries {
            let key = key::log_entry(self.next());
            let value = checksummed::seal(&key, entry);
            self.sizes.push_back(value.len() as u64);
            batch.insert(Space::Pages, key, value);
        }
    }

    /// Takes the entries from this index on away.
    pub(crate) fn truncate(&mut self, from: u64, batch: &mut WriteBatch<'_>) {
        let from = from.max(self.first);
        for index in from..self.next() {
            batch.remove(Space::Pages, key::log_entry(index));
        }
        self.sizes.truncate(usize::try_from(from - self.first).unwrap_or(usize::MAX));
    }

    /// Takes the entries up to the cut away. Tells the bytes of these.
    pub(crate) fn cut(&mut self, cut: &LogCut, batch: &mut WriteBatch<'_>) -> u64 {
        let first = cut.index.saturating_add(1);
        let mut bytes = 0;
        while self.first < first
            && let Some(size) = self.sizes.pop_front()
        {
            batch.remove(Space::Pages, key::log_entry(self.first));
            bytes += size;
            self.first += 1;
        }
        // A snapshot may have come in the place of entries that were never here.
        self.first = self.first.max(first);
        let key = key::log_cut();
        let mut content = Vec::with_capacity(8 + cut.label.len());
        content.put_u64(cut.index);
        content.put_slice(&cut.label);
        let value = checksummed::seal(&key, &content);
        batch.insert(Space::Meta, key, value);
        bytes
    }
}

/// Where the log was cut off last; `None`: never.
pub(crate) fn cut(view: &View) -> Result<Option<LogCut>, StoreError> {
    let Some(content) = sealed(view, &key::log_cut(), "the cut of the replicated log")? else {
        return Ok(None);
    };
    let mut cursor = Cursor::new(content);
    let index = cursor.integer().ok_or_else(|| {
        Damage::elsewhere("the cut of the replicated log is shorter than it should be")
    })?;
    Ok(Some(LogCut { index, label: cursor.rest() }))
}

/// The entries with these indexes, each of which must be there.
pub(crate) fn entries(view: &View, indexes: Range<u64>) -> Result<Vec<Bytes>, StoreError> {
    if indexes.is_empty() {
        return Ok(Vec::new());
    }
    let (from, to) = (key::log_entry(indexes.start), key::log_entry(indexes.end - 1));
    let mut items = view.range(Space::Pages, &from, &to);
    let mut entries = Vec::new();
    for index in indexes {
        let item = items.next().transpose().map_err(recovery::failed)?;
        let (key, value) = item.ok_or_else(|| missing(index))?;
        if key::parse_log_entry(&key) != Some(index) {
            return Err(missing(index));
        }
        entries.push(checksummed::unseal(&key, &value).map_err(|flaw| {
            Damage::elsewhere(format!("entry {index} of the replicated log: {flaw}"))
        })?);
    }
    Ok(entries)
}

/// The content of a value of `meta`, when it is there. `what` names it for people.
pub(crate) fn sealed(view: &View, key: &[u8], what: &str) -> Result<Option<Bytes>, StoreError> {
    let value = view.get(Space::Meta, key).map_err(recovery::failed)?;
    let content = value.map(|value| checksummed::unseal(key, &value)).transpose();
    content.map_err(|flaw| Damage::elsewhere(format!("{what}: {flaw}")))
}

fn missing(index: u64) -> StoreError {
    Damage::elsewhere(format!("entry {index} of the replicated log is missing"))
}
