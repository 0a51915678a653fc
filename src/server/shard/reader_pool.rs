//! Threads that read pages of backlogs for the shard, so that neither it nor the committer ever
//! waits for a read.

use crate::failure::{Failure, FailureSender};
use crate::limits::READER_THREADS;
use crate::shard::completion::Completion;
use forebay_engine::shard::{
    DamagedDelayedFetch, DamagedFetch, DelayedFetch, DelayedFetched, Fetch, Fetched,
};
use forebay_store::{DelayedMessages, Store, StoreError};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{Builder, JoinHandle};
use tokio::sync::mpsc::UnboundedSender;

/// What the shard wants read.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Pages(Fetch),
    Delayed(DelayedFetch),
}

/// The pool's handle, held by the shard task. Dropping it lets the threads end.
#[derive(Debug)]
pub struct ReaderPool {
    wanted: mpsc::Sender<Wanted>,
}

/// The threads of the pool: until they have ended, they hold the store.
#[derive(Debug)]
pub struct ReaderThreads {
    threads: Vec<JoinHandle<()>>,
}

impl ReaderThreads {
    /// Waits until they have ended, after the pool was dropped. Blocks.
    pub fn join(self) {
        for thread in self.threads {
            // Had it panicked, the panic hook has told.
            let _ = thread.join();
        }
    }
}

impl ReaderPool {
    /// Starts [`READER_THREADS`] threads.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub fn start(
        store: &Arc<dyn Store>,
        completions: &UnboundedSender<Completion>,
        failures: &FailureSender,
    ) -> io::Result<(Self, ReaderThreads)> {
        let (sender, receiver) = mpsc::channel();
        let mut threads = Vec::with_capacity(READER_THREADS);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 1..=READER_THREADS {
            let (receiver, store) = (Arc::clone(&receiver), Arc::clone(store));
            let (completions, failures) = (completions.clone(), failures.clone());
            let thread = Builder::new().name(format!("forebay-reader-{number}"));
            threads.push(thread.spawn(move || {
                while let Some(wanted) = next(&receiver) {
                    let read = match wanted {
                        Wanted::Pages(fetch) => read(&*store, fetch),
                        Wanted::Delayed(fetch) => read_delayed(&*store, fetch),
                    };
                    match read {
                        // The shard is gone only when the broker ends.
                        Ok(completion) => drop(completions.send(completion)),
                        Err(failure) => return failures.report(failure),
                    }
                }
            })?);
        }
        Ok((Self { wanted: sender }, ReaderThreads { threads }))
    }

    /// Asks for pages; they come back as a completion.
    pub fn fetch(&self, fetch: Fetch) {
        self.want(Wanted::Pages(fetch));
    }

    /// Asks for delayed messages; they come back as a completion.
    pub fn fetch_delayed(&self, fetch: DelayedFetch) {
        self.want(Wanted::Delayed(fetch));
    }

    fn want(&self, wanted: Wanted) {
        // The threads end before this handle only after a failure, which was reported.
        let _ = self.wanted.send(wanted);
    }
}

fn next(wanted: &Mutex<mpsc::Receiver<Wanted>>) -> Option<Wanted> {
    wanted.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// # Errors
/// When the store can't go on. Damage of one queue is no failure of the broker's.
fn read(store: &dyn Store, fetch: Fetch) -> Result<Completion, Failure> {
    let Fetch { queue, level, from, bytes_max } = fetch;
    match store.read(queue, level, from, bytes_max) {
        Ok(pages) => Ok(Completion::Fetched(Fetched { queue, level, from, pages })),
        Err(StoreError::Damaged(damage)) if damage.level.is_some() => {
            let what = damage.to_string().into();
            Ok(Completion::Damaged(DamagedFetch { queue, level, from, what }))
        }
        Err(error) => Err(Failure::Store(error)),
    }
}

/// # Errors
/// As [`read`].
fn read_delayed(store: &dyn Store, fetch: DelayedFetch) -> Result<Completion, Failure> {
    let DelayedFetch { queue, from, bytes_max, is_for_request } = fetch;
    match store.read_delayed(queue, from, bytes_max) {
        Ok(DelayedMessages { messages, is_end }) => {
            let fetched = DelayedFetched { queue, from, messages, is_end, is_for_request };
            Ok(Completion::DelayedFetched(fetched))
        }
        Err(StoreError::Damaged(damage)) if damage.level.is_some() => {
            let what = damage.to_string().into();
            Ok(Completion::DamagedDelayed(DamagedDelayedFetch { queue, from, what }))
        }
        Err(error) => Err(Failure::Store(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::failures;
    use forebay_store::MemoryStore;
    use tokio::sync::mpsc::unbounded_channel;

    #[test]
    fn nobody_holds_the_store_when_the_threads_have_ended() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let (completions, _completed) = unbounded_channel();
        let (failures, _failed) = failures();
        let (pool, threads) = ReaderPool::start(&store, &completions, &failures).unwrap();
        drop(pool);
        threads.join();
        assert_eq!(Arc::strong_count(&store), 1);
    }
}
