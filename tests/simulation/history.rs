//! The history checker: stands where commands enter the shard and events leave it, where commits
//! go to the store and come back, and at each client; holds what it sees against what is promised.
//!
//! - A publish is confirmed only when every queue has it on stable storage, or it was settled.
//! - What was settled is not delivered again; when its settlement was in the store, not even after
//!   a crash. Nothing is held by two channels at a time.
//! - After a crash the queues hold exactly what the last commit that survived had.
//! - Order within a queue, `redelivered`, `x-delivery-count`: see [`crate::shadow::Shadow`].
//! - Nobody is told of a queue declared, purged or deleted before that is durable.
//! - In the end a confirmed message is there once, or was settled: `audit.rs`.

use crate::queues::{Profile, dead_letter_queue};
use crate::shadow::{Copy, Handed, Shadow};
use forebay_engine::model::{ChannelKey, CommitId, Message, Position, QueueId};
use forebay_engine::operation::{Commit, Durability, Operation};
use forebay_engine::shard::Shard;
use forebay_wire::{FieldValue, RawProperties};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What a crash may undo.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) queues: BTreeMap<QueueId, Rc<Shadow>>,
    /// Names of durable queues.
    pub(crate) declared: BTreeSet<String>,
    /// Copies, by the queue they were published to, that are not to be seen again anywhere.
    settled: Rc<BTreeSet<(String, u64)>>,
}

/// A message as it was published.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) kept: bool,
    pub(crate) targets: Vec<QueueId>,
    /// The client has read so.
    pub(crate) confirmed: bool,
}

/// Something that a client waits for, and the commit before which it must not be told.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    Transaction(Vec<u64>),
    Change { name: String, commit: CommitId },
}

#[derive(Debug, Default)]
pub(crate) struct History {
    profiles: BTreeMap<String, Rc<Profile>>,
    pub(crate) now: u64,
    pub(crate) state: State,
    /// The state in the store, and after each commit on its way there.
    base: State,
    commits: BTreeMap<CommitId, (State, Vec<(QueueId, u64)>)>,
    pub(crate) last_commit: CommitId,
    pub(crate) durable: CommitId,
    /// Which queues have stored a message.
    pages: BTreeMap<u64, BTreeSet<QueueId>>,
    never: BTreeSet<(QueueId, Position)>,
    pub(crate) published: BTreeMap<u64, Published>,
    /// Names of all queues that ever were.
    pub(crate) names: BTreeMap<QueueId, String>,
    pub(crate) sequences: BTreeMap<(ChannelKey, u64), u64>,
    pub(crate) questions: BTreeMap<ChannelKey, Question>,
    /// The commit that makes the last change of a queue durable.
    pub(crate) changes: BTreeMap<String, CommitId>,
    /// Copies that a client has settled or purged, by the queue they were published to; also those
    /// that come back because a crash undid it.
    pub(crate) done: BTreeSet<(String, u64)>,
    /// Channels whose last `basic.get` needs no acknowledgement.
    pub(crate) gets_no_ack: BTreeSet<ChannelKey>,
    /// Channels that ended in this turn (all of a connection: number 0).
    pub(crate) closed: Vec<ChannelKey>,
    /// Deliveries of this turn.
    pub(crate) handed: Vec<(QueueId, Handed)>,
    /// Publishes that are said to be safe in this turn.
    pub(crate) safe: Vec<u64>,
    /// Prints what is seen.
    pub(crate) traces: bool,
}

/// The number that each body begins with.
pub(crate) fn id_of(body: &[u8]) -> u64 {
    u64::from_be_bytes(body[..8].try_into().unwrap())
}

/// The queue that a dead letter was published to.
pub(crate) fn first_death(message: &Message) -> Option<String> {
    let properties = RawProperties::parse(message.properties_bytes()).unwrap();
    match properties.headers()?.get("x-first-death-queue")? {
        FieldValue::LongStr(name) => Some(String::from_utf8(name.to_vec()).unwrap()),
        other => panic!("x-first-death-queue: {other:?}"),
    }
}

impl History {
    pub(crate) fn new(profiles: &[Profile], traces: bool) -> Self {
        let profiles = profiles.iter().cloned();
        let named = profiles.map(|profile| (profile.name.to_owned(), Rc::new(profile)));
        Self { profiles: named.collect(), traces, ..Self::default() }
    }

    pub(crate) fn profile(&self, name: &str) -> Option<&Rc<Profile>> {
        self.profiles.get(name)
    }

    /// The shadow of a queue; nothing when the shard does not know it either.
    pub(crate) fn shadow(&mut self, shard: &Shard, id: QueueId) -> Option<&mut Shadow> {
        if !self.state.queues.contains_key(&id) {
            let report =
                shard.statistics().queues.into_iter().find(|report| report.record.id == id)?;
            let name = report.record.name.to_string();
            let profile = self.profiles.get(&name).cloned();
            let profile = profile.unwrap_or_else(|| Rc::new(dead_letter_queue()));
            self.names.insert(id, name.clone());
            self.state.queues.insert(id, Rc::new(Shadow::new(name, profile)));
        }
        self.state.queues.get_mut(&id).map(Rc::make_mut)
    }

    /// The queue of this name that lives.
    pub(crate) fn find(&self, name: &str) -> Option<QueueId> {
        let mut queues = self.state.queues.iter();
        queues.find(|(_, shadow)| shadow.name == name).map(|(id, _)| *id)
    }

    /// A turn of the shard is over: its deliveries, by position; then what it called safe.
    pub(crate) fn end_turn(&mut self) {
        let mut handed = std::mem::take(&mut self.handed);
        handed.sort_by_key(|(queue, handed)| (*queue, handed.position));
        for (queue, handed) in handed {
            let copy = &handed.copy;
            let is_settled = self.state.settled.contains(&(copy.origin.clone(), copy.id));
            assert!(!is_settled, "settled, and there is another one: {handed:?}");
            let never = self.never.contains(&(queue, handed.position));
            assert!(!never, "settled, in the store, and delivered again: {handed:?}");
            let shadow = Rc::make_mut(self.state.queues.get_mut(&queue).unwrap());
            shadow.hand_out(&handed, self.now);
            if handed.no_ack {
                self.end(handed.copy, true);
            }
        }
        // A full queue makes its deliveries in the middle of a batch, at whose end the channel may be
        // closed.
        for key in std::mem::take(&mut self.closed) {
            self.release(key);
        }
        for id in std::mem::take(&mut self.safe) {
            self.check_safe(id);
        }
    }

    /// A copy came to its end; `is_certain`: it is not to be seen again.
    pub(crate) fn end(&mut self, copy: Copy, is_certain: bool) {
        let Copy { origin, id, kept, .. } = copy;
        self.done.insert((origin.clone(), id));
        if is_certain && kept {
            Rc::make_mut(&mut self.state.settled).insert((origin, id));
        }
    }

    /// A commit was handed out.
    pub(crate) fn committing(&mut self, commit: &Commit) {
        let pages = commit.operations.iter().filter_map(|operation| match operation {
            Operation::PutPage { queue, page, .. } => Some((*queue, page)),
            _ => None,
        });
        let records = pages.flat_map(|(queue, page)| {
            page.records.iter().map(move |record| (queue, id_of(record.message.body())))
        });
        if self.traces {
            eprintln!("    {commit:?}");
        }
        let records: Vec<(QueueId, u64)> = records.collect();
        for (queue, id) in &records {
            let others = self.state.queues.iter_mut().filter(|(other, _)| *other != queue);
            for (_, shadow) in others.filter(|(_, shadow)| shadow.has_moving()) {
                Rc::make_mut(shadow).moved(*id);
            }
        }
        self.commits.insert(commit.id, (self.state.clone(), records));
        self.last_commit = commit.id;
    }

    /// The store has it, as durable as it asked to be.
    pub(crate) fn committed(&mut self, commit: CommitId, durability: Durability) {
        if durability == Durability::Synced {
            self.keep(commit);
            self.durable = commit;
        }
    }

    /// Everything up to a commit can't be lost any more.
    fn keep(&mut self, commit: CommitId) {
        let later = self.commits.split_off(&CommitId(commit.0 + 1));
        for (_, (state, pages)) in std::mem::replace(&mut self.commits, later) {
            self.base = state;
            for (queue, id) in pages {
                self.pages.entry(id).or_default().insert(queue);
            }
        }
        for (id, shadow) in &self.base.queues {
            self.never.extend(shadow.gone_for_good().map(|position| (*id, position)));
        }
    }

    /// The process died; the store has everything up to `survived`, and nothing else.
    pub(crate) fn crashed(&mut self, survived: Option<CommitId>) {
        if let Some(commit) = survived {
            self.keep(commit);
        }
        assert!(survived.unwrap_or(self.durable) >= self.durable, "what was synced is lost");
        self.commits.clear();
        (self.last_commit, self.durable) = Default::default();
        self.base.queues.retain(|_, shadow| shadow.profile.durable);
        self.base.queues.values_mut().for_each(|shadow| Rc::make_mut(shadow).recover());
        self.state = self.base.clone();
        self.sequences.clear();
        self.questions.clear();
        self.changes.clear();
        self.gets_no_ack.clear();
        self.handed.clear();
    }

    /// The process began again.
    pub(crate) fn recovered(&self, shard: &Shard) {
        let there =
            shard.statistics().queues.into_iter().map(|report| report.record.name.to_string());
        let there: BTreeSet<String> = there.filter(|name| !name.ends_with(".dlq")).collect();
        assert_eq!(there, self.state.declared, "queues after a crash");
    }

    /// A client has read that its publish is safe.
    pub(crate) fn confirmed(&mut self, id: u64) {
        if let Some(published) = self.published.get_mut(&id) {
            published.confirmed = true;
        }
    }

    /// The broker says that a publish is safe: is it?
    fn check_safe(&self, id: u64) {
        let published = self.published.get(&id).expect("a confirm for what was published");
        for target in published.targets.iter().filter(|_| published.kept) {
            let Some(shadow) = self.state.queues.get(target) else { continue };
            let name = &shadow.name;
            let stored = self.pages.get(&id);
            let is_stored = stored.is_some_and(|queues| queues.contains(target));
            // As a dead letter, in a queue that it was not published to.
            let has_moved = stored.is_some_and(|queues| {
                queues.iter().any(|queue| !published.targets.contains(queue))
            });
            let may_go = !shadow.profile.durable || shadow.profile.drops;
            let is_safe = may_go || is_stored || self.done.contains(&(name.clone(), id));
            assert!(is_safe || has_moved, "message {id} is confirmed and not safe in {name}");
        }
    }
}
