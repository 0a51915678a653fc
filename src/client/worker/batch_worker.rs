//! Working a queue off in batches: many messages in one call of a handler, for what is cheaper together, such as one
//! insert of a hundred rows.
//!
//! ```text
//! deliveries --> gathered: as many as a batch may have, or those of the time that it may take --> handler
//!                                                     each message alone <-- the batch failed as a whole
//! ```

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    BatchFailure, Consume, ConsumeError, Consumer, Delivery, Failure, Incoming, WorkerError, span,
    worker::batch_failure::Failed,
    worker::catch_panic::CatchPanic,
    worker::lease::{EXTENSIONS, LEASE_MIN},
    worker::tasks::Tasks,
    worker::worker_pool::settled,
};

/// Messages that a batch has at most, unless it is said.
const SIZE_DEFAULT: u16 = 100;
/// How long a batch is waited for, unless it is said.
const WAIT_DEFAULT: Duration = Duration::from_millis(100);

/// Runs a handler for the messages of a queue, many in one call.
///
/// A batch is complete with [`BatchWorker::size`] messages, or when the first of them has waited for
/// [`BatchWorker::wait`].
///
/// - `Ok(())`: all messages of the batch are acked.
/// - [`BatchFailure::some`]: those that it names are tried again or dead-lettered as their [`Failure`]s say; the
///   others are acked.
/// - An error of the whole batch that means "try again", a panic, or a handler that takes longer than
///   [`BatchWorker::timeout`]: the handler is called again **with each message alone**, so that one that can't be
///   handled takes no other with it. What fails alone counts as one failed delivery, and returns to the queue. A
///   [`BatchFailure::whole`] that says when to try again, or never, holds for every message at once.
///
/// What is to be tried again returns to the queue at once, and waits there if the queue says so
/// (`x-delayed-retry-type`). A message may be handled twice when its connection was lost before its ack arrived. There is
/// no idempotent one: a [`crate::Worker`] has a store for that, and what a batch writes can remember message ids in the
/// same transaction.
///
/// ```no_run
/// # use forebay_client::{BatchWorker, Connection, Incoming, CancellationToken};
/// # use std::time::Duration;
/// # async fn insert(_: &[Incoming]) -> Result<(), std::io::Error> { Ok(()) }
/// # async fn example(connection: Connection, stop: CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
/// BatchWorker::new(connection.consume("events"))
///     .size(500)
///     .wait(Duration::from_millis(200))
///     .run(stop, |events| async move {
///         insert(&events).await?;
///         Ok(())
///     })
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a worker begins with `run`"]
pub struct BatchWorker {
    consume: Consume,
    concurrency: u16,
    grace: Option<Duration>,
    settings: Settings,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    size: u16,
    wait: Duration,
    timeout: Option<Duration>,
    lease: Option<Duration>,
}

impl BatchWorker {
    /// A worker on this consumer, which is started by [`BatchWorker::run`].
    pub fn new(consume: Consume) -> Self {
        let settings =
            Settings { size: SIZE_DEFAULT, wait: WAIT_DEFAULT, timeout: None, lease: None };
        Self { consume, concurrency: 1, grace: None, settings }
    }

    /// Messages that a batch has at most, at least 1. The prefetch limit is raised to this number, times
    /// [`BatchWorker::concurrency`], if it is lower. Default: 100.
    pub fn size(mut self, messages: u16) -> Self {
        self.settings.size = messages.max(1);
        self
    }

    /// How long the first message of a batch waits for others. Zero: a batch has what is there. Default: 100 ms.
    pub fn wait(mut self, limit: Duration) -> Self {
        self.settings.wait = limit;
        self
    }

    /// Batches handled at once, each in a task. Default: 1.
    pub fn concurrency(mut self, batches: u16) -> Self {
        self.concurrency = batches.max(1);
        self
    }

    /// How long a handler may run. One that runs longer is dropped at its next await, and has failed. Default: without
    /// limit.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.settings.timeout = Some(limit);
        self
    }

    /// How long the broker lets this worker hold a message that it does not hear of, as [`crate::Worker::lease`]: while
    /// a handler runs, the worker asks for as much again for each message of its batch. To be longer than
    /// [`BatchWorker::wait`]. At least 3 ms. Default: the time-out of the queue.
    ///
    /// Only with Forebay: see [`Delivery::extend`].
    pub fn lease(mut self, limit: Duration) -> Self {
        let limit = limit.max(LEASE_MIN);
        self.consume = self.consume.lease(limit);
        self.settings.lease = Some(limit);
        self
    }

    /// After the stop: how long handlers may run on. Those that then still run are dropped, and their messages return to
    /// the queue. Default: without limit.
    pub fn grace(mut self, limit: Duration) -> Self {
        self.grace = Some(limit);
        self
    }

    /// Works until `stop` is cancelled. Then it begins no batch any more, lets the handlers that run finish (see
    /// [`BatchWorker::grace`]), returns everything else to the queue, also what a batch had gathered, sees that the broker
    /// knows of every ack, and returns. What is returned was not tried: it does not count as a failed delivery.
    ///
    /// # Errors
    /// [`WorkerError::Start`] when the consumer can't be started, [`WorkerError::Ended`] when the broker ends it.
    pub async fn run<H, F>(self, stop: CancellationToken, handler: H) -> Result<(), WorkerError>
    where
        H: Fn(Vec<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), BatchFailure>> + Send + 'static,
    {
        let Self { consume, concurrency, grace, settings } = self;
        let messages = settings.size.saturating_mul(concurrency);
        let consumer = consume.prefetch_at_least(messages).start().await?;
        let canceller = consumer.canceller();
        let consumer = Mutex::new(consumer);
        let pool = Arc::new(Pool { consumer, handler, settings, stop: stop.clone() });
        let tasks = Tasks::start(concurrency, || Arc::clone(&pool).work());
        let ended = tasks.run(stop, canceller, grace).await;
        if let Some(pool) = Arc::into_inner(pool)
            && let Err(error) = pool.consumer.into_inner().close().await
        {
            tracing::debug!(%error, "the last acks may not have reached the broker");
        }
        ended.map_err(WorkerError::Ended)
    }
}

/// What the tasks of one worker share.
struct Pool<H> {
    consumer: Mutex<Consumer>,
    handler: H,
    settings: Settings,
    stop: CancellationToken,
}

impl<H, F> Pool<H>
where
    H: Fn(Vec<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), BatchFailure>> + Send + 'static,
{
    async fn work(self: Arc<Self>) -> Result<(), ConsumeError> {
        while let Some(batch) = self.gather().await? {
            self.handle(batch).await;
        }
        Ok(())
    }

    /// The next batch; `None` when there will be no more. One task gathers at a time, so that batches become full.
    async fn gather(&self) -> Result<Option<Vec<Delivery>>, ConsumeError> {
        let mut consumer = tokio::select! {
            consumer = self.consumer.lock() => consumer,
            () = self.stop.cancelled() => return Ok(None),
        };
        let mut batch = Vec::new();
        let mut until = None;
        while batch.len() < usize::from(self.settings.size) {
            let waited = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                next = consumer.next() => match next {
                    Some(delivery) => {
                        batch.push(delivery?.untried_when_dropped());
                        until.get_or_insert_with(|| Instant::now() + self.settings.wait);
                    }
                    None if batch.is_empty() => return Ok(None),
                    None => break,
                },
                () = waited => break,
            }
        }
        Ok(Some(batch))
    }

    async fn handle(&self, mut batch: Vec<Delivery>) {
        // What the connection took with it comes again on the next one.
        batch.retain(Delivery::is_live);
        if batch.is_empty() {
            return;
        }
        let Err(BatchFailure(failed)) = self.call(&batch).await else {
            return batch.into_iter().for_each(|delivery| settled(delivery.ack()));
        };
        match failed {
            Failed::Whole(Failure::Retry(cause)) if batch.len() > 1 => {
                tracing::warn!(
                    messages = batch.len(),
                    %cause,
                    "a batch was not handled; its messages are tried one by one"
                );
                self.handle_alone(batch).await;
            }
            Failed::Whole(failure) => {
                tracing::warn!(messages = batch.len(), %failure, "a batch was not handled");
                batch.into_iter().for_each(|delivery| give_up(delivery, &failure));
            }
            Failed::Some(failures) => {
                for (place, delivery) in batch.into_iter().enumerate() {
                    match failures.get(&place) {
                        None => settled(delivery.ack()),
                        Some(failure) => {
                            let message_id = delivery.message_id();
                            tracing::warn!(?message_id, %failure, "a message was not handled");
                            give_up(delivery, failure);
                        }
                    }
                }
            }
        }
    }

    /// Each message in a batch of its own, until the stop.
    async fn handle_alone(&self, batch: Vec<Delivery>) {
        for delivery in batch {
            // Those that are left return as the connection or the stop has it.
            if self.stop.is_cancelled() || !delivery.is_live() {
                continue;
            }
            let one = [delivery];
            let outcome = self.call(&one).await;
            let [delivery] = one;
            let failure = match outcome {
                Ok(()) => None,
                Err(BatchFailure(Failed::Whole(failure))) => Some(failure),
                Err(BatchFailure(Failed::Some(mut failures))) => failures.remove(&0),
            };
            match failure {
                None => settled(delivery.ack()),
                Some(failure) => {
                    let message_id = delivery.message_id();
                    tracing::warn!(?message_id, %failure, "a message was not handled");
                    give_up(delivery, &failure);
                }
            }
        }
    }

    async fn call(&self, batch: &[Delivery]) -> Result<(), BatchFailure> {
        let messages: Vec<Incoming> = batch.iter().map(|it| it.incoming().clone()).collect();
        let span = span::process_batch(messages.len());
        let handler = CatchPanic(Box::pin(async { (self.handler)(messages).await }));
        let handler = handler.instrument(span);
        let limited = async {
            match self.settings.timeout {
                None => Ok(handler.await),
                Some(limit) => timeout(limit, handler).await.map_err(|_| limit),
            }
        };
        let outcome = tokio::select! {
            outcome = limited => outcome,
            never = self.keep_leases(batch) => match never {},
        };
        match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(format!("the handler panicked: {panic}").into()),
            Err(limit) => Err(format!("the handler took longer than {limit:?}").into()),
        }
    }

    /// Asks for more time for the messages of a batch as long as its handler runs. Never ready.
    async fn keep_leases(&self, batch: &[Delivery]) -> Infallible {
        while let Some(lease) = self.settings.lease {
            sleep(lease / EXTENSIONS).await;
            for delivery in batch.iter().filter(|delivery| delivery.is_live()) {
                settled(delivery.extend(lease));
            }
        }
        std::future::pending().await
    }
}

/// Gives a message back, or up, as a failure says.
fn give_up(delivery: Delivery, failure: &Failure) {
    settled(match failure {
        Failure::Retry(_) => delivery.nack(),
        Failure::RetryAfter(_, wait) => delivery.retry_after(*wait),
        Failure::DeadLetter(_) => delivery.reject(),
    });
}
