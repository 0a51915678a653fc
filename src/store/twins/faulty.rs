//! A store that fails on demand, around another one. The tests of engine and server use it to see
//! that nothing is confirmed which the disk has not taken.

use crate::error::StoreError;
use crate::store::{DelayedMessages, Statistics, Store};
use forebay_engine::model::{DelayedId, Level, Offset, QueueId};
use forebay_engine::operation::{Commit, Durability, Recovered};
use forebay_engine::page::Page;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};

/// What is to go wrong, once. Calls and syncs are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The n-th [`Store::apply`] fails and leaves nothing behind.
    ApplyLost(u64),
    /// The n-th [`Store::apply`] fails, but a restart finds its commits: the journal was written,
    /// the answer was an error.
    ApplyKept(u64),
    /// The n-th sync (an `apply` that asks for one, or [`Store::sync`]) fails; its commits are
    /// written, but not synced.
    Sync(u64),
    /// The n-th [`Store::apply`] does not return until [`FaultyStore::release`] is called.
    ApplyStuck(u64),
    /// The n-th [`Store::read`] or [`Store::read_delayed`] fails.
    Read(u64),
}

/// Passes everything on, until its [`Fault`] is due. After a failed write it takes no more.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    fault: Fault,
    counts: Mutex<Counts>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    applies: u64,
    syncs: u64,
    reads: u64,
    is_stopped: bool,
    is_released: bool,
}

impl<S: Store> FaultyStore<S> {
    /// Wraps a store.
    pub fn new(inner: S, fault: Fault) -> Self {
        Self { inner, fault, counts: Mutex::default(), released: Condvar::new() }
    }

    /// The store inside: what a restart would find.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Lets an `apply` that is stuck go on.
    pub fn release(&self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).is_released = true;
        self.released.notify_all();
    }

    fn wait_for_release(&self) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.released.wait_while(counts, |counts| !counts.is_released);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn count_apply(&self, is_synced: bool) -> Result<(u64, Option<u64>), StoreError> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.is_stopped {
            return Err(StoreError::Stopped);
        }
        counts.applies += 1;
        counts.syncs += u64::from(is_synced);
        Ok((counts.applies, is_synced.then_some(counts.syncs)))
    }

    fn count_read(&self, action: &'static str) -> Result<(), StoreError> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.reads += 1;
        if self.fault == Fault::Read(counts.reads) { Err(failure(action)) } else { Ok(()) }
    }

    fn stop(&self, action: &'static str) -> StoreError {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).is_stopped = true;
        failure(action)
    }
}

fn failure(action: &'static str) -> StoreError {
    StoreError::failed(action, io::Error::other("injected fault"))
}

impl<S: Store> Store for FaultyStore<S> {
    fn recover(&self) -> Result<Recovered, StoreError> {
        self.inner.recover()
    }

    fn apply(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let is_synced = commits.iter().any(|commit| commit.durability == Durability::Synced);
        let (apply, sync) = self.count_apply(is_synced)?;
        match self.fault {
            Fault::ApplyLost(at) if at == apply => Err(self.stop("write a commit")),
            Fault::ApplyKept(at) if at == apply => {
                self.inner.apply(commits)?;
                Err(self.stop("write a commit"))
            }
            Fault::Sync(at) if Some(at) == sync => {
                let mut unsynced = commits.to_vec();
                unsynced.iter_mut().for_each(|commit| commit.durability = Durability::Written);
                self.inner.apply(&unsynced)?;
                Err(self.stop("sync a commit"))
            }
            Fault::ApplyStuck(at) if at == apply => {
                self.wait_for_release();
                self.inner.apply(commits)
            }
            _ => self.inner.apply(commits),
        }
    }

    fn read(
        &self,
        queue: QueueId,
        level: Level,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<Page>, StoreError> {
        self.count_read("read a page")?;
        self.inner.read(queue, level, from, bytes_max)
    }

    fn read_delayed(
        &self,
        queue: QueueId,
        from: DelayedId,
        bytes_max: usize,
    ) -> Result<DelayedMessages, StoreError> {
        self.count_read("read a delayed message")?;
        self.inner.read_delayed(queue, from, bytes_max)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let sync = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.is_stopped {
                return Err(StoreError::Stopped);
            }
            counts.syncs += 1;
            counts.syncs
        };
        if self.fault == Fault::Sync(sync) {
            return Err(self.stop("sync"));
        }
        self.inner.sync()
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.is_stopped() { Err(StoreError::Stopped) } else { self.inner.check() }
    }

    fn is_stopped(&self) -> bool {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).is_stopped
    }

    fn statistics(&self) -> Statistics {
        self.inner.statistics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twins::memory::MemoryStore;
    use bytes::Bytes;
    use forebay_engine::model::{CommitId, Epoch};
    use forebay_engine::operation::Operation;
    use std::sync::Arc;

    fn commit(id: u64, durability: Durability) -> Commit {
        let key = Bytes::from(id.to_string());
        Commit {
            id: CommitId(id),
            epoch: Epoch(0),
            operations: vec![Operation::PutRecord { key, value: Bytes::new() }],
            durability,
        }
    }

    fn survivors(store: &FaultyStore<MemoryStore>) -> usize {
        store.inner().crash(0);
        store.recover().unwrap().records.len()
    }

    #[test]
    fn a_failed_apply_stops_the_store_and_may_or_may_not_be_kept() {
        for (fault, kept) in [(Fault::ApplyLost(2), 1), (Fault::ApplyKept(2), 2)] {
            let store = FaultyStore::new(MemoryStore::new(), fault);
            store.apply(&[commit(1, Durability::Synced)]).unwrap();
            assert!(store.apply(&[commit(2, Durability::Synced)]).is_err());
            assert!(matches!(
                store.apply(&[commit(3, Durability::Synced)]),
                Err(StoreError::Stopped)
            ));
            assert_eq!(survivors(&store), kept);
        }
    }

    #[test]
    fn a_failed_sync_leaves_its_commit_unsynced() {
        let store = FaultyStore::new(MemoryStore::new(), Fault::Sync(2));
        store.apply(&[commit(1, Durability::Synced)]).unwrap();
        store.apply(&[commit(2, Durability::Written)]).unwrap();
        assert!(store.apply(&[commit(3, Durability::Synced)]).is_err());
        assert_eq!(survivors(&store), 1);
    }

    #[test]
    fn a_stuck_apply_returns_when_released() {
        let store = Arc::new(FaultyStore::new(MemoryStore::new(), Fault::ApplyStuck(1)));
        let writer = Arc::clone(&store);
        let thread =
            std::thread::spawn(move || writer.apply(&[commit(1, Durability::Synced)]).is_ok());
        store.release();
        assert!(thread.join().unwrap());
        assert_eq!(survivors(&store), 1);
    }

    #[test]
    fn a_failed_read_is_reported_once() {
        let store = FaultyStore::new(MemoryStore::new(), Fault::Read(1));
        assert!(store.read(QueueId(1), Level(0), Offset(0), 1).is_err());
        assert!(store.read(QueueId(1), Level(0), Offset(0), 1).is_ok());
    }
}
