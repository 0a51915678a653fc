//! Which messages a worker handles at present, so that one that comes again is not handled beside
//! itself.
//!
//! A broker delivers a message again while its handler runs when the connection was lost, or when the
//! handler takes longer than the queue's `x-consumer-timeout`. It is recognised by its message id, and
//! by being the same in every respect, so that no message of a publisher that uses an id twice is lost. Owned by
//! the worker's pool, under a short lock of its own.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use forebay_wire::ShortStr;

use crate::Incoming;

/// Handled messages that are remembered because the broker does not know of it.
const DONE_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Running {
    entries: Mutex<Entries>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: HashMap<ShortStr, Entry>,
    /// The ids of those that are done, oldest first; some may have been forgotten meanwhile.
    done: VecDeque<ShortStr>,
}

#[derive(Debug)]
enum Entry {
    Running {
        message: Incoming,
        /// It came again and waits.
        is_repeated: bool,
    },
    /// Handled; the hash of the message.
    Done(u64),
}

/// Whether a handler shall run.
pub(crate) enum Begin<'a> {
    Run(Option<RunningGuard<'a>>),
    /// It is being handled: wait for the outcome.
    Repetition,
    /// It was handled, and the broker does not know yet.
    Done,
}

/// What became of a handled message.
pub(crate) enum Outcome {
    Acked,
    /// Its channel was gone: it comes again.
    AckLost,
}

/// A message in progress; dropped without [`RunningGuard::end`], it was not handled.
pub(crate) struct RunningGuard<'a> {
    running: &'a Running,
    id: ShortStr,
    is_ended: bool,
}

impl Running {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, message: &Incoming) -> Begin<'_> {
        let Some(id) = message.message_id() else { return Begin::Run(None) };
        let mut entries = self.entries();
        match entries.by_id.get_mut(&id) {
            // Another message of the same name is none of its business.
            Some(_) if !message.is_redelivered() => Begin::Run(None),
            Some(Entry::Running { message: first, is_repeated }) if is_same(first, message) => {
                *is_repeated = true;
                Begin::Repetition
            }
            // It may come more than once: each copy may have run into the time-out.
            Some(Entry::Done(hash)) if *hash == self.hash(message) => Begin::Done,
            Some(_) => Begin::Run(None),
            None => {
                let running = Entry::Running { message: message.clone(), is_repeated: false };
                entries.by_id.insert(id.clone(), running);
                Begin::Run(Some(RunningGuard { running: self, id, is_ended: false }))
            }
        }
    }

    fn hash(&self, message: &Incoming) -> u64 {
        let Incoming { exchange, routing_key, body, .. } = message;
        self.hasher.hash_one((exchange.as_bytes(), routing_key.as_bytes(), body))
    }
}

fn is_same(one: &Incoming, other: &Incoming) -> bool {
    one.exchange == other.exchange && one.routing_key == other.routing_key && one.body == other.body
}

impl RunningGuard<'_> {
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.is_ended = true;
        let mut entries = self.running.entries();
        let Some(Entry::Running { message, is_repeated }) = entries.by_id.remove(&self.id) else {
            return;
        };
        // An ack that is too late for the broker is not answered: what came again shows it.
        if is_repeated || matches!(outcome, Outcome::AckLost) {
            entries.by_id.insert(self.id.clone(), Entry::Done(self.running.hash(&message)));
            entries.done.push_back(self.id.clone());
        }
        if entries.done.len() > DONE_MAX
            && let Some(oldest) = entries.done.pop_front()
            && matches!(entries.by_id.get(&oldest), Some(Entry::Done(_)))
        {
            entries.by_id.remove(&oldest);
        }
    }
}

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.running.entries().by_id.remove(&self.id);
        }
    }
}
