//! One life of the broker's process: the shard with its mailbox, committer and readers, driven as
//! the server's shard task drives them. It ends in a crash.

use crate::history::History;
use crate::random::Random;
use forebay_engine::BrokerSnapshot;
use forebay_engine::access::ConfiguredUser;
use forebay_engine::command::Command;
use forebay_engine::event::Event;
use forebay_engine::model::{CommitId, ConnectionId, Now};
use forebay_engine::operation::{Commit, Durability};
use forebay_engine::shard::{
    DelayedFetch, DelayedFetched, Fetch, Fetched, QueueDefaults, Shard, ShardSettings,
};
use forebay_store::{DelayedMessages, Fault, FaultyStore, MemoryStore, Store, StoreError};
use forebay_wire::ShortStr;
use std::collections::VecDeque;

/// Batches that the mailbox takes.
pub(crate) const MAILBOX_BATCHES_MAX: usize = 4;

/// The store has failed: the process ends.
#[derive(Debug)]
pub(crate) struct Failed;

/// Something that the shard asks of the store.
pub(crate) enum Asked {
    Pages(Fetch),
    Delayed(DelayedFetch),
}

/// What the store had.
pub(crate) enum Found {
    Pages(Fetched),
    Delayed(DelayedFetched),
}

pub(crate) struct Life {
    pub(crate) shard: Shard,
    memory: MemoryStore,
    store: FaultyStore<MemoryStore>,
    fault: Option<Fault>,
    pub(crate) snapshot: BrokerSnapshot,
    pub(crate) mail: VecDeque<(ConnectionId, Vec<Command>)>,
    /// News for connections, to be taken by the world.
    pub(crate) events: Vec<(ConnectionId, Vec<Event>)>,
    pub(crate) writing: Option<Commit>,
    /// The store has refused what is being written.
    has_failed: bool,
    pub(crate) fetches: Vec<Asked>,
    pub(crate) fetched: Vec<Found>,
    /// Commits in the store that a power loss may take.
    unsynced: Vec<Commit>,
    /// Commits of this life that nothing can take.
    log: Vec<Commit>,
}

impl Life {
    /// A process begins with what a store holds.
    pub(crate) fn begin(memory: MemoryStore, fault: Option<Fault>) -> Self {
        let settings = ShardSettings {
            vhosts: vec![ShortStr::from_static("/")],
            queue_defaults: QueueDefaults::default(),
        };
        let recovered = memory.recover().expect("what a store holds can be read");
        let mut shard = Shard::recover(&settings, recovered).expect("a shard recovers");
        let name = ShortStr::from_static("guest");
        shard.configure_users(&[ConfiguredUser { name, permissions: None }]);
        let snapshot = shard.snapshot();
        // One that is never due, when there is to be none.
        let store = FaultyStore::new(memory.clone(), fault.unwrap_or(Fault::Read(u64::MAX)));
        Self {
            shard,
            memory,
            store,
            fault,
            snapshot,
            mail: VecDeque::new(),
            events: Vec::new(),
            writing: None,
            has_failed: false,
            fetches: Vec::new(),
            fetched: Vec::new(),
            unsynced: Vec::new(),
            log: Vec::new(),
        }
    }

    /// The shard takes the oldest mail: command by command, since each sees what those before it
    /// did, and so must the history.
    pub(crate) fn take_mail(&mut self, now: Now, history: &mut History) -> bool {
        let Some((connection, commands)) = self.mail.pop_front() else { return false };
        for command in commands {
            history.command(&self.shard, connection, &command);
            self.shard.handle_commands(now, connection, [command]);
            self.take_events(history);
            history.end_turn();
        }
        self.send_on(now, history);
        true
    }

    /// The commit that is being written is written.
    pub(crate) fn finish_commit(
        &mut self,
        now: Now,
        history: &mut History,
    ) -> Result<bool, Failed> {
        let Some(commit) = self.writing.take() else { return Ok(false) };
        if self.store.apply(std::slice::from_ref(&commit)).is_err() {
            (self.writing, self.has_failed) = (Some(commit), true);
            return Err(Failed);
        }
        let (id, durability) = (commit.id, commit.durability);
        self.unsynced.push(commit);
        if durability == Durability::Synced {
            self.log.append(&mut self.unsynced);
        }
        history.committed(id, durability);
        self.shard.handle_committed(now, id);
        self.send_on(now, history);
        Ok(true)
    }

    /// A reader has read what the shard asked for; it does not know yet.
    pub(crate) fn read(&mut self, place: usize) -> Result<bool, Failed> {
        if place >= self.fetches.len() {
            return Ok(false);
        }
        let asked = self.fetches.swap_remove(place);
        let found = self.find(&asked).map_err(|error| {
            assert!(matches!(self.fault, Some(Fault::Read(_))), "{error}");
            Failed
        })?;
        self.fetched.push(found);
        Ok(true)
    }

    fn find(&self, asked: &Asked) -> Result<Found, StoreError> {
        Ok(match *asked {
            Asked::Pages(Fetch { queue, level, from, bytes_max }) => {
                let pages = self.store.read(queue, level, from, bytes_max)?;
                Found::Pages(Fetched { queue, level, from, pages })
            }
            Asked::Delayed(DelayedFetch { queue, from, bytes_max, is_for_request }) => {
                let read = self.store.read_delayed(queue, from, bytes_max)?;
                let DelayedMessages { messages, is_end } = read;
                Found::Delayed(DelayedFetched { queue, from, messages, is_end, is_for_request })
            }
        })
    }

    /// The shard is given what was read.
    pub(crate) fn take_fetched(&mut self, place: usize, now: Now, history: &mut History) -> bool {
        if place >= self.fetched.len() {
            return false;
        }
        match self.fetched.swap_remove(place) {
            Found::Pages(fetched) => self.shard.handle_fetched(now, fetched),
            Found::Delayed(fetched) => self.shard.handle_delayed_fetched(now, fetched),
        }
        self.send_on(now, history);
        true
    }

    /// Time has passed.
    pub(crate) fn take_timeout(&mut self, now: Now, history: &mut History) -> bool {
        let is_due = self.shard.poll_timeout().is_some_and(|at| at <= now.monotonic);
        if is_due {
            self.shard.handle_timeout(now);
            self.send_on(now, history);
        }
        is_due
    }

    /// As the shard task: the next commit, then routes, events, fetches.
    pub(crate) fn send_on(&mut self, now: Now, history: &mut History) {
        if self.writing.is_none() {
            let commit = self.shard.poll_commit();
            // What the turn handed out is in it.
            self.take_events(history);
            history.end_turn();
            commit.iter().for_each(|commit| history.committing(commit));
            self.writing = commit;
        }
        if self.shard.has_changed_since(&self.snapshot) {
            self.snapshot = self.shard.snapshot();
        }
        self.take_events(history);
        history.end_turn();
        self.take_fetches(now);
    }

    /// What the shard wants to have read.
    pub(crate) fn take_fetches(&mut self, now: Now) {
        while let Some(fetch) = self.shard.poll_fetch() {
            self.fetches.push(Asked::Pages(fetch));
        }
        while let Some(fetch) = self.shard.poll_delayed_fetch(now) {
            self.fetches.push(Asked::Delayed(fetch));
        }
    }

    fn take_events(&mut self, history: &mut History) {
        while let Some((connection, events)) = self.shard.poll_event() {
            for event in &events {
                history.event(&self.shard, connection, event);
            }
            self.events.push((connection, events));
        }
    }

    /// All commits that are in the store.
    pub(crate) fn take_log(&mut self) -> Vec<Commit> {
        self.log.append(&mut self.unsynced);
        std::mem::take(&mut self.log)
    }

    /// The machine loses power: of what was not synced, a part survives, in order. Returns the
    /// commits that are there now, and the last of this life.
    pub(crate) fn crash(mut self, random: &mut Random) -> (Vec<Commit>, Option<CommitId>) {
        if let Some(commit) = self.writing.take() {
            match self.fault {
                // As far as the store got before it failed.
                Some(fault) if self.has_failed => match fault {
                    Fault::ApplyKept(_) if commit.durability == Durability::Synced => {
                        self.unsynced.push(commit);
                        self.log.append(&mut self.unsynced);
                    }
                    Fault::ApplyKept(_) | Fault::Sync(_) => self.unsynced.push(commit),
                    _ => {}
                },
                // In the middle of it.
                _ if random.below(2) == 0 => {
                    let torn = Commit { durability: Durability::Written, ..commit };
                    let applied = self.memory.apply(std::slice::from_ref(&torn));
                    applied.expect("a store in memory");
                    self.unsynced.push(torn);
                }
                _ => {}
            }
        }
        let survivors = random.below(self.unsynced.len() as u64 + 1) as usize;
        self.memory.crash(survivors);
        self.unsynced.truncate(survivors);
        self.log.append(&mut self.unsynced);
        let last = self.log.last().map(|commit| commit.id);
        (self.log, last)
    }
}
