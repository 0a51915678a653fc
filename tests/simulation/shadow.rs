//! One queue as its promises describe it: what waits, who holds what, what is gone for good. Told
//! by the [`crate::history::History`] what went in; says what may come out.

use crate::queues::Profile;
use forebay_engine::model::{ChannelKey, Level, Offset, OffsetRange, Position, Settlement};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// A message in a queue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Copy {
    pub(crate) id: u64,
    /// The queue that it was published to.
    pub(crate) origin: String,
    /// Whether a crash may take it.
    pub(crate) kept: bool,
    /// It was there when the process began.
    pub(crate) recovered: bool,
}

#[derive(Clone, Debug)]
struct Held {
    key: ChannelKey,
    since: u64,
    copy: Copy,
    /// Its client hangs: it may have been taken back.
    is_overdue: bool,
}

/// A delivery as the shard made it.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    pub(crate) key: ChannelKey,
    pub(crate) position: Position,
    pub(crate) copy: Copy,
    pub(crate) redelivered: bool,
    pub(crate) failures: u32,
    pub(crate) no_ack: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Shadow {
    pub(crate) name: String,
    pub(crate) profile: Rc<Profile>,
    /// Never delivered in this life of the process, in the order of arrival.
    waiting: BTreeMap<Level, VecDeque<Copy>>,
    returned: BTreeMap<Position, Copy>,
    held: BTreeMap<Position, Held>,
    /// Rejected, and on the way to where dead letters go: its content may have to be read first.
    moving: BTreeMap<Position, Copy>,
    /// Was moving when the process died: here, or there.
    pub(crate) unclear: BTreeSet<u64>,
    /// Never to be delivered again; whether that outlives a crash.
    gone: BTreeMap<Position, bool>,
    failures: BTreeMap<Position, u32>,
    /// Delivered in this life.
    seen: BTreeSet<Position>,
    /// Above all that was delivered for the first time.
    front: BTreeMap<Level, Offset>,
}

impl Shadow {
    pub(crate) fn new(name: String, profile: Rc<Profile>) -> Self {
        Self {
            name,
            profile,
            waiting: BTreeMap::new(),
            returned: BTreeMap::new(),
            held: BTreeMap::new(),
            moving: BTreeMap::new(),
            unclear: BTreeSet::new(),
            gone: BTreeMap::new(),
            failures: BTreeMap::new(),
            seen: BTreeSet::new(),
            front: BTreeMap::new(),
        }
    }

    /// Whether a rejected message has somewhere to go.
    pub(crate) fn has_grave(&self) -> bool {
        self.profile.durable && !self.name.ends_with(".dlq")
    }

    pub(crate) fn arrive(&mut self, priority: u8, copy: Copy) {
        let level = Level(priority.min(self.profile.priority_max));
        self.waiting.entry(level).or_default().push_back(copy);
    }

    /// A delivery. Those of one turn are to be handed in by position.
    pub(crate) fn hand_out(&mut self, handed: &Handed, now: u64) {
        let Handed { key, position, copy, redelivered, failures, no_ack } = handed;
        let what = format!("message {} at {position:?} of {}", copy.id, self.name);
        let is_gone = self.gone.contains_key(position) || self.moving.contains_key(position);
        assert!(!is_gone, "{what} was gone and is delivered again");
        if let Some(held) = self.held.remove(position) {
            let is_late = held.is_overdue || now - held.since >= self.profile.consumer_timeout;
            assert!(is_late, "{what} is delivered twice at a time, to {key:?} and {:?}", held.key);
        }
        let counted = self.failures.insert(*position, *failures).unwrap_or(0);
        assert!(counted <= *failures, "{what}: x-delivery-count from {counted} to {failures}");
        if self.seen.insert(*position) {
            self.hand_out_first(*position, copy, *redelivered, &what);
        } else {
            assert!(redelivered, "{what} comes again, not marked as redelivered");
            let returned = self.returned.remove(position);
            if self.profile.exact {
                let returned = returned.unwrap_or_else(|| panic!("{what} was never returned"));
                assert_eq!(returned.id, copy.id, "{what} has changed its content");
            }
        }
        if self.profile.exact {
            let lowest = Position { level: position.level, offset: Offset(0) };
            let passed = self.returned.range(lowest..*position).next();
            assert!(passed.is_none(), "{what} overtakes {passed:?}, which came back");
        }
        if *no_ack {
            self.gone.insert(*position, copy.kept);
        } else {
            let held = Held { key: *key, since: now, copy: copy.clone(), is_overdue: false };
            self.held.insert(*position, held);
        }
    }

    fn hand_out_first(&mut self, position: Position, copy: &Copy, redelivered: bool, what: &str) {
        let front = self.front.entry(position.level).or_default();
        assert!(position.offset >= *front, "{what} is out of order: {front} was before it");
        *front = position.offset.next();
        if self.profile.is_grave {
            return;
        }
        if self.unclear.remove(&copy.id) {
            return;
        }
        let waiting = self.waiting.entry(position.level).or_default();
        let place = waiting.iter().position(|waiting| waiting.id == copy.id);
        if place.is_none() && self.profile.refuses {
            // It left in the middle of a batch, to make room, before a purge at its end.
            return;
        }
        let place = place.unwrap_or_else(|| panic!("{what} is not there, or not in its order"));
        if self.profile.exact {
            assert_eq!(place, 0, "{what} overtakes {:?}", waiting[0]);
        }
        let found = waiting.drain(..=place).next_back().unwrap();
        assert_eq!(found.recovered, redelivered, "{what}: whether it is redelivered");
    }

    /// A channel settles. What ended, and whether that is certain: the broker may have taken it back
    /// just before.
    pub(crate) fn settle(
        &mut self,
        key: ChannelKey,
        run: OffsetRange,
        settlement: Settlement,
        now: u64,
    ) -> Vec<(Copy, bool)> {
        let (first, last) = (run.first, run.last);
        let range = Position { level: run.level, offset: first }..=Position {
            level: run.level,
            offset: last,
        };
        let mine = self.held.range(range).filter(|(_, held)| held.key == key);
        let mine: Vec<Position> = mine.map(|(position, _)| *position).collect();
        let mut ended = Vec::new();
        for position in mine {
            let Some(held) = self.held.remove(&position) else { continue };
            let Held { since, copy, is_overdue, .. } = held;
            if matches!(settlement, Settlement::Requeue(_) | Settlement::Recover) {
                self.returned.insert(position, copy);
                continue;
            }
            let is_certain = !is_overdue && now - since < self.profile.consumer_timeout;
            if is_certain && settlement == Settlement::Reject && self.has_grave() {
                self.moving.insert(position, copy.clone());
            } else if is_certain {
                self.gone.insert(position, copy.kept);
            }
            ended.push((copy, is_certain));
        }
        ended
    }

    /// A channel let a message time out: what else it holds of a queue that has a time-out may have
    /// been taken back as well.
    pub(crate) fn hang(&mut self, key: ChannelKey) {
        for held in self.held.values_mut().filter(|held| held.key == key) {
            held.is_overdue = true;
        }
    }

    /// A message of this number is about to be stored elsewhere, in one commit with its end here.
    pub(crate) fn moved(&mut self, id: u64) {
        let of_it = self.moving.iter().find(|(_, copy)| copy.id == id);
        if let Some(position) = of_it.map(|(position, _)| *position)
            && let Some(copy) = self.moving.remove(&position)
        {
            self.gone.insert(position, copy.kept);
        }
    }

    pub(crate) fn has_moving(&self) -> bool {
        !self.moving.is_empty()
    }

    /// A channel ended.
    pub(crate) fn release(&mut self, is_meant: impl Fn(ChannelKey) -> bool) {
        let all = std::mem::take(&mut self.held);
        for (position, held) in all {
            if is_meant(held.key) {
                self.returned.insert(position, held.copy);
            } else {
                self.held.insert(position, held);
            }
        }
    }

    /// Everything that nobody holds is gone, and with it what was taken back from its holder by now.
    pub(crate) fn purge(&mut self, now: u64) -> Vec<Copy> {
        let is_late =
            |held: &&Held| held.is_overdue || now - held.since >= self.profile.consumer_timeout;
        let late: Vec<Copy> =
            self.held.values().filter(is_late).map(|held| held.copy.clone()).collect();
        let returned = std::mem::take(&mut self.returned);
        self.gone.extend(returned.iter().map(|(position, copy)| (*position, copy.kept)));
        let waiting = std::mem::take(&mut self.waiting).into_values().flatten();
        returned.into_values().chain(waiting).chain(late).collect()
    }

    /// Everything that is there, held or not.
    pub(crate) fn content(&self) -> Vec<Copy> {
        let held = self.held.values().map(|held| &held.copy);
        let held = held.chain(self.moving.values());
        held.chain(self.returned.values()).chain(self.waiting.values().flatten()).cloned().collect()
    }

    /// What is to be delivered, level by level in order; exact queues only.
    pub(crate) fn ready(&self) -> BTreeMap<Level, Vec<u64>> {
        let mut ready: BTreeMap<Level, Vec<u64>> = BTreeMap::new();
        for (position, copy) in &self.returned {
            ready.entry(position.level).or_default().push(copy.id);
        }
        for (level, copies) in &self.waiting {
            ready.entry(*level).or_default().extend(copies.iter().map(|copy| copy.id));
        }
        ready
    }

    /// What must never be delivered again, whatever happens.
    pub(crate) fn gone_for_good(&self) -> impl Iterator<Item = Position> {
        self.gone.iter().filter(|(_, kept)| **kept).map(|(position, _)| *position)
    }

    /// The process died when this was in the store, and began again.
    pub(crate) fn recover(&mut self) {
        for (position, held) in std::mem::take(&mut self.held) {
            self.returned.insert(position, held.copy);
        }
        let returned = std::mem::take(&mut self.returned);
        let mut places = BTreeSet::new();
        let mut waiting: BTreeMap<Level, VecDeque<Copy>> = BTreeMap::new();
        for (position, copy) in returned.into_iter().filter(|(_, copy)| copy.kept) {
            places.insert(position);
            waiting.entry(position.level).or_default().push_back(copy);
        }
        for (level, copies) in std::mem::take(&mut self.waiting) {
            waiting.entry(level).or_default().extend(copies.into_iter().filter(|copy| copy.kept));
        }
        waiting.values_mut().flatten().for_each(|copy| copy.recovered = true);
        self.waiting = waiting;
        let moving = std::mem::take(&mut self.moving).into_values();
        self.unclear.extend(moving.filter(|copy| copy.kept).map(|copy| copy.id));
        self.failures.retain(|position, _| places.contains(position));
        self.gone.retain(|_, kept| *kept);
        self.seen.clear();
        self.front.clear();
    }
}
