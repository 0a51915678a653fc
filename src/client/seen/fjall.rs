//! Seen messages in a local database, for one process that is restarted.
//!
//! ```text
//! key -> expires:u64 (ms since 1970, big-endian)  owner:u64 (big-endian; absent when done)
//! ```
//!
//! A claim is not synced: when the machine dies it may be forgotten, and the message is delivered
//! again anyway. A completion is synced before the worker acks.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Claim, SeenStore};

/// Claims between two sweeps of what has expired.
const SWEEP_CLAIMS: u64 = 10_000;

/// Remembers in a directory of its own, over restarts. For one process at a time.
#[derive(Clone)]
pub struct FjallSeen {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    keyspace: Keyspace,
    /// Held while an entry is read and written; counts the claims since the last sweep.
    claims: Mutex<u64>,
}

impl std::fmt::Debug for FjallSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallSeen").finish_non_exhaustive()
    }
}

/// The database can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
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
        Ok(Self { inner: Arc::new(Inner { database, keyspace, claims: Mutex::new(0) }) })
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
}

/// An entry as it is stored.
struct Entry {
    expires: u64,
    owner: Option<u64>,
}

impl Entry {
    fn read(octets: &[u8]) -> Option<Self> {
        let (expires, rest) = octets.split_first_chunk()?;
        let owner = rest.first_chunk().map(|owner| u64::from_be_bytes(*owner));
        Some(Self { expires: u64::from_be_bytes(*expires), owner })
    }

    fn write(&self) -> Vec<u8> {
        let mut octets = self.expires.to_be_bytes().to_vec();
        if let Some(owner) = self.owner {
            octets.extend(owner.to_be_bytes());
        }
        octets
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
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        *claims += 1;
        if *claims >= SWEEP_CLAIMS {
            *claims = 0;
            self.sweep()?;
        }
        let found = self.keyspace.get(key)?.and_then(|octets| Entry::read(&octets));
        match found.filter(|entry| entry.expires > milliseconds_now()) {
            Some(Entry { owner: None, .. }) => Ok(Claim::Done),
            Some(_) => Ok(Claim::InProgress),
            None => {
                let entry = Entry { expires: expiry(lease), owner: Some(owner) };
                self.keyspace.insert(key, entry.write())?;
                Ok(Claim::Taken)
            }
        }
    }

    fn release(&self, key: &[u8], owner: u64) -> Result<(), FjallSeenError> {
        let _turn = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.keyspace.get(key)?.and_then(|octets| Entry::read(&octets));
        if found.is_some_and(|entry| entry.owner == Some(owner)) {
            self.keyspace.remove(key)?;
        }
        Ok(())
    }

    fn sweep(&self) -> Result<(), FjallSeenError> {
        let now = milliseconds_now();
        for entry in self.keyspace.iter() {
            let (key, octets) = entry.into_inner()?;
            if Entry::read(&octets).is_none_or(|entry| entry.expires <= now) {
                self.keyspace.remove(key)?;
            }
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
        self.ask(move |inner| {
            inner.keyspace.insert(key, Entry { expires: expiry(keep), owner: None }.write())?;
            Ok(inner.database.persist(PersistMode::SyncAll)?)
        })
        .await
    }

    async fn release(&self, key: &[u8], owner: u64) -> Result<(), FjallSeenError> {
        let key = key.to_vec();
        self.ask(move |inner| inner.release(&key, owner)).await
    }
}
