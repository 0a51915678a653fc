//! The way of one message through a store of seen messages.
//!
//! Called by the worker around its handler. A store that can't answer delays messages, it never lets
//! one through twice or drops one. A worker that stops gives back what it claimed: a [`Claimed`] that is
//! dropped releases its key, or completes it when the handler had succeeded.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{runtime::Handle, time::sleep};
use tokio_util::task::TaskTracker;

use crate::{
    Incoming,
    backoff::Backoff,
    seen::{Claim, SeenStore},
};

/// First and longest wait before a store that failed is asked again.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Attempts to write a completion before the worker acks without it.
const COMPLETE_ATTEMPTS: usize = 5;
/// A claim is renewed so often within its lease.
const RENEWALS_PER_LEASE: u32 = 3;

type KeyOf = dyn Fn(&Incoming) -> Option<Bytes> + Send + Sync;

/// A store of seen messages with its times, around a worker's handler; see [`crate::Worker::idempotent`].
pub struct Idempotence<S> {
    store: Arc<S>,
    pub(crate) lease: Duration,
    pub(crate) keep: Duration,
    pub(crate) key_of: Box<KeyOf>,
    /// What stands before each key: the queue and the worker.
    scope: Vec<u8>,
    first_owner: u64,
    owners: AtomicU64,
    /// Claims that are given back in the background, because their task is gone.
    ending: TaskTracker,
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
pub enum Entry<T> {
    Run(T),
    AlreadyDone,
    /// Another worker has it, or the store does not answer: ask again later.
    Wait,
    /// The message has no key.
    NoKey,
}

/// What a worker does around its handler: [`Idempotence`], or `()` for a handler alone.
pub trait Gate: Send + Sync + 'static + private::Gate {}

impl Gate for () {}
impl<S: SeenStore> Gate for Idempotence<S> {}

pub(crate) mod private {
    use super::{Entry, Incoming};

    #[allow(unreachable_pub, reason = "the sealed half of a public trait")]
    pub trait Gate {
        /// A claim held; dropped, it is given back.
        type Ticket: Send + Sync;

        /// What is remembered belongs to this queue and this worker.
        fn begin(&mut self, queue: &[&[u8]], worker: &str);
        fn enter(&self, message: &Incoming) -> impl Future<Output = Entry<Self::Ticket>> + Send;
        /// Keeps the claim while the handler runs. Never ready.
        fn renew(&self, ticket: &Self::Ticket) -> impl Future<Output = ()> + Send;
        fn leave(
            &self,
            ticket: &mut Self::Ticket,
            is_done: bool,
        ) -> impl Future<Output = ()> + Send;
        /// Ready when every claim that was dropped is given back.
        fn drained(&self) -> impl Future<Output = ()> + Send;
    }
}

impl private::Gate for () {
    type Ticket = ();

    fn begin(&mut self, _: &[&[u8]], _: &str) {}
    async fn enter(&self, _: &Incoming) -> Entry<()> {
        Entry::Run(())
    }
    async fn renew(&self, (): &()) {
        std::future::pending().await
    }
    async fn leave(&self, (): &mut (), _: bool) {}
    async fn drained(&self) {}
}

/// A key that is claimed.
#[allow(unreachable_pub, reason = "named by the sealed half of a public trait")]
pub struct Claimed<S: SeenStore> {
    store: Arc<S>,
    /// `None` when the store knows what became of it.
    key: Option<Bytes>,
    owner: u64,
    keep: Duration,
    is_done: bool,
    ending: TaskTracker,
}

impl<S: SeenStore> Claimed<S> {
    async fn end(store: &S, key: &[u8], owner: u64, done: Option<Duration>) {
        let Some(keep) = done else {
            if let Err(error) = store.release(key, owner).await {
                tracing::warn!(%error, "a claim could not be given back; it ends by itself");
            }
            return;
        };
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        for _ in 0..COMPLETE_ATTEMPTS {
            match store.complete(key, owner, keep).await {
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

impl<S: SeenStore> Drop for Claimed<S> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        // Without a runtime the process ends, and the claim after its lease.
        let Ok(runtime) = Handle::try_current() else { return };
        let (store, owner) = (Arc::clone(&self.store), self.owner);
        let done = self.is_done.then_some(self.keep);
        self.ending.spawn_on(async move { Self::end(&store, &key, owner, done).await }, &runtime);
    }
}

impl<S: SeenStore> Idempotence<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
            lease: Duration::from_secs(60),
            keep: Duration::from_secs(24 * 3_600),
            key_of: Box::new(|message| message.message_id().map(|id| id.into_bytes())),
            scope: Vec::new(),
            first_owner: RandomState::new().hash_one(0_u8),
            owners: AtomicU64::new(0),
            ending: TaskTracker::new(),
        }
    }
}

impl<S: SeenStore> private::Gate for Idempotence<S> {
    type Ticket = Claimed<S>;

    /// Each part with its length before it, so that no two scopes share a key.
    fn begin(&mut self, queue: &[&[u8]], worker: &str) {
        self.scope.clear();
        for part in queue.iter().copied().chain([worker.as_bytes()]) {
            self.scope.extend(part.len().to_string().as_bytes());
            self.scope.push(b':');
            self.scope.extend(part);
        }
    }

    async fn enter(&self, message: &Incoming) -> Entry<Claimed<S>> {
        let Some(key) = (self.key_of)(message).filter(|key| !key.is_empty()) else {
            return Entry::NoKey;
        };
        let key = Bytes::from([self.scope.as_slice(), &key].concat());
        let owner = self.first_owner.wrapping_add(self.owners.fetch_add(1, Ordering::Relaxed));
        // Dropped while the store is asked, the claim may have been taken: then it is given back.
        let mut claimed = Claimed {
            store: Arc::clone(&self.store),
            key: Some(key.clone()),
            owner,
            keep: self.keep,
            is_done: false,
            ending: self.ending.clone(),
        };
        let entry = match self.store.claim(&key, owner, self.lease).await {
            Ok(Claim::Taken) => return Entry::Run(claimed),
            Ok(Claim::Done) => Entry::AlreadyDone,
            Ok(Claim::InProgress) => Entry::Wait,
            Err(error) => {
                tracing::warn!(%error, "the store of seen messages does not answer; trying again");
                return Entry::Wait;
            }
        };
        claimed.key = None;
        entry
    }

    async fn renew(&self, ticket: &Claimed<S>) {
        let Some(key) = &ticket.key else { return std::future::pending().await };
        let interval = (self.lease / RENEWALS_PER_LEASE).max(Duration::from_millis(1));
        loop {
            sleep(interval).await;
            match self.store.claim(key, ticket.owner, self.lease).await {
                Ok(Claim::Taken) => {}
                Ok(Claim::InProgress | Claim::Done) => {
                    tracing::error!(
                        "a claim ran out before it was renewed, and another worker handles the message too; does the handler block its thread?"
                    );
                    return std::future::pending().await;
                }
                Err(error) => tracing::warn!(%error, "a claim could not be renewed; trying again"),
            }
        }
    }

    async fn leave(&self, ticket: &mut Claimed<S>, is_done: bool) {
        ticket.is_done = is_done;
        let Some(key) = ticket.key.clone() else { return };
        let done = is_done.then_some(ticket.keep);
        Claimed::end(&*self.store, &key, ticket.owner, done).await;
        ticket.key = None;
    }

    async fn drained(&self) {
        self.ending.close();
        self.ending.wait().await;
        self.ending.reopen();
    }
}
