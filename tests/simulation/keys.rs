//! Which publishes a queue that drops duplicates may take, as its promises describe it: a list of keys,
//! each with its time. After a crash that time is known within bounds only.

use crate::clock::Clock;
use std::collections::VecDeque;

/// What a queue remembers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// For so many ms.
    pub(crate) length: u64,
    /// So many keys at most.
    pub(crate) size: usize,
}

/// What becomes of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Taken,
    /// This message had its key.
    Dropped(u64),
    /// One of the two: nobody can tell how old the key is.
    Unclear,
}

#[derive(Clone, Debug)]
struct Accepted {
    key: String,
    /// The message that brought it.
    id: u64,
    /// Whether it outlives the process.
    kept: bool,
    /// When it was accepted, between these; nothing: so long ago that it may be forgotten at any time.
    earliest: Option<u64>,
    latest: u64,
    /// It went into a commit then.
    committed: Option<u64>,
}

impl Accepted {
    /// Whether it must be remembered.
    fn is_remembered(&self, window: Window, now: u64) -> bool {
        self.earliest.is_some_and(|earliest| now < earliest + window.length)
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    /// In the order of acceptance.
    accepted: VecDeque<Accepted>,
    /// Until then nobody can tell which keys are remembered.
    unclear_to: u64,
}

impl Keys {
    /// A message with a key comes.
    pub(crate) fn offer(
        &mut self,
        key: &str,
        id: u64,
        kept: bool,
        window: Window,
        now: u64,
    ) -> Fate {
        let Window { length, size } = window;
        if now < self.unclear_to {
            self.unclear_to = now + length;
            return Fate::Unclear;
        }
        self.accepted.retain(|accepted| now < accepted.latest + length);
        let mut same = self.accepted.iter_mut().rev();
        match same.find(|accepted| accepted.key == key) {
            Some(accepted) if accepted.is_remembered(window, now) => Fate::Dropped(accepted.id),
            Some(_) => {
                self.unclear_to = now + length;
                Fate::Unclear
            }
            None => {
                let key = key.to_owned();
                let (earliest, latest, committed) = (Some(now), now, None);
                let accepted = Accepted { key, id, kept, earliest, latest, committed };
                self.accepted.push_back(accepted);
                if self.accepted.len() > size {
                    self.accepted.pop_front();
                }
                Fate::Taken
            }
        }
    }

    /// Whether the key that a message brought is remembered and has to outlive the process.
    pub(crate) fn must_keep(&self, id: u64, window: Window, now: u64) -> bool {
        let mut of_it = self.accepted.iter().filter(|accepted| accepted.id == id && accepted.kept);
        now >= self.unclear_to && of_it.any(|accepted| accepted.is_remembered(window, now))
    }

    /// Whether the key that a message brought is there, in time or not.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.accepted.iter().any(|accepted| accepted.id == id)
    }

    pub(crate) fn has_uncommitted(&self) -> bool {
        self.accepted.iter().any(|accepted| accepted.committed.is_none())
    }

    /// A commit has all of them.
    pub(crate) fn commit(&mut self, now: u64) {
        self.accepted.iter_mut().for_each(|accepted| {
            accepted.committed.get_or_insert(now);
        });
    }

    /// The process died when this was in the store, and began again. Those of one commit count from its last
    /// message; a wall clock that was set in between has misled it.
    pub(crate) fn recover(&mut self, clock: &Clock) {
        self.accepted.retain(|accepted| accepted.kept);
        for accepted in &mut self.accepted {
            let (back, forward) = clock.jumped_since(accepted.earliest.unwrap_or(0));
            accepted.latest = accepted.latest.max(accepted.committed.unwrap_or(clock.now()));
            if forward > 0 {
                accepted.earliest = None;
            }
            if back < 0 {
                accepted.latest = clock.now();
            }
        }
    }
}
