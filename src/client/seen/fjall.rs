//! Seen messages in a local database, for one process that is restarted.
//!
//! ```text
//! key -> expires:u64 (ms since 1970, big-endian)  owner:u64 (big-endian; absent when done)
//! ```
//!
//! A claim is not synced: when the machine dies it may be forgotten, and the message is delivered
//! again anyway. A completion is synced before the worker acks; one sync serves all completions that
//! were written before it began. What has expired is swept a few entries at a time, beside the claims.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Claim, SeenStore};

/// Claims between two slices of the sweep, and entries looked at in a slice. Four entries for each
/// claim, which adds one at most: so a whole round takes a quarter as many claims as there are entries.
const SWEEP_CLAIMS: u64 = 64;
const SWEEP_ENTRIES: usize = 256;

/// Remembers in a directory of its own, over restarts. For one process at a time; a clone is the same
/// store, so several workers of the process share it.
#[derive(Clone)]
pub struct FjallSeen {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    keyspace: Keyspace,
    /// Held while an entry is read and written.
    claims: Mutex<Sweep>,
    /// Completions that were written.
    written: AtomicU64,
    /// Completions that are synced; held by the task that syncs.
    synced: tokio::sync::Mutex<u64>,
}

/// Where the sweep stands.
#[derive(Default)]
struct Sweep {
    claims: u64,
    /// The last key looked at; empty before the first.
    last: Vec<u8>,
}

impl std::fmt::Debug for FjallSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallSeen").finish_non_exhaustive()
    }
}

/// The database can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FjallSeenError {
    /// What the database says.
    #[error("the database of seen messages: {0}")]
    Database(#[from] ::fjall::Error),
    /// The runtime ends while the database is asked.
    #[error("the program is ending")]
    Ending,
}

impl FjallSeen {
    /// Opens the database in this directory, which is made if need be. Blocks while it recovers.
    ///
    /// # Errors
    /// [`FjallSeenError::Database`], also when another process has it open.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, FjallSeenError> {
        let database = Database::builder(directory).open()?;
        let keyspace = database.keyspace("seen", KeyspaceCreateOptions::default)?;
        let inner = Inner {
            database,
            keyspace,
            claims: Mutex::default(),
            written: AtomicU64::new(0),
            synced: tokio::sync::Mutex::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The database blocks, so it is asked on a thread that may.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Inner) -> Result<T, FjallSeenError> + Send + 'static,
    ) -> Result<T, FjallSeenError> {
        let inner = Arc::clone(&self.inner);
        match tokio::task::spawn_blocking(move || question(&inner)).await {
            Ok(answer) => answer,
            Err(_) => Err(FjallSeenError::Ending),
        }
    }

    /// Waits until the completion with this number is on disk. The first task syncs for all that
    /// were written by then; the others find that done.
    async fn sync(&self, number: u64) -> Result<(), FjallSeenError> {
        let mut synced = self.inner.synced.lock().await;
        if *synced >= number {
            return Ok(());
        }
        let written = self.inner.written.load(Ordering::Acquire);
        self.ask(|inner| Ok(inner.database.persist(PersistMode::SyncAll)?)).await?;
        *synced = written;
        Ok(())
    }
}

/// An entry as it is stored.
struct Entry {
    expires: u64,
    owner: Option<u64>,
}

impl Entry {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (expires, rest) = bytes.split_first_chunk()?;
        let owner = rest.first_chunk().map(|owner| u64::from_be_bytes(*owner));
        Some(Self { expires: u64::from_be_bytes(*expires), owner })
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = self.expires.to_be_bytes().to_vec();
        if let Some(owner) = self.owner {
            bytes.extend(owner.to_be_bytes());
        }
        bytes
    }
}

fn milliseconds_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn expiry(time_to_live: Duration) -> u64 {
    milliseconds_now().saturating_add(u64::try_from(time_to_live.as_millis()).unwrap_or(u64::MAX))
}

impl Inner {
    fn claim(&self, key: &[u8], owner: u64, lease: Duration) -> Result<Claim, FjallSeenError> {
        let mut sweep = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        sweep.claims += 1;
        if sweep.claims >= SWEEP_CLAIMS {
            sweep.claims = 0;
            self.sweep(&mut sweep.last)?;
        }
        let found = self.keyspace.get(key)?.and_then(|bytes| Entry::read(&bytes));
        match found.filter(|entry| entry.expires > milliseconds_now()) {
            Some(Entry { owner: None, .. }) => Ok(Claim::Done),
            Some(Entry { owner: Some(other), .. }) if other != owner => Ok(Claim::InProgress),
            _ => {
                let entry = Entry { expires: expiry(lease), owner: Some(owner) };
                self.keyspace.insert(key, entry.write())?;
                Ok(Claim::Taken)
            }
        }
    }

    /// Under the lock of the claims, or a claim that was read before could overwrite the completion.
    fn complete(&self, key: &[u8], keep: Duration) -> Result<u64, FjallSeenError> {
        let _turn = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        self.keyspace.insert(key, Entry { expires: expiry(keep), owner: None }.write())?;
        Ok(self.written.fetch_add(1, Ordering::Release) + 1)
    }

    fn release(&self, key: &[u8], owner: u64) -> Result<(), FjallSeenError> {
        let _turn = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.keyspace.get(key)?.and_then(|bytes| Entry::read(&bytes));
        if found.is_some_and(|entry| entry.owner == Some(owner)) {
            self.keyspace.remove(key)?;
        }
        Ok(())
    }

    /// Removes what has expired of the entries behind `last`, and begins again at the front when it
    /// comes to the end.
    fn sweep(&self, last: &mut Vec<u8>) -> Result<(), FjallSeenError> {
        let now = milliseconds_now();
        let behind = (std::ops::Bound::Excluded(last.clone()), std::ops::Bound::Unbounded);
        let mut count = 0;
        for entry in self.keyspace.range(behind).take(SWEEP_ENTRIES) {
            let (key, bytes) = entry.into_inner()?;
            if Entry::read(&bytes).is_none_or(|entry| entry.expires <= now) {
                self.keyspace.remove(key.as_ref())?;
            }
            *last = key.to_vec();
            count += 1;
        }
        if count < SWEEP_ENTRIES {
            last.clear();
        }
        Ok(())
    }
}

impl SeenStore for FjallSeen {
    type Error = FjallSeenError;

    async fn claim(
        &self,
        key: &[u8],
        owner: u64,
        lease: Duration,
    ) -> Result<Claim, FjallSeenError> {
        let key = key.to_vec();
        self.ask(move |inner| inner.claim(&key, owner, lease)).await
    }

    async fn complete(&self, key: &[u8], _: u64, keep: Duration) -> Result<(), FjallSeenError> {
        let key = key.to_vec();
        let number = self.ask(move |inner| inner.complete(&key, keep)).await?;
        self.sync(number).await
    }

    async fn release(&self, key: &[u8], owner: u64) -> Result<(), FjallSeenError> {
        let key = key.to_vec();
        self.ask(move |inner| inner.release(&key, owner)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a round of slices exactly the expired entries are gone.
    #[test]
    fn a_round_of_slices_sweeps_all_that_expired() {
        let directory = tempfile::TempDir::new().unwrap();
        let store = FjallSeen::open(directory.path()).unwrap();
        let (long, now) = (Duration::from_secs(600), Duration::ZERO);
        for number in 0..1_500_u32 {
            let keep = if number % 3 == 0 { long } else { now };
            store.inner.complete(&number.to_be_bytes(), keep).unwrap();
        }
        let mut last = Vec::new();
        for _ in 0..6 {
            store.inner.sweep(&mut last).unwrap();
        }
        assert!(last.is_empty(), "the round is over");
        let left: Vec<u32> = store
            .inner
            .keyspace
            .iter()
            .map(|entry| {
                let (key, _) = entry.into_inner().unwrap();
                u32::from_be_bytes(key.as_ref().try_into().unwrap())
            })
            .collect();
        assert_eq!(left, (0..1_500).step_by(3).collect::<Vec<_>>());
    }
}
