//! The log as openraft asks for it: on the store, written by the writer's thread.

use crate::entry_value::{
    decode_entry, decode_log_id, decode_vote, encode_entry, encode_log_id, encode_vote,
};
use crate::limits::APPEND_BYTES_MAX;
use crate::log_writer::{Job, LogWriter, failed};
use crate::raft_types::{Entry, LogId, Types, Vote};
use bytes::Bytes;
use forebay_store::{LogCut, ReplicaStore};
use futures_util::{Stream, StreamExt, stream};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The log of a group.
#[derive(Clone, Debug)]
pub(crate) struct LogStorage {
    store: Arc<ReplicaStore>,
    writer: LogWriter,
    /// Entries that were handed to the writer. Those that it has written are in the store, too, and go with
    /// the next append.
    unwritten: Arc<Mutex<Unwritten>>,
}

#[derive(Debug, Default)]
struct Unwritten {
    entries: BTreeMap<u64, Bytes>,
}

impl LogStorage {
    pub(crate) fn new(store: Arc<ReplicaStore>, writer: LogWriter) -> Self {
        Self { store, writer, unwritten: Arc::default() }
    }

    /// The entries with these indexes, as far as the log has them, until their bytes reach `bytes_max`.
    async fn read(&self, indexes: Range<u64>, bytes_max: u64) -> io::Result<Vec<Entry>> {
        if indexes.is_empty() {
            return Ok(Vec::new());
        }
        // IMPORTANT: before the store. An entry that is not here any more is in the store.
        let unwritten: Vec<(u64, Bytes)> =
            self.unwritten().entries.range(indexes.clone()).map(copy).collect();
        let end = unwritten.first().map_or(indexes.end, |(index, _)| *index);
        let mut entries = Vec::new();
        if indexes.start < end {
            let (store, stored) = (Arc::clone(&self.store), indexes.start..end);
            let read = move || store.entries(stored, bytes_max);
            let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?;
            entries = read.map_err(|error| failed(&error))?;
        }
        let mut bytes = entries.iter().map(|entry| entry.len() as u64).sum::<u64>();
        let entries = entries.into_iter().map(decode_entry);
        let mut entries = entries.collect::<io::Result<Vec<Entry>>>()?;
        let next = entries.last().map_or(end, |last| last.log_id.index.saturating_add(1));
        for (next, (index, entry)) in (next..).zip(unwritten) {
            // What the store has was cut short, or this is.
            if index != next || bytes >= bytes_max {
                break;
            }
            bytes += entry.len() as u64;
            entries.push(decode_entry(entry)?);
        }
        Ok(entries)
    }

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn copy((index, entry): (&u64, &Bytes)) -> (u64, Bytes) {
    (*index, entry.clone())
}

fn indexes(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<Types> for LogStorage {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(indexes(&range), u64::MAX).await
    }

    /// Whatever a node has to catch up with, only some of it is in memory at a time.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let steps = stream::unfold((self.clone(), indexes(&range)), |(reader, rest)| async move {
            if rest.is_empty() {
                return None;
            }
            let (items, next) = match reader.read(rest.clone(), APPEND_BYTES_MAX).await {
                Ok(entries) => {
                    let next = entries.last().map(|last| last.log_id.index.saturating_add(1));
                    // Without an entry the log has come to its end.
                    let next = next.unwrap_or(rest.end);
                    (entries.into_iter().map(Ok).collect(), next)
                }
                Err(error) => (vec![Err(error)], rest.end),
            };
            Some((stream::iter(items), (reader, next..rest.end)))
        });
        Box::pin(steps.flatten())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(start..end, APPEND_BYTES_MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let vote = self.store.vote().map_err(|error| failed(&error))?;
        vote.map(decode_vote).transpose()
    }
}

impl RaftLogStorage<Types> for LogStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let (indexes, cut) = self.store.log_state().map_err(|error| failed(&error))?;
        let last_purged_log_id = cut.map(|cut| decode_log_id(cut.label)).transpose()?;
        let last_written = match indexes.is_empty() {
            true => None,
            false => self
                .store
                .entries(indexes.end - 1..indexes.end, u64::MAX)
                .map_err(|error| failed(&error))?
                .pop(),
        };
        let last = match last_written {
            Some(entry) => Some(decode_entry(entry)?.log_id),
            None => last_purged_log_id,
        };
        let unwritten = self.unwritten().entries.last_key_value().map(copy);
        let last_log_id = match unwritten {
            Some((_, entry)) => last.max(Some(decode_entry(entry)?.log_id)),
            None => last,
        };
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = encode_vote(vote);
        self.writer.run(|answer| Job::Vote { vote, answer }).await
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|entry| (entry.log_id.index, encode_entry(&entry)));
        let entries: BTreeMap<u64, Bytes> = entries.collect();
        let Some(first) = entries.first_key_value().map(|(index, _)| *index) else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        let written = self.store.log_indexes().end;
        let values = entries.values().cloned().collect();
        let mut unwritten = self.unwritten();
        unwritten.entries = unwritten.entries.split_off(&written);
        unwritten.entries.extend(entries);
        drop(unwritten);
        self.writer.send(Job::Append { first, entries: values, flushed: callback })
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let from = last_log_id.map_or(0, |last| last.index.saturating_add(1));
        self.writer.run(|answer| Job::Truncate { from, answer }).await?;
        self.unwritten().entries.clear();
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let cut = LogCut { index: log_id.index, label: encode_log_id(log_id) };
        self.writer.run(|answer| Job::Cut { cut, answer }).await?;
        self.unwritten().entries.clear();
        Ok(())
    }
}
