//! The commit log of a single machine: the one thread that writes to the store, and the watchdog that
//! watches it.
//!
//! The shard task hands it one commit at a time; what arrives while that one is written becomes
//! the next. The committer answers over the shard's completions. It never answers for a commit
//! that the store refused: then the process ends.

use crate::connection::publish_budget::PublishShare;
use crate::failure::{Failure, FailureSender};
use crate::limits::{COMMIT_DURATION_MAX, WATCHDOG_INTERVAL};
use crate::metrics::CommitMetrics;
use crate::shard::commit_log::{CommitLog, CommitLogEnded};
use crate::shard::completion::Completion;
use forebay_engine::operation::Commit;
use forebay_store::Store;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

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
        Self::start_watched(store, completions, failures, metrics, COMMIT_DURATION_MAX)
    }

    fn start_watched(
        store: Arc<dyn Store>,
        completions: UnboundedSender<Completion>,
        failures: FailureSender,
        metrics: CommitMetrics,
        duration_max: Duration,
    ) -> io::Result<(Self, CommitterThread)> {
        let (jobs, received) = mpsc::channel::<Job>();
        let progress = Arc::new(Progress::new());
        let watched = Arc::clone(&progress);
        let watchdog_failures = failures.clone();
        Builder::new()
            .name("forebay-watchdog".to_owned())
            .spawn(move || watch(&watched, duration_max, &watchdog_failures))?;
        let thread = Builder::new().name("forebay-committer".to_owned()).spawn(move || {
            let result = write_all(&*store, &received, &completions, &progress, &metrics);
            progress.end();
            if let Err(error) = result {
                failures.report(Failure::Store(error));
            }
        })?;
        Ok((Self { jobs }, CommitterThread { thread }))
    }
}

impl CommitLog for Committer {
    fn append(&self, commit: Commit, share: PublishShare) -> Result<(), CommitLogEnded> {
        self.jobs.send(Job { commit, share }).map_err(|_| CommitLogEnded)
    }
}

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
        metrics.record(commit.operations.len(), commit.durability, progress.finish(started));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::publish_budget::{PublishBudget, Published};
    use crate::failure::{FailureReceiver, failures};
    use crate::metrics::Metrics;
    use bytes::Bytes;
    use forebay_engine::model::{CommitId, Epoch};
    use forebay_engine::operation::{Durability, Operation};
    use forebay_store::{Fault, FaultyStore, MemoryStore};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    struct Rig {
        store: Arc<FaultyStore<MemoryStore>>,
        committer: Committer,
        thread: CommitterThread,
        completions: UnboundedReceiver<Completion>,
        failures: FailureReceiver,
    }

    fn rig(fault: Fault, duration_max: Duration) -> Rig {
        let store = Arc::new(FaultyStore::new(MemoryStore::new(), fault));
        let (sender, completions) = unbounded_channel();
        let (failure_sender, failures) = failures();
        let (committer, thread) = Committer::start_watched(
            Arc::clone(&store) as Arc<dyn Store>,
            sender,
            failure_sender,
            Metrics::new().unwrap().commit,
            duration_max,
        )
        .unwrap();
        Rig { store, committer, thread, completions, failures }
    }

    fn commit(id: u64) -> Commit {
        let key = Bytes::from(id.to_string());
        let operations = vec![Operation::PutRecord { key, value: Bytes::new() }];
        Commit { id: CommitId(id), epoch: Epoch(0), operations, durability: Durability::Synced }
    }

    #[tokio::test]
    async fn a_durable_commit_is_reported_and_its_budget_given_back() {
        let mut rig = rig(Fault::Read(1), COMMIT_DURATION_MAX);
        let budget = PublishBudget::new();
        let free = budget.available();
        let published = Published { bytes: 100, ..Published::default() };
        rig.committer.append(commit(1), budget.try_take(published).unwrap()).unwrap();
        let completion = rig.completions.recv().await;
        assert!(matches!(completion, Some(Completion::Committed(CommitId(1)))));
        drop(rig.committer);
        rig.thread.join();
        assert_eq!(budget.available(), free);
    }

    #[tokio::test]
    async fn a_failed_commit_is_never_reported_as_done() {
        let mut rig = rig(Fault::Sync(2), COMMIT_DURATION_MAX);
        for id in 1..=3 {
            // The last one may find the committer ended already.
            let _ = rig.committer.append(commit(id), PublishShare::default());
        }
        let failure = rig.failures.first().await;
        assert!(failure.to_string().contains("nothing that was not durable"), "{failure}");
        let mut done = Vec::new();
        while let Some(completion) = rig.completions.recv().await {
            done.push(completion);
        }
        assert!(matches!(done.as_slice(), [Completion::Committed(CommitId(1))]), "{done:?}");
    }

    #[tokio::test]
    async fn a_commit_that_hangs_is_a_failure() {
        let mut rig = rig(Fault::ApplyStuck(1), Duration::from_millis(1));
        rig.committer.append(commit(1), PublishShare::default()).unwrap();
        assert!(matches!(rig.failures.first().await, Failure::CommitOverdue));
        rig.store.release();
    }

    #[tokio::test]
    async fn what_waits_at_the_end_is_still_written() {
        let rig = rig(Fault::Read(1), COMMIT_DURATION_MAX);
        for id in 1..=3 {
            rig.committer.append(commit(id), PublishShare::default()).unwrap();
        }
        drop(rig.committer);
        rig.thread.join();
        rig.store.inner().crash(0);
        assert_eq!(rig.store.recover().unwrap().records.len(), 3);
    }
}
