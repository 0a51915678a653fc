//! The one thread that writes to a node's store: what waits is written together and synced once.

use crate::limits::JOBS_AT_ONCE_MAX;
use crate::raft_types::Types;
use bytes::Bytes;
use forebay_engine::operation::{Commit, Durability};
use forebay_store::{LogCut, ReceivedSnapshot, ReplicaStore, StoreError};
use openraft::storage::IOFlushed;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::Builder;
use tokio::sync::oneshot;

/// Where the result of a job goes.
pub(crate) type Answer = oneshot::Sender<io::Result<()>>;

/// What is to be written.
pub(crate) enum Job {
    /// Entries at the end of the log; told when they are on stable storage.
    Append { first: u64, entries: Vec<Bytes>, flushed: IOFlushed<Types> },
    /// No entry from this index on.
    Truncate { from: u64, answer: Answer },
    /// No entry up to this one.
    Cut { cut: LogCut, answer: Answer },
    /// A vote; told when it is on stable storage.
    Vote { vote: Bytes, answer: Answer },
    /// Commits that the log has, and how far it is applied with them.
    Apply { commits: Vec<Commit>, applied: Bytes, answer: Answer },
    /// A snapshot in the place of what is stored.
    Install { snapshot: ReceivedSnapshot, answer: Answer },
}

/// The way to the thread. Clones lead to the same one; it ends when none is left.
#[derive(Clone, Debug)]
pub(crate) struct LogWriter {
    jobs: mpsc::Sender<Job>,
}

impl LogWriter {
    /// # Errors
    /// When the system has no threads left.
    pub(crate) fn start(store: Arc<ReplicaStore>) -> io::Result<Self> {
        let (jobs, received) = mpsc::channel();
        let thread = Builder::new().name("forebay-log-writer".to_owned());
        thread.spawn(move || write_all(&store, &received))?;
        Ok(Self { jobs })
    }

    /// Hands over a job, without waiting for it.
    ///
    /// # Errors
    /// When the thread has ended.
    pub(crate) fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.send(job).map_err(|_| ended())
    }

    /// Hands over a job, and waits until it is done.
    ///
    /// # Errors
    /// When the store fails, or has failed before.
    pub(crate) async fn run(&self, job: impl FnOnce(Answer) -> Job) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.send(job(answer))?;
        answered.await.map_err(|_| ended())?
    }
}

/// What is told after the sync.
enum Waiting {
    Flushed(IOFlushed<Types>),
    Answer(Answer),
}

fn write_all(store: &ReplicaStore, jobs: &mpsc::Receiver<Job>) {
    let mut waiting = Vec::new();
    while let Ok(job) = jobs.recv() {
        write(store, job, &mut waiting);
        for job in jobs.try_iter().take(JOBS_AT_ONCE_MAX - 1) {
            write(store, job, &mut waiting);
        }
        if waiting.is_empty() {
            continue;
        }
        // The sync of a store that has failed fails, too: nobody is told of what was not synced.
        let synced = store.sync_log();
        for waiting in waiting.drain(..) {
            let result = match &synced {
                Ok(()) => Ok(()),
                Err(error) => Err(failed(error)),
            };
            match waiting {
                Waiting::Flushed(flushed) => flushed.io_completed(result),
                // Who asked may have gone.
                Waiting::Answer(answer) => drop(answer.send(result)),
            }
        }
    }
}

fn write(store: &ReplicaStore, job: Job, waiting: &mut Vec<Waiting>) {
    match job {
        Job::Append { first, entries, flushed } => {
            match store.append(first, &entries, Durability::Written) {
                Ok(()) => waiting.push(Waiting::Flushed(flushed)),
                Err(error) => flushed.io_completed(Err(failed(&error))),
            }
        }
        Job::Vote { vote, answer } => match store.put_vote(&vote, Durability::Written) {
            Ok(()) => waiting.push(Waiting::Answer(answer)),
            Err(error) => drop(answer.send(Err(failed(&error)))),
        },
        Job::Truncate { from, answer } => tell(answer, store.truncate(from)),
        Job::Cut { cut, answer } => tell(answer, store.cut(&cut)),
        Job::Apply { commits, applied, answer } => {
            tell(answer, store.apply_logged(&commits, &applied));
        }
        Job::Install { snapshot, answer } => tell(answer, store.install(snapshot)),
    }
}

fn tell(answer: Answer, result: Result<(), StoreError>) {
    // Who asked may have gone.
    drop(answer.send(result.map_err(|error| failed(&error))));
}

pub(crate) fn failed(error: &StoreError) -> io::Error {
    io::Error::other(error.to_string())
}

fn ended() -> io::Error {
    io::Error::other("the node's writer has ended; this is a defect of the broker")
}
