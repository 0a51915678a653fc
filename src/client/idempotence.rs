//! The way of one message through a store of seen messages.
//!
//! Called by the worker around its handler. A store that can't answer delays messages, it never lets
//! one through twice or drops one.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    Incoming,
    backoff::Backoff,
    seen::{Claim, SeenStore},
};

/// First and longest wait before a claim or a store that failed is asked again.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Attempts to write a completion before the worker acks without it.
const COMPLETE_ATTEMPTS: usize = 5;

type KeyOf = dyn Fn(&Incoming) -> Option<Bytes> + Send + Sync;

/// A store with its times; see [`crate::Worker::idempotent`].
pub struct Idempotence<S> {
    store: S,
    pub(crate) lease: Duration,
    pub(crate) keep: Duration,
    pub(crate) key_of: Box<KeyOf>,
    first_owner: u64,
    owners: AtomicU64,
}

impl<S> std::fmt::Debug for Idempotence<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idempotence")
            .field("lease", &self.lease)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

/// Whether a handler shall run.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "named by the sealed half of a public trait")]
pub enum Entry {
    Run(Ticket),
    AlreadyDone,
    /// The worker stops before that could be found out.
    Stopped,
    /// The message has no key.
    NoKey,
}

/// A claim held, or nothing for a worker without a store.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "named by the sealed half of a public trait")]
pub struct Ticket {
    key: Bytes,
    owner: u64,
}

/// What a worker does around its handler; `()` does nothing.
pub trait Gate: Send + Sync + 'static + private::Gate {}

impl Gate for () {}
impl<S: SeenStore> Gate for Idempotence<S> {}

pub(crate) mod private {
    use super::{CancellationToken, Entry, Incoming, Ticket};

    #[allow(unreachable_pub, reason = "the sealed half of a public trait")]
    pub trait Gate {
        fn enter(
            &self,
            message: &Incoming,
            stop: &CancellationToken,
        ) -> impl Future<Output = Entry> + Send;
        fn leave(&self, ticket: Ticket, is_done: bool) -> impl Future<Output = ()> + Send;
    }
}

impl private::Gate for () {
    async fn enter(&self, _: &Incoming, _: &CancellationToken) -> Entry {
        Entry::Run(Ticket { key: Bytes::new(), owner: 0 })
    }
    async fn leave(&self, _: Ticket, _: bool) {}
}

impl<S: SeenStore> Idempotence<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            store,
            lease: Duration::from_secs(300),
            keep: Duration::from_secs(24 * 3_600),
            key_of: Box::new(|message| message.message_id().map(|id| id.into_bytes())),
            first_owner: RandomState::new().hash_one(0_u8),
            owners: AtomicU64::new(0),
        }
    }
}

impl<S: SeenStore> private::Gate for Idempotence<S> {
    async fn enter(&self, message: &Incoming, stop: &CancellationToken) -> Entry {
        let Some(key) = (self.key_of)(message).filter(|key| !key.is_empty()) else {
            return Entry::NoKey;
        };
        let owner = self.first_owner.wrapping_add(self.owners.fetch_add(1, Ordering::Relaxed));
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            match self.store.claim(&key, owner, self.lease).await {
                Ok(Claim::Taken) => return Entry::Run(Ticket { key, owner }),
                Ok(Claim::Done) => return Entry::AlreadyDone,
                Ok(Claim::InProgress) => {}
                Err(error) => {
                    tracing::warn!(%error, "the store of seen messages does not answer; trying again")
                }
            }
            tokio::select! {
                () = sleep(backoff.next_wait()) => {}
                () = stop.cancelled() => return Entry::Stopped,
            }
        }
    }
    async fn leave(&self, ticket: Ticket, is_done: bool) {
        let Ticket { key, owner } = ticket;
        if !is_done {
            if let Err(error) = self.store.release(&key, owner).await {
                tracing::warn!(%error, "a claim could not be given back; it ends by itself");
            }
            return;
        }
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        for _ in 0..COMPLETE_ATTEMPTS {
            match self.store.complete(&key, owner, self.keep).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "a completion could not be written; trying again")
                }
            }
            sleep(backoff.next_wait()).await;
        }
        // The message was handled: to give it back would repeat it for certain, to ack it only
        // leaves repetitions unrecognised.
        tracing::error!(
            "a message was handled, but its completion could not be written; a repetition would be handled again"
        );
    }
}
