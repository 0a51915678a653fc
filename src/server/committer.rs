//! The one thread that writes to the store, and the watchdog that watches it.
//!
//! The shard task hands it one commit at a time; what arrives while that one is written becomes
//! the next. The committer answers over the shard's completions. It never answers for a commit
//! that the store refused: then the process ends.

use crate::failure::{Failure, FailureSender};
use crate::limits::{COMMIT_DURATION_MAX, WATCHDOG_INTERVAL};
use crate::metrics::CommitMetrics;
use crate::publish_budget::PublishShare;
use forebay_engine::ids::CommitId;
use forebay_engine::operation::Commit;
use forebay_engine::shard::Fetched;
use forebay_store::Store;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// What a thread beside the shard has finished for it.
#[derive(Debug)]
pub enum Completion {
    /// A commit is as durable as it asked to be.
    Committed(CommitId),
    /// Pages that the shard asked for.
    Fetched(Fetched),
}

/// The committer's handle, held by the shard task. Dropping it lets the thread finish.
#[derive(Debug)]
pub struct Committer {
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    commit: Commit,
    share: PublishShare,
}

/// When the commit that is being written began; shared with the watchdog.
#[derive(Debug)]
struct Progress {
    origin: Instant,
    /// Milliseconds after `origin`, plus one; 0 while nothing is written.
    began: AtomicU64,
    ended: AtomicBool,
}

/// The threads of a committer, to be joined when the broker stops.
#[derive(Debug)]
pub struct CommitterThread {
    thread: JoinHandle<()>,
}

impl Committer {
    /// Starts the committer and its watchdog.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub fn start(
        store: Arc<dyn Store>,
        completions: UnboundedSender<Completion>,
        failures: FailureSender,
        metrics: CommitMetrics,
    ) -> io::Result<(Self, CommitterThread)> {
        let (jobs, received) = mpsc::channel::<Job>();
        let progress = Arc::new(Progress::new());
        let watched = Arc::clone(&progress);
        let watchdog_failures = failures.clone();
        Builder::new()
            .name("forebay-watchdog".to_owned())
            .spawn(move || watch(&watched, COMMIT_DURATION_MAX, &watchdog_failures))?;
        let thread = Builder::new().name("forebay-committer".to_owned()).spawn(move || {
            let result = write_all(&*store, &received, &completions, &progress, &metrics);
            progress.end();
            if let Err(error) = result {
                failures.report(Failure::Store(error));
            }
        })?;
        Ok((Self { jobs }, CommitterThread { thread }))
    }

    /// Hands over a commit; the share is given back when it is durable.
    ///
    /// # Errors
    /// When the committer has ended after a failure, which was reported.
    pub fn write(&self, commit: Commit, share: PublishShare) -> Result<(), CommitterEnded> {
        self.jobs.send(Job { commit, share }).map_err(|_| CommitterEnded)
    }
}

/// The committer has ended after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitterEnded;

impl CommitterThread {
    /// Waits until everything is written and synced. Blocks.
    pub fn join(self) {
        // A panic there has been reported by the watchdog's side or by the shard's.
        let _ = self.thread.join();
    }
}

fn write_all(
    store: &dyn Store,
    jobs: &mpsc::Receiver<Job>,
    completions: &UnboundedSender<Completion>,
    progress: &Progress,
    metrics: &CommitMetrics,
) -> Result<(), forebay_store::StoreError> {
    for Job { commit, share } in jobs {
        let started = progress.begin();
        store.apply(std::slice::from_ref(&commit))?;
        metrics.record(commit.operations.len(), progress.finish(started));
        // The shard is gone only when the broker ends.
        let _ = completions.send(Completion::Committed(commit.id));
        drop(share);
    }
    progress.begin();
    store.sync()
}

fn watch(progress: &Progress, duration_max: Duration, failures: &FailureSender) {
    while !progress.ended.load(Ordering::Acquire) {
        if progress.is_overdue(duration_max) {
            failures.report(Failure::CommitOverdue);
            return;
        }
        std::thread::sleep(WATCHDOG_INTERVAL.min(duration_max));
    }
}

impl Progress {
    fn new() -> Self {
        Self { origin: Instant::now(), began: AtomicU64::new(0), ended: AtomicBool::new(false) }
    }

    fn begin(&self) -> Instant {
        let now = Instant::now();
        self.began.store(self.milliseconds(now) + 1, Ordering::Release);
        now
    }

    fn finish(&self, began: Instant) -> Duration {
        self.began.store(0, Ordering::Release);
        began.elapsed()
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    fn is_overdue(&self, duration_max: Duration) -> bool {
        match self.began.load(Ordering::Acquire) {
            0 => false,
            began => {
                let elapsed = self.milliseconds(Instant::now()).saturating_sub(began - 1);
                u128::from(elapsed) > duration_max.as_millis()
            }
        }
    }

    fn milliseconds(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }
}
