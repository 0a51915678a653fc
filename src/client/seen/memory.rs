//! Seen messages in the memory of one process.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Claim, SeenStore};

/// Entries below which none is swept.
const SWEEP_ENTRIES_MIN: usize = 1_024;

/// Remembers until the process ends: for tests, and for a single consumer whose repetitions come
/// from lost connections only.
///
/// A clone is the same store, so several workers of the process share it.
#[derive(Clone, Debug, Default)]
pub struct MemorySeen {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Vec<u8>, Entry>,
    /// Entries at which what has expired is taken out; twice what the last sweep left.
    sweep_at: usize,
}

#[derive(Debug)]
struct Entry {
    /// `None` when done.
    owner: Option<u64>,
    expires: Instant,
}

impl MemorySeen {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn sweep(&mut self, now: Instant) {
        if self.by_key.len() >= self.sweep_at.max(SWEEP_ENTRIES_MIN) {
            self.by_key.retain(|_, entry| entry.expires > now);
            self.sweep_at = self.by_key.len() * 2;
        }
    }
}

impl SeenStore for MemorySeen {
    type Error = Infallible;

    async fn claim(&self, key: &[u8], owner: u64, lease: Duration) -> Result<Claim, Infallible> {
        let now = Instant::now();
        let mut entries = self.entries();
        entries.sweep(now);
        Ok(match entries.by_key.get(key) {
            Some(Entry { owner: None, expires }) if *expires > now => Claim::Done,
            Some(Entry { owner: Some(other), expires }) if *expires > now && *other != owner => {
                Claim::InProgress
            }
            _ => {
                entries
                    .by_key
                    .insert(key.to_vec(), Entry { owner: Some(owner), expires: now + lease });
                Claim::Taken
            }
        })
    }

    async fn complete(&self, key: &[u8], _: u64, keep: Duration) -> Result<(), Infallible> {
        let expires = Instant::now() + keep;
        self.entries().by_key.insert(key.to_vec(), Entry { owner: None, expires });
        Ok(())
    }

    async fn release(&self, key: &[u8], owner: u64) -> Result<(), Infallible> {
        let mut entries = self.entries();
        if entries.by_key.get(key).is_some_and(|entry| entry.owner == Some(owner)) {
            entries.by_key.remove(key);
        }
        Ok(())
    }
}
