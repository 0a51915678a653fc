//! What the tasks of one worker do with each delivery.
//!
//! ```text
//! delivery --> repetition of one that runs here? --> claim --> handler --> ack, nack, reject
//!    ^               | yes                             | taken    | failed, to be tried again
//!    +--- parked ----+---------------------------------+----------+
//! ```
//!
//! A task waits for its handler only: a delivery that has to wait is parked, and the next task that is free
//! takes it up. Deliveries that are dropped here (a stop, a grace that is over) return to the
//! queue without counting as failed.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    ConsumeError, Consumer, Delivery, Failure, Incoming, Retry, SettleError, TraceContext, span,
    worker::catch_panic::CatchPanic,
    worker::handled::{Handled, Observer, Outcome as HandlerOutcome},
    worker::idempotence::{Entry, Gate},
    worker::lease::EXTENSIONS,
    worker::parked::{CLAIM_WAIT_MAX, Job, Parked},
    worker::running::{Begin, Outcome, Running, RunningGuard},
};

pub(crate) struct Settings {
    pub(crate) timeout: Option<Duration>,
    /// How long the broker lets a message be held that it does not hear of.
    pub(crate) lease: Option<Duration>,
    pub(crate) retry: Retry,
    pub(crate) observer: Option<Observer>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { timeout, lease, retry, observer: _ } = self;
        f.debug_struct("Settings")
            .field("timeout", timeout)
            .field("lease", lease)
            .field("retry", retry)
            .finish_non_exhaustive()
    }
}

pub(crate) struct WorkerPool<H, G> {
    consumer: Mutex<Consumer>,
    handler: H,
    gate: G,
    settings: Settings,
    stop: CancellationToken,
    parked: Parked,
    running: Running,
}

impl<H, G: Gate> WorkerPool<H, G> {
    pub(crate) fn new(
        consumer: Consumer,
        handler: H,
        gate: G,
        settings: Settings,
        stop: CancellationToken,
    ) -> Self {
        let (parked, running) = (Parked::default(), Running::default());
        let consumer = Mutex::new(consumer);
        Self { consumer, handler, gate, settings, stop, parked, running }
    }

    /// Returns what is left, and waits until the broker and the store know everything.
    pub(crate) async fn end(self) {
        self.gate.drained().await;
        drop(self.parked);
        if let Err(error) = self.consumer.into_inner().close().await {
            tracing::debug!(%error, "the last acks may not have reached the broker");
        }
    }

    /// The next delivery that may be handled; `None` when there will be no more.
    async fn next_job(&self) -> Result<Option<Job>, ConsumeError> {
        let mut consumer = tokio::select! {
            consumer = self.consumer.lock() => consumer,
            () = self.stop.cancelled() => return Ok(None),
        };
        loop {
            if self.stop.is_cancelled() {
                return Ok(None);
            }
            let due = self.parked.next_due();
            if due.is_some_and(|due| due <= Instant::now())
                && let Some(job) = self.parked.take()
            {
                return Ok(Some(job));
            }
            let wake = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                next = consumer.next() => return match next {
                    None => Ok(None),
                    Some(Err(error)) => Err(error),
                    Some(Ok(delivery)) => Ok(Some(Job::new(delivery.untried_when_dropped()))),
                },
                () = self.stop.cancelled() => return Ok(None),
                () = wake => {}
                () = self.parked.changed() => {}
            }
        }
    }
}

impl<H, F, G> WorkerPool<H, G>
where
    H: Fn(Incoming) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
    G: Gate,
{
    /// One of the worker's tasks: handles one message after the other.
    pub(crate) async fn work(self: Arc<Self>) -> Result<(), ConsumeError> {
        while let Some(job) = self.next_job().await? {
            self.handle(job).await;
        }
        Ok(())
    }

    async fn handle(&self, job: Job) {
        if !job.delivery.is_live() {
            // It comes again on the next connection.
            return;
        }
        if job.is_spent {
            settled(job.delivery.nack());
            return;
        }
        let guard = match self.running.begin(&job.delivery) {
            Begin::Run(guard) => guard,
            Begin::Repetition => {
                tracing::warn!(
                    message_id = ?job.delivery.message_id(),
                    "a message came again while its handler still runs: the connection was lost, or the handler takes longer than the queue's x-consumer-timeout"
                );
                self.keep_lease_for(&job.delivery, CLAIM_WAIT_MAX);
                return self.parked.wait_for_claim(job);
            }
            Begin::Done => {
                tracing::debug!(message_id = ?job.delivery.message_id(), "handled before its ack was lost; acked now");
                return settled(job.delivery.ack());
            }
        };
        let entry = tokio::select! {
            biased;
            entry = self.gate.enter(&job.delivery) => entry,
            // A store that does not answer holds up no stop.
            () = self.stop.cancelled() => return,
        };
        match entry {
            Entry::Run(ticket) => self.run(ticket, guard, job).await,
            Entry::Wait => {
                drop(guard);
                self.keep_lease_for(&job.delivery, CLAIM_WAIT_MAX);
                self.parked.wait_for_claim(job);
            }
            Entry::AlreadyDone => {
                tracing::debug!(message_id = ?job.delivery.message_id(), "handled before; acked without handling it again");
                settled(job.delivery.ack());
            }
            Entry::NoKey => {
                tracing::error!(
                    "a message without message id for an idempotent worker; dead-lettered"
                );
                settled(job.delivery.reject());
            }
        }
    }

    async fn run(&self, mut ticket: G::Ticket, guard: Option<RunningGuard<'_>>, mut job: Job) {
        let began = Instant::now();
        let outcome = tokio::select! {
            outcome = self.call(&job.delivery) => outcome,
            never = self.keep_lease(&job.delivery) => match never {},
            () = self.gate.renew(&ticket) => Err(Failure::retry("the claim can't be renewed")),
        };
        self.tell(&job, &outcome, began.elapsed());
        let is_done = outcome.is_ok();
        self.gate.leave(&mut ticket, is_done).await;
        let failure = match outcome {
            Ok(()) => {
                let is_acked = job.delivery.ack().is_ok();
                if let Some(guard) = guard {
                    guard.end(if is_acked { Outcome::Acked } else { Outcome::AckLost });
                }
                return;
            }
            Err(failure) => failure,
        };
        drop(guard);
        tracing::warn!(message_id = ?job.delivery.message_id(), %failure, "a message was not handled");
        let asked = match failure {
            Failure::DeadLetter(_) => return settled(job.delivery.reject()),
            Failure::Retry(_) => None,
            Failure::RetryAfter(_, wait) => Some(wait),
        };
        job.attempts += 1;
        job.is_spent = job.attempts >= self.settings.retry.attempts;
        let wait = asked.unwrap_or_else(|| job.next_wait(&self.settings.retry));
        if job.is_spent && wait.is_zero() {
            settled(job.delivery.nack());
        } else {
            self.keep_lease_for(&job.delivery, wait);
            self.parked.wait(job, wait);
        }
    }

    /// Tells the observer of a run of the handler.
    fn tell(&self, job: &Job, outcome: &Result<(), Failure>, took: Duration) {
        let Some(observer) = &self.settings.observer else { return };
        let outcome = match outcome {
            Ok(()) => HandlerOutcome::Done,
            Err(Failure::DeadLetter(_)) => HandlerOutcome::DeadLettered,
            Err(Failure::Retry(_) | Failure::RetryAfter(..)) => HandlerOutcome::Retried,
        };
        let attempt = job.attempts.saturating_add(1);
        observer(&Handled { message: job.delivery.incoming(), outcome, took, attempt });
    }

    /// Asks for more time for a delivery that waits for so long.
    fn keep_lease_for(&self, delivery: &Delivery, wait: Duration) {
        if let Some(lease) = self.settings.lease {
            settled(delivery.extend(wait.saturating_add(lease)));
        }
    }

    /// Asks for more time for a delivery as long as its handler runs, and for those that wait for a task
    /// meanwhile.
    async fn keep_lease(&self, delivery: &Delivery) -> Infallible {
        let lease = self.settings.lease;
        // Without its channel nothing can be asked for, and the handler runs on.
        while let Some(lease) = lease.filter(|_| delivery.is_live()) {
            let part = lease / EXTENSIONS;
            sleep(part).await;
            settled(delivery.extend(lease));
            self.parked.extend_due(lease, part);
        }
        std::future::pending().await
    }

    async fn call(&self, delivery: &Delivery) -> Result<(), Failure> {
        let span = span::process(delivery);
        let incoming = delivery.incoming().clone();
        let context = TraceContext::of(&incoming).map(|parent| parent.child());
        let handler = CatchPanic(Box::pin(async { (self.handler)(incoming).await }));
        let handler = async {
            match context {
                Some(context) => {
                    span.record("trace_id", context.trace_id());
                    context.scope(handler.instrument(span)).await
                }
                None => handler.instrument(span).await,
            }
        };
        let outcome = match self.settings.timeout {
            None => handler.await,
            Some(limit) => match timeout(limit, handler).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    return Err(Failure::retry(format!("the handler took longer than {limit:?}")));
                }
            },
        };
        outcome
            .unwrap_or_else(|panic| Err(Failure::retry(format!("the handler panicked: {panic}"))))
    }
}

/// Says in the log that a settlement did not arrive: the broker gives the message back by itself.
pub(super) fn settled(result: Result<(), SettleError>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a message could not be settled");
    }
}
