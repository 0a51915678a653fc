//! Working a queue off with an async handler.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::Mutex, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    Consume, ConsumeError, Consumer, Delivery, Error, Failure, Incoming, TraceContext,
    catch_panic::CatchPanic,
    idempotence::{Entry, Gate, Idempotence, Ticket},
    seen::SeenStore,
};

/// Why a worker ended before it was told to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WorkerError {
    /// The consumer could not be started.
    #[error(transparent)]
    Start(#[from] Error),
    /// The broker ended the consumer, or the connection ended for good.
    #[error(transparent)]
    Ended(#[from] ConsumeError),
}

/// Runs a handler for every message of a queue, several at once.
///
/// - `Ok(())`: the message is acked.
/// - `Err`: as the [`Failure`] says, the message is tried again or dead-lettered.
/// - A panic is caught and counts as "try again"; the worker lives on.
/// - A lost connection interrupts nothing: handlers run on, their messages come again.
///
/// ```no_run
/// # use forebay_client::{Connection, Failure, Worker};
/// # use tokio_util::sync::CancellationToken;
/// # async fn example(connection: Connection, stop: CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
/// Worker::new(connection.consume("orders").prefetch(64))
///     .concurrency(16)
///     .run(stop, |order| async move {
///         let text = order.text().ok_or_else(|| Failure::dead_letter("no UTF-8"))?;
///         let _number: u64 = text.parse().map_err(Failure::dead_letter)?;
///         Ok(())
///     })
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a worker does nothing before `run`"]
pub struct Worker<G = ()> {
    consume: Consume,
    concurrency: u16,
    grace: Option<Duration>,
    gate: G,
}

impl Worker {
    /// A worker on this consumer, which is started by [`Worker::run`].
    pub fn new(consume: Consume) -> Self {
        Self { consume, concurrency: 1, grace: None, gate: () }
    }

    /// Handles each message once, by its message id: the store remembers which are in progress and
    /// which are done. What exactly that promises stands in [`crate::seen`]. A message without a
    /// message id is dead-lettered, unless [`Worker::key`] finds another key.
    pub fn idempotent<S: SeenStore>(self, store: S) -> Worker<Idempotence<S>> {
        let Self { consume, concurrency, grace, .. } = self;
        Worker { consume, concurrency, grace, gate: Idempotence::new(store) }
    }
}

impl<S: SeenStore> Worker<Idempotence<S>> {
    /// How long a message counts as in progress when its handler is never heard of again. Must be
    /// longer than a handler runs. Default: 5 min.
    pub fn claim_for(mut self, lease: Duration) -> Self {
        self.gate.lease = lease;
        self
    }

    /// How long a handled message is remembered. Default: 24 h.
    pub fn remember_for(mut self, keep: Duration) -> Self {
        self.gate.keep = keep;
        self
    }

    /// What tells messages apart, instead of the message id.
    pub fn key(
        mut self,
        key_of: impl Fn(&Incoming) -> Option<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.gate.key_of = Box::new(key_of);
        self
    }
}

impl<G: Gate> Worker<G> {
    /// Messages handled at once. The prefetch limit is raised to it if it is lower. Default: 1.
    pub fn concurrency(mut self, messages: u16) -> Self {
        self.concurrency = messages.max(1);
        self
    }

    /// After the stop: how long handlers may run on. Those that then still run are dropped, and
    /// their messages return to the queue. Default: without limit.
    pub fn grace(mut self, limit: Duration) -> Self {
        self.grace = Some(limit);
        self
    }

    /// Works until `stop` is cancelled. Then it takes no new messages from the broker, handles those
    /// that are prefetched, sees that the broker knows of every ack, and returns. Dropping this
    /// future stops at once, and unfinished messages return to the queue.
    ///
    /// # Errors
    /// [`WorkerError::Start`] when the consumer can't be started, [`WorkerError::Ended`] when the
    /// broker ends it.
    pub async fn run<H, F>(self, stop: CancellationToken, handler: H) -> Result<(), WorkerError>
    where
        H: Fn(Incoming) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let consumer = self.consume.prefetch_at_least(self.concurrency).start().await?;
        let canceller = consumer.canceller();
        let consumer = Arc::new(Mutex::new(consumer));
        let bench = Arc::new(Bench { handler, gate: self.gate, stop: stop.clone() });
        let mut hands = JoinSet::new();
        for _ in 0..self.concurrency {
            hands.spawn(work(Arc::clone(&consumer), Arc::clone(&bench)));
        }
        let early = tokio::select! {
            () = stop.cancelled() => None,
            ended = join(&mut hands) => Some(ended),
        };
        let ended = match early {
            Some(ended) => ended,
            None => {
                if let Err(error) = canceller.cancel().await {
                    tracing::debug!(%error, "the consumer is gone already");
                }
                match self.grace {
                    None => join(&mut hands).await,
                    Some(limit) => timeout(limit, join(&mut hands)).await.unwrap_or(Ok(())),
                }
            }
        };
        hands.shutdown().await;
        if let Some(consumer) = Arc::into_inner(consumer)
            && let Err(error) = consumer.into_inner().close().await
        {
            tracing::debug!(%error, "the last acks may not have reached the broker");
        }
        ended.map_err(WorkerError::Ended)
    }
}

/// Waits until every hand has ended; the first error counts.
async fn join(hands: &mut JoinSet<Result<(), ConsumeError>>) -> Result<(), ConsumeError> {
    let mut result = Ok(());
    while let Some(ended) = hands.join_next().await {
        // A hand that was aborted has nothing to say.
        if let Ok(Err(error)) = ended {
            result = Err(error);
        }
    }
    result
}

/// What all hands of a worker share.
struct Bench<H, G> {
    handler: H,
    gate: G,
    stop: CancellationToken,
}

async fn work<H, F, G>(
    consumer: Arc<Mutex<Consumer>>,
    bench: Arc<Bench<H, G>>,
) -> Result<(), ConsumeError>
where
    H: Fn(Incoming) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
    G: Gate,
{
    loop {
        let next = consumer.lock().await.next().await;
        match next {
            None => return Ok(()),
            Some(Err(error)) => return Err(error),
            Some(Ok(delivery)) => bench.handle(delivery).await,
        }
    }
}

impl<H, F, G> Bench<H, G>
where
    H: Fn(Incoming) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
    G: Gate,
{
    async fn handle(&self, delivery: Delivery) {
        let settled = match self.gate.enter(&delivery, &self.stop).await {
            Entry::Run(ticket) => self.run(ticket, delivery).await,
            Entry::AlreadyDone => {
                tracing::debug!(message_id = ?delivery.message_id(), "handled before; acked without handling it again");
                delivery.ack()
            }
            Entry::Stopped => delivery.nack(),
            Entry::NoKey => {
                tracing::error!(
                    "a message without message id for an idempotent worker; dead-lettered"
                );
                delivery.reject()
            }
        };
        if let Err(error) = settled {
            tracing::debug!(%error, "a handled message could not be settled");
        }
    }

    async fn run(&self, ticket: Ticket, delivery: Delivery) -> Result<(), crate::SettleError> {
        let span = tracing::debug_span!(
            "deliver",
            exchange = %delivery.exchange(),
            routing_key = %delivery.routing_key(),
            trace_id = tracing::field::Empty,
        );
        let incoming = delivery.incoming().clone();
        let parent = TraceContext::of(&incoming);
        let handler = CatchPanic(Box::pin(async { (self.handler)(incoming).await }));
        let outcome = match parent {
            Some(parent) => {
                let context = parent.child();
                span.record("trace_id", context.trace_id());
                context.scope(handler.instrument(span)).await
            }
            None => handler.instrument(span).await,
        };
        let outcome = outcome
            .unwrap_or_else(|panic| Err(Failure::retry(format!("the handler panicked: {panic}"))));
        self.gate.leave(ticket, outcome.is_ok()).await;
        match outcome {
            Ok(()) => delivery.ack(),
            Err(failure) => {
                tracing::warn!(message_id = ?delivery.message_id(), %failure, "a message was not handled");
                match failure {
                    Failure::Retry(_) => delivery.nack(),
                    Failure::DeadLetter(_) => delivery.reject(),
                }
            }
        }
    }
}
