//! The history checker: stands where commands enter the shard and events leave it, where commits
//! go to the store and come back, and at each client; holds what it sees against what is promised.
//!
//! - A publish is confirmed only when every queue has it on stable storage, or it was settled.
//! - What was settled is not delivered again; when its settlement was in the store, not even after
//!   a crash. Nothing is held by two channels at a time.
//! - After a crash the queues hold exactly what the last commit that survived had.
//! - Order within a queue and a group, waits, limits, `redelivered`, `x-delivery-count`: see `turn.rs`.
//! - A key is taken once in its window; a duplicate is confirmed when the original is durable: `keys.rs`.
//! - Nobody is told of a queue declared, purged or deleted before that is durable.
//! - In the end a confirmed message is there once, or was settled: `audit.rs`.

use crate::clock::Clock;
use crate::queues::{Profile, dead_letter_queue};
use crate::shadow::{Copy, Handed, Shadow};
use forebay_engine::model::{ChannelKey, Closure, CommitId, Message, Position, QueueId};
use forebay_engine::operation::{Commit, Durability, Operation};
use forebay_engine::shard::Shard;
use forebay_wire::{FieldValue, RawProperties, ShortStr};
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
    /// Queues that drop duplicates, each with the message whose key has to be durable before this one is
    /// called safe.
    pub(crate) originals: Vec<(QueueId, u64)>,
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
    pub(crate) clock: Clock,
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
    /// How long consumers may hold a message that say so.
    pub(crate) leases: BTreeMap<(ChannelKey, ShortStr), u64>,
    /// Requests for more time, and whether they must be granted where that is certain.
    pub(crate) extensions: BTreeMap<(ChannelKey, u64), Option<bool>>,
    /// Channels that ended in this turn (all of a connection: number 0).
    pub(crate) closed: Vec<(ChannelKey, Closure)>,
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

    /// A turn of the shard is over: its deliveries, then what it called safe.
    pub(crate) fn end_turn(&mut self) {
        let (mut handed, mut again) = (BTreeMap::new(), BTreeMap::new());
        let mut seen = BTreeSet::new();
        let mut all = std::mem::take(&mut self.handed);
        all.sort_by_key(|(_, handed)| (handed.redelivered, handed.failures + handed.returns));
        for (queue, delivery) in all {
            self.check_unsettled(queue, &delivery);
            let is_first = seen.insert((queue, delivery.position));
            let deliveries = if is_first { &mut handed } else { &mut again };
            deliveries.entry(queue).or_insert_with(Vec::new).push(delivery);
        }
        self.hand_out_turn(handed);
        // A full queue, and one of which messages are due, make their deliveries in the middle of a batch, at
        // whose end the channel may be closed.
        for (key, closure) in std::mem::take(&mut self.closed) {
            self.release(key, closure);
        }
        self.hand_out_turn(again);
        for id in std::mem::take(&mut self.safe) {
            self.check_safe(id);
        }
    }

    fn check_unsettled(&self, queue: QueueId, handed: &Handed) {
        let copy = &handed.copy;
        let is_settled = self.state.settled.contains(&(copy.origin.clone(), copy.id));
        assert!(!is_settled, "settled, and there is another one: {handed:?}");
        let never = self.never.contains(&(queue, handed.position));
        assert!(!never, "settled, in the store, and delivered again: {handed:?}");
    }

    fn hand_out_turn(&mut self, of_queues: BTreeMap<QueueId, Vec<Handed>>) {
        for (queue, handed) in of_queues {
            let shadow = Rc::make_mut(self.state.queues.get_mut(&queue).unwrap());
            shadow.hand_out(handed.clone(), &self.clock);
            for handed in handed.into_iter().filter(|handed| handed.no_ack) {
                self.end(handed.copy, true);
            }
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
        if self.traces {
            eprintln!("    {commit:?}");
        }
        let mut records = Vec::new();
        for operation in &commit.operations {
            match operation {
                Operation::PutPage { queue, page, .. } => {
                    let of_page = page.records.iter().map(|record| &record.message);
                    records.extend(of_page.map(|message| (*queue, id_of(message.body()))));
                }
                Operation::PutDelayed { queue, message, .. } => {
                    records.push((*queue, id_of(message.body())));
                }
                _ => {}
            }
        }
        for (queue, id) in &records {
            let others = self.state.queues.iter_mut().filter(|(other, _)| *other != queue);
            for (_, shadow) in others.filter(|(_, shadow)| shadow.has_moving()) {
                Rc::make_mut(shadow).moved(*id);
            }
        }
        for shadow in self.state.queues.values_mut().filter(|it| it.keys.has_uncommitted()) {
            Rc::make_mut(shadow).keys.commit(self.clock.now());
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
        let clock = &self.clock;
        self.base.queues.values_mut().for_each(|shadow| Rc::make_mut(shadow).recover(clock));
        self.state = self.base.clone();
        self.sequences.clear();
        self.questions.clear();
        self.changes.clear();
        self.gets_no_ack.clear();
        self.leases.clear();
        self.extensions.clear();
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
        self.check_keys(id, published);
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

    /// What makes a publish safe where duplicates are dropped: the key of the message, or that of the
    /// original, outlives the process, also when the message itself is done.
    fn check_keys(&self, id: u64, published: &Published) {
        for (queue, original) in &published.originals {
            let Some(shadow) = self.state.queues.get(queue) else { continue };
            let Some(window) = shadow.profile.window else { continue };
            let must_keep = shadow.keys.must_keep(*original, window, self.clock.now());
            let durable = self.base.queues.get(queue);
            let is_durable = durable.is_some_and(|shadow| shadow.keys.has(*original));
            let name = &shadow.name;
            assert!(
                !must_keep || is_durable,
                "message {id} is confirmed; a crash would forget the key of message {original} of {name}"
            );
        }
    }
}
