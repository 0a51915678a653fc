//! Working a queue off with an async handler: what a program says about it, and its beginning and end.
//! What happens to each message in between stands in `worker_pool.rs`.

pub(crate) mod batch_failure;
pub(crate) mod batch_worker;
pub(crate) mod catch_panic;
pub(crate) mod failure;
pub(crate) mod handled;
pub(crate) mod handler;
pub(crate) mod idempotence;
mod lease;
pub(crate) mod parked;
pub(crate) mod retry;
pub(crate) mod running;
mod tasks;
pub(crate) mod worker_pool;

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    Consume, ConsumeError, Error, Failure, Handled, Incoming, Retry,
    seen::SeenStore,
    worker::idempotence::{Gate, Idempotence},
    worker::lease::LEASE_MIN,
    worker::tasks::Tasks,
    worker::worker_pool::{Settings, WorkerPool},
};

/// Why a worker ended before it was told to.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The consumer could not be started.
    #[error(transparent)]
    Start(#[from] Error),
    /// The broker ended the consumer, or the connection ended and is not restored.
    #[error(transparent)]
    Ended(#[from] ConsumeError),
}

/// Runs a handler for every message of a queue, several at once.
///
/// - `Ok(())`: the message is acked.
/// - `Err`: as the [`Failure`] says, the message is tried again or dead-lettered. With
///   [`Worker::retry`] it is first tried again here, after waits that double.
/// - A panic is caught and counts as "try again", and so does a handler that takes longer than
///   [`Worker::timeout`]; the worker lives on.
/// - A lost connection interrupts no handler. When the message comes again meanwhile, it
///   waits for its first handler, and is acked without a second one when that succeeded. The same
///   holds when the broker delivers a message again because its handler takes longer than the queue's
///   `x-consumer-timeout`. Both need a message id, which every message of this crate has.
/// - A stop costs no message anything: see [`Worker::run`].
///
/// ```no_run
/// # use forebay_client::{Connection, Failure, Retry, Worker};
/// # use tokio_util::sync::CancellationToken;
/// # use std::time::Duration;
/// # async fn example(connection: Connection, stop: CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
/// Worker::new(connection.consume("orders").prefetch(64))
///     .concurrency(16)
///     .timeout(Duration::from_secs(30))
///     .retry(Retry::backoff(Duration::from_millis(200), Duration::from_secs(30)).attempts(8))
///     .run(stop, |order| async move {
///         let text = order.text().ok_or_else(|| Failure::dead_letter("no UTF-8"))?;
///         let _number: u64 = text.parse().map_err(Failure::dead_letter)?;
///         Ok(())
///     })
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a worker begins with `run`"]
pub struct Worker<G = ()> {
    consume: Consume,
    concurrency: u16,
    grace: Option<Duration>,
    name: String,
    settings: Settings,
    gate: G,
}

impl Worker {
    /// A worker on this consumer, which is started by [`Worker::run`].
    pub fn new(consume: Consume) -> Self {
        let settings =
            Settings { timeout: None, lease: None, retry: Retry::none(), observer: None };
        Self { consume, concurrency: 1, grace: None, name: String::new(), settings, gate: () }
    }

    /// Handles each message once, by its message id: the store remembers which are in progress and
    /// which are done. What exactly that promises stands in [`crate::seen`]. A message without a
    /// message id is dead-lettered, unless [`Worker::key`] finds another key.
    ///
    /// What is remembered belongs to the queue (and to [`Worker::named`]), so the workers of several
    /// queues may share one store, as they do behind a fan-out.
    pub fn idempotent<S: SeenStore>(self, store: S) -> Worker<Idempotence<S>> {
        let Self { consume, concurrency, grace, name, settings, .. } = self;
        Worker { consume, concurrency, grace, name, settings, gate: Idempotence::new(store) }
    }
}

impl<S: SeenStore> Worker<Idempotence<S>> {
    /// How long a message counts as in progress after its worker was last heard of, which renews that
    /// while the handler runs. After a crash others wait so long. Default: 1 min.
    pub fn claim_for(mut self, lease: Duration) -> Self {
        self.gate.lease = lease;
        self
    }

    /// How long a handled message is remembered. Default: 24 h.
    pub fn remember_for(mut self, keep: Duration) -> Self {
        self.gate.keep = keep;
        self
    }

    /// What tells the messages of the queue apart, instead of the message id.
    pub fn key(
        mut self,
        key_of: impl Fn(&Incoming) -> Option<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.gate.key_of = Box::new(key_of);
        self
    }
}

impl<G: Gate> Worker<G> {
    /// A name for what this worker does, for an idempotent worker that shares queue and store with
    /// another one which does something else: neither takes what the other handled for done.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Messages handled at once, each in a task. The prefetch limit is raised to this number if it is lower.
    /// Default: 1.
    pub fn concurrency(mut self, messages: u16) -> Self {
        self.concurrency = messages.max(1);
        self
    }

    /// How long a handler may run. One that runs longer is dropped at its next await, and has failed.
    /// Default: without limit.
    ///
    /// Brokers have a limit of their own (`x-consumer-timeout`, 30 min by default): a message that is
    /// held longer is delivered to another consumer. Choose a shorter one here.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.settings.timeout = Some(limit);
        self
    }

    /// How long the broker lets this worker hold a message that it does not hear of. While a handler runs or
    /// a message waits for another attempt, the worker asks for as much again, three times within each
    /// lease: so a handler may take hours, and the messages of a worker that hangs, or whose machine is
    /// gone, are with another one after this time. A handler that never ends is the matter of
    /// [`Worker::timeout`]. At least 3 ms. Default: the time-out of the queue (`x-consumer-timeout`, 30 min),
    /// which nothing extends.
    ///
    /// Only with Forebay: see [`crate::Delivery::extend`].
    pub fn lease(mut self, limit: Duration) -> Self {
        let limit = limit.max(LEASE_MIN);
        self.consume = self.consume.lease(limit);
        self.settings.lease = Some(limit);
        self
    }

    /// How a failed message is tried again before it is given back to the queue. While it waits it
    /// occupies no handler, only its place in the prefetch limit. Default: it is given back at once.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.settings.retry = retry;
        self
    }

    /// After the stop: how long handlers may run on. Those that then still run are dropped, and
    /// their messages return to the queue. Default: without limit.
    pub fn grace(mut self, limit: Duration) -> Self {
        self.grace = Some(limit);
        self
    }

    /// Calls `observer` after each run of a handler, for counters and histograms. It runs in the worker's task
    /// and should return at once.
    pub fn observe(mut self, observer: impl Fn(&Handled<'_>) + Send + Sync + 'static) -> Self {
        self.settings.observer = Some(Box::new(observer));
        self
    }

    /// Works until `stop` is cancelled. Then it begins no message any more, lets the handlers that run finish
    /// (see [`Worker::grace`]), returns everything else to the queue, sees that the broker knows of
    /// every ack, and returns. What is returned was not tried or was interrupted: it does not count as
    /// a failed delivery, and its claims are given back. Dropping this future stops at once, with the
    /// same care.
    ///
    /// # Errors
    /// [`WorkerError::Start`] when the consumer can't be started, [`WorkerError::Ended`] when the
    /// broker ends it.
    pub async fn run<H, F>(mut self, stop: CancellationToken, handler: H) -> Result<(), WorkerError>
    where
        H: Fn(Incoming) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.gate.begin(&self.consume.scope(), &self.name);
        let consumer = self.consume.prefetch_at_least(self.concurrency).start().await?;
        let canceller = consumer.canceller();
        let pool = WorkerPool::new(consumer, handler, self.gate, self.settings, stop.clone());
        let pool = Arc::new(pool);
        let tasks = Tasks::start(self.concurrency, || Arc::clone(&pool).work());
        let ended = tasks.run(stop, canceller, self.grace).await;
        if let Some(pool) = Arc::into_inner(pool) {
            pool.end().await;
        }
        ended.map_err(WorkerError::Ended)
    }
}
