//! Deliveries of a worker that wait: for a claim that another worker has, or for another attempt.
//!
//! Owned by the worker's pool; as many as the prefetch limit lets in. Under a short lock of its own.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{Delivery, Retry, backoff::Backoff};

/// First and longest wait before a claim is asked for again.
const CLAIM_WAIT_FIRST: Duration = Duration::from_millis(20);
pub(crate) const CLAIM_WAIT_MAX: Duration = Duration::from_secs(1);

/// A delivery on its way through the worker.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) delivery: Delivery,
    /// Handlers that failed on it in this process.
    pub(crate) attempts: u32,
    /// No attempt is left here: it goes back to the queue.
    pub(crate) is_spent: bool,
    retry: Option<Backoff>,
    claim: Option<Backoff>,
}

impl Job {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self { delivery, attempts: 0, is_spent: false, retry: None, claim: None }
    }

    pub(crate) fn next_wait(&mut self, retry: &Retry) -> Duration {
        if retry.first.is_zero() {
            return Duration::ZERO;
        }
        let waits = self.retry.get_or_insert_with(|| Backoff::new(retry.first, retry.longest));
        waits.next_wait()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Parked {
    jobs: Mutex<Jobs>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Jobs {
    next: u64,
    /// By when they are due, and the order in which they came.
    by_due: BTreeMap<(Instant, u64), Job>,
    /// When more time was last asked for those that wait for a task.
    extended_at: Option<Instant>,
}

impl Parked {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another worker has the claim, which is asked for again after a wait.
    pub(crate) fn wait_for_claim(&self, mut job: Job) {
        let waits = || Backoff::new(CLAIM_WAIT_FIRST, CLAIM_WAIT_MAX);
        let wait = job.claim.get_or_insert_with(waits).next_wait();
        self.wait(job, wait);
    }

    pub(crate) fn wait(&self, job: Job, wait: Duration) {
        let mut jobs = self.jobs();
        jobs.next += 1;
        let key = (Instant::now() + wait, jobs.next);
        jobs.by_due.insert(key, job);
        drop(jobs);
        self.changed.notify_one();
    }

    /// Asks for more time for those that are due, or soon will be, and wait for a task that is free. Called
    /// by every task, it does so once in each part of the lease.
    pub(crate) fn extend_due(&self, lease: Duration, part: Duration) {
        let now = Instant::now();
        let mut jobs = self.jobs();
        // The tasks are not called at the same moment.
        if jobs.extended_at.is_some_and(|at| now < at + part / 2) {
            return;
        }
        jobs.extended_at = Some(now);
        for (_, job) in jobs.by_due.range(..(now + part, 0)) {
            if let Err(error) = job.delivery.extend(lease + part) {
                tracing::debug!(%error, "a message that waits comes again");
            }
        }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.jobs().by_due.keys().next().map(|(due, _)| *due)
    }

    /// The one that is due first.
    pub(crate) fn take(&self) -> Option<Job> {
        self.jobs().by_due.pop_first().map(|(_, job)| job)
    }

    /// Ready when one was added; for one waiting task at a time.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
