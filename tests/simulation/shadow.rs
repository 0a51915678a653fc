//! One queue as its promises describe it: what waits, who holds what, what is gone for good. Told
//! by the [`crate::history::History`] what went in; says what may come out.

use crate::clock::Clock;
use crate::keys::{Fate, Keys};
use crate::queues::{LEASE_MS_MAX, Profile, Retry};
use crate::wait::{Due, Wait};
use forebay_engine::model::{
    ChannelKey, Closure, Level, Offset, OffsetRange, Position, RequeueMethod, Settlement,
};
use forebay_wire::ShortStr;
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
    pub(crate) group: Option<String>,
    /// Where it stands among the messages that were published to the queue; `None`: nobody saw it come,
    /// or it was delayed, so that nobody knows which are before it.
    pub(crate) place: Option<u64>,
}

/// What a client publishes to a queue.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) copy: Copy,
    pub(crate) priority: u8,
    /// By which duplicates are known.
    pub(crate) key: Option<String>,
    pub(crate) due: Option<Due>,
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) key: ChannelKey,
    /// `None`: by `basic.get`.
    consumer: Option<ShortStr>,
    /// For how long a consumer may hold it without a word, in ms.
    time: u64,
    /// Until when it may not be taken back.
    until: u64,
    /// Its client asked for that time.
    is_extended: bool,
    pub(crate) copy: Copy,
    failures: u32,
    returns: u32,
    /// Its client hangs: it may have been taken back.
    is_overdue: bool,
}

impl Held {
    /// Whether it may have been taken back.
    pub(crate) fn is_late(&self, now: u64) -> bool {
        self.is_overdue || now >= self.until
    }
}

/// A delivery as the shard made it.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    pub(crate) key: ChannelKey,
    /// `None`: by `basic.get`.
    pub(crate) consumer: Option<ShortStr>,
    pub(crate) position: Position,
    pub(crate) copy: Copy,
    pub(crate) redelivered: bool,
    pub(crate) failures: u32,
    pub(crate) returns: u32,
    pub(crate) no_ack: bool,
    /// How long its consumer may hold it, where it says so.
    pub(crate) lease: Option<u64>,
}

/// A message that came back and is ready.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Returned {
    pub(crate) copy: Copy,
    /// It has failed so often that it may be a dead letter.
    pub(crate) is_doubtful: bool,
}

/// A message that came back and waits for its next delivery.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) copy: Copy,
    pub(crate) wait: Wait,
}

/// A message that is not due yet, or was not delivered since it is.
#[derive(Clone, Debug)]
pub(crate) struct Delayed {
    pub(crate) level: Level,
    pub(crate) copy: Copy,
    pub(crate) due: Due,
    /// It was due when the process died: it is delayed still, or stands in the order.
    pub(crate) is_unclear: bool,
}

/// How a delivery came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Nacked,
    Rejected,
    /// In so many ms.
    Retried(u64),
    Lost,
    Returned,
    /// The broker's doing: it counts nothing.
    Uncounted,
}

#[derive(Clone, Debug)]
pub(crate) struct Shadow {
    pub(crate) name: String,
    pub(crate) profile: Rc<Profile>,
    /// Never delivered in this life of the process, in the order of arrival.
    pub(crate) waiting: BTreeMap<Level, VecDeque<Copy>>,
    pub(crate) delayed: Vec<Delayed>,
    pub(crate) returned: BTreeMap<Position, Returned>,
    pub(crate) parked: BTreeMap<Position, Parked>,
    pub(crate) held: BTreeMap<Position, Held>,
    /// Rejected, and on the way to where dead letters go: its content may have to be read first.
    pub(crate) moving: BTreeMap<Position, Copy>,
    /// Here or not: it was on its way elsewhere when the process died, or may be a duplicate.
    pub(crate) unclear: BTreeSet<u64>,
    /// By then those among them are due that are delayed.
    unclear_to: u64,
    /// Never to be delivered again; whether that outlives a crash.
    pub(crate) gone: BTreeMap<Position, bool>,
    pub(crate) failures: BTreeMap<Position, u32>,
    /// Delivered in this life, or waiting for another delivery since an earlier one.
    pub(crate) seen: BTreeSet<Position>,
    /// Above all that was delivered for the first time.
    pub(crate) front: BTreeMap<Level, Offset>,
    pub(crate) keys: Keys,
    /// When messages were delivered in this life, where that has a limit.
    pub(crate) deliveries: Vec<u64>,
    arrived: u64,
}

impl Shadow {
    pub(crate) fn new(name: String, profile: Rc<Profile>) -> Self {
        Self {
            name,
            profile,
            waiting: BTreeMap::new(),
            delayed: Vec::new(),
            returned: BTreeMap::new(),
            parked: BTreeMap::new(),
            held: BTreeMap::new(),
            moving: BTreeMap::new(),
            unclear: BTreeSet::new(),
            unclear_to: 0,
            gone: BTreeMap::new(),
            failures: BTreeMap::new(),
            seen: BTreeSet::new(),
            front: BTreeMap::new(),
            keys: Keys::default(),
            deliveries: Vec::new(),
            arrived: 0,
        }
    }

    /// Whether a rejected message has somewhere to go.
    pub(crate) fn has_grave(&self) -> bool {
        self.profile.durable && !self.name.ends_with(".dlq")
    }

    /// A message is published to it.
    pub(crate) fn arrive(&mut self, arrival: Arrival, clock: &Clock) -> Fate {
        let Arrival { mut copy, priority, key, due } = arrival;
        let fate = match (self.profile.window, key) {
            (Some(window), Some(key)) => {
                self.keys.offer(&key, copy.id, copy.kept, window, clock.now())
            }
            _ => Fate::Taken,
        };
        match fate {
            Fate::Taken => {}
            Fate::Dropped(_) => return fate,
            Fate::Unclear => {
                self.unclear.insert(copy.id);
                return fate;
            }
        }
        let level = Level(priority.min(self.profile.priority_max));
        // What was due before it came was never delayed.
        if let Some(due) = due.filter(|due| due.left(clock) > 0) {
            self.delayed.push(Delayed { level, copy, due, is_unclear: false });
        } else {
            self.arrived += 1;
            copy.place = Some(self.arrived);
            self.waiting.entry(level).or_default().push_back(copy);
        }
        fate
    }

    /// Puts a delivery into the hands of its consumer.
    pub(crate) fn hold(&mut self, handed: &Handed, copy: Copy, now: u64) {
        let time = handed.lease.unwrap_or(self.profile.consumer_timeout);
        let held = Held {
            key: handed.key,
            consumer: handed.consumer.clone(),
            time,
            until: now + time,
            is_extended: false,
            copy,
            failures: handed.failures,
            returns: handed.returns,
            is_overdue: false,
        };
        self.held.insert(handed.position, held);
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
            let is_certain = !held.is_late(now);
            if is_certain {
                self.note_life(&held, now);
            }
            let back = match settlement {
                Settlement::Requeue(RequeueMethod::Nack) => Some(Back::Nacked),
                Settlement::Requeue(RequeueMethod::Reject) => Some(Back::Rejected),
                Settlement::Retry(delay) => Some(Back::Retried(delay)),
                Settlement::Recover => Some(Back::Uncounted),
                Settlement::Ack | Settlement::Reject => None,
            };
            if let Some(back) = back {
                self.come_back(position, held, back, now);
                continue;
            }
            let copy = held.copy;
            if is_certain && settlement == Settlement::Reject && self.has_grave() {
                self.moving.insert(position, copy.clone());
            } else if is_certain {
                self.gone.insert(position, copy.kept);
            }
            ended.push((copy, is_certain));
        }
        ended
    }

    /// A consumer settles a message, or asks for more time: what it holds beside it is timed from now on.
    fn note_life(&mut self, of: &Held, now: u64) {
        let consumer = (of.key, of.consumer.as_ref().map(ShortStr::as_str));
        if of.consumer.is_none() {
            return;
        }
        for held in self.held.values_mut() {
            let other = (held.key, held.consumer.as_ref().map(ShortStr::as_str));
            if other == consumer && !held.is_extended && !held.is_late(now) {
                held.until = held.until.max(now + held.time);
            }
        }
    }

    /// A client asks for more time. Whether it must be told that it has it; `None`: the message may have
    /// been taken back.
    pub(crate) fn extend(
        &mut self,
        key: ChannelKey,
        position: Position,
        lease: u64,
        now: u64,
    ) -> Option<bool> {
        let held = self.held.get_mut(&position).filter(|held| held.key == key);
        let Some(held) = held else { return Some(false) };
        if held.is_late(now) {
            return None;
        }
        (held.until, held.is_extended) = (now + lease, true);
        let held = held.clone();
        self.note_life(&held, now);
        Some(true)
    }

    /// A channel let a message time out: what else its consumers hold may have been taken back as well, but
    /// for that which they asked more time for.
    pub(crate) fn hang(&mut self, key: ChannelKey, now: u64) {
        if !self.profile.is_hasty {
            return;
        }
        for held in self.held.values_mut().filter(|held| held.key == key) {
            held.is_overdue |= !held.is_extended || held.is_late(now);
        }
    }

    /// A delivery failed or was given back: the message is ready, or waits.
    fn come_back(&mut self, position: Position, held: Held, back: Back, now: u64) {
        let is_certain = !held.is_late(now);
        let Held { copy, failures, returns, .. } = held;
        let fails = !matches!(back, Back::Returned | Back::Uncounted);
        let is_doubtful = fails && self.profile.delivery_limit.is_some_and(|it| failures + 1 >= it);
        let count = if back == Back::Returned { returns + 1 } else { failures + 1 };
        let bounds = match (back, self.profile.retry) {
            (Back::Retried(delay), _) => Some((delay, delay)),
            (back, Some(retry)) if waits(retry, back) => Some(bounds(retry, count)),
            _ => None,
        };
        match bounds {
            Some((least, most)) if most > 0 && !is_doubtful && is_certain => {
                let wait = Wait::new(now, least, most);
                self.parked.insert(position, Parked { copy, wait });
            }
            _ => {
                self.returned.insert(position, Returned { copy, is_doubtful });
            }
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
    pub(crate) fn release(
        &mut self,
        closure: Closure,
        is_meant: impl Fn(ChannelKey) -> bool,
        now: u64,
    ) {
        let back = match closure {
            Closure::ByClient => Back::Returned,
            Closure::Failed => Back::Lost,
            Closure::ByBroker => Back::Uncounted,
        };
        let all = std::mem::take(&mut self.held);
        for (position, held) in all {
            if is_meant(held.key) {
                self.come_back(position, held, back, now);
            } else {
                self.held.insert(position, held);
            }
        }
    }

    /// Everything that is in the order and that nobody holds is gone, and with it what was taken back from
    /// its holder by now.
    pub(crate) fn purge(&mut self, clock: &Clock) -> Vec<Copy> {
        let late = self.held.values().filter(|held| held.is_late(clock.now()));
        let late: Vec<Copy> = late.map(|held| held.copy.clone()).collect();
        let returned = std::mem::take(&mut self.returned).into_iter();
        let returned = returned.map(|(position, returned)| (position, returned.copy));
        let parked = std::mem::take(&mut self.parked).into_iter();
        let seen: Vec<(Position, Copy)> =
            returned.chain(parked.map(|(position, parked)| (position, parked.copy))).collect();
        self.gone.extend(seen.iter().map(|(position, copy)| (*position, copy.kept)));
        let waiting = std::mem::take(&mut self.waiting).into_values().flatten();
        seen.into_iter().map(|(_, copy)| copy).chain(waiting).chain(late).collect()
    }

    /// Delayed messages that may be in the order, where a purge finds them, or a crash those that are not
    /// kept there. Nobody knows what becomes of them.
    pub(crate) fn lose_due(
        &mut self,
        clock: &Clock,
        is_meant: impl Fn(&Copy) -> bool,
    ) -> Vec<Copy> {
        let is_lost = |it: &Delayed| it.due.may_be_due(clock) && is_meant(&it.copy);
        let (lost, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.delayed).into_iter().partition(is_lost);
        self.delayed = left;
        for delayed in &lost {
            let mut due = delayed.due;
            due.restart(clock);
            self.unclear.insert(delayed.copy.id);
            self.unclear_to = self.unclear_to.max(clock.now() + due.left(clock));
        }
        lost.into_iter().map(|delayed| delayed.copy).collect()
    }

    /// Everything that is there, held or not.
    pub(crate) fn content(&self) -> Vec<Copy> {
        let held = self.held.values().map(|held| &held.copy);
        let held = held.chain(self.moving.values());
        let returned = self.returned.values().map(|returned| &returned.copy);
        let parked = self.parked.values().map(|parked| &parked.copy);
        let delayed = self.delayed.iter().map(|delayed| &delayed.copy);
        let waiting = self.waiting.values().flatten();
        held.chain(returned).chain(parked).chain(delayed).chain(waiting).cloned().collect()
    }

    /// What is to be delivered in the end, once everything is due: what has its place, in order, the
    /// highest level first; and what came in when it was due. Exact queues only.
    pub(crate) fn ready(&self) -> (Vec<u64>, BTreeSet<u64>) {
        let returned = self.returned.iter().map(|(at, returned)| (at.level, &returned.copy));
        let parked = self.parked.iter().map(|(at, parked)| (at.level, &parked.copy));
        let delayed = self.delayed.iter().map(|delayed| (delayed.level, &delayed.copy));
        let waiting = self.waiting.iter();
        let waiting = waiting.flat_map(|(level, of_level)| of_level.iter().map(|it| (*level, it)));
        let (mut placed, mut others) = (BTreeMap::new(), BTreeSet::new());
        for (level, copy) in returned.chain(parked).chain(delayed).chain(waiting) {
            match copy.place {
                Some(place) => drop(placed.insert((u8::MAX - level.0, place), copy.id)),
                None => drop(others.insert(copy.id)),
            }
        }
        (placed.into_values().collect(), others)
    }

    /// After how many ms everything that waits is ready.
    pub(crate) fn longest_wait(&self, clock: &Clock) -> u64 {
        let parked = self.parked.values().map(|it| it.wait.latest.saturating_sub(clock.now()));
        let delayed = self.delayed.iter().map(|delayed| delayed.due.left(clock));
        let unclear = self.unclear_to.saturating_sub(clock.now());
        parked.chain(delayed).max().unwrap_or(0).max(unclear)
    }

    /// How many messages clients may hold for longer than any lease.
    pub(crate) fn held_for_long(&self) -> usize {
        self.held.values().filter(|held| !held.is_extended && held.time > LEASE_MS_MAX).count()
    }

    /// What must never be delivered again, whatever happens.
    pub(crate) fn gone_for_good(&self) -> impl Iterator<Item = Position> {
        self.gone.iter().filter(|(_, kept)| **kept).map(|(position, _)| *position)
    }

    /// The process died when this was in the store, and began again.
    pub(crate) fn recover(&mut self, clock: &Clock) {
        let returned = std::mem::take(&mut self.returned).into_iter();
        let (doubtful, returned): (Vec<_>, Vec<_>) =
            returned.partition(|(_, returned)| returned.is_doubtful);
        let doubtful = doubtful.into_iter().map(|(_, returned)| returned.copy);
        let moving = std::mem::take(&mut self.moving).into_values();
        self.unclear.extend(doubtful.chain(moving).filter(|copy| copy.kept).map(|copy| copy.id));
        let returned = returned.into_iter().map(|(position, returned)| (position, returned.copy));
        let held = std::mem::take(&mut self.held).into_iter();
        let held = held.map(|(position, held)| (position, held.copy));
        let back: BTreeMap<Position, Copy> = returned.chain(held).collect();
        self.parked.retain(|_, parked| parked.copy.kept);
        self.parked.values_mut().for_each(|parked| parked.wait.restart(clock, true));
        self.seen = self.parked.keys().copied().collect();
        let mut places = self.seen.clone();
        let never_delivered = std::mem::take(&mut self.waiting);
        for (position, copy) in back {
            places.insert(position);
            self.waiting.entry(position.level).or_default().push_back(copy);
        }
        for (level, copies) in never_delivered {
            self.waiting.entry(level).or_default().extend(copies);
        }
        for copies in self.waiting.values_mut() {
            copies.retain(|copy| copy.kept);
            if self.profile.grouped {
                // What waited behind its group stands between those that were delivered.
                copies.make_contiguous().sort_by_key(|copy| copy.place);
            }
            copies.iter_mut().for_each(|copy| copy.recovered = true);
        }
        self.lose_due(clock, |copy| !copy.kept);
        for delayed in &mut self.delayed {
            delayed.is_unclear |= delayed.due.may_be_due(clock);
            delayed.due.restart(clock);
        }
        self.keys.recover(clock);
        self.failures.retain(|position, _| places.contains(position));
        self.gone.retain(|_, kept| *kept);
        self.front.clear();
        self.deliveries.clear();
    }
}

/// Whether a message waits that came back so, where the queue says it.
fn waits(retry: Retry, back: Back) -> bool {
    let (is_failure, is_return) = match back {
        Back::Nacked => (true, true),
        Back::Rejected | Back::Retried(_) | Back::Lost => (true, false),
        Back::Returned => (false, true),
        Back::Uncounted => return false,
    };
    match retry.kind {
        "all" => true,
        "failed" => is_failure,
        _ => is_return,
    }
}

/// How long a message waits that came back for the time `count`: up to a tenth is added.
fn bounds(retry: Retry, count: u32) -> (u64, u64) {
    let Retry { min, max, multiplier, .. } = retry;
    let delay = match multiplier {
        Some(by) => min.saturating_mul(by.saturating_pow(count - 1)),
        None => min * u64::from(count),
    };
    let delay = delay.min(max);
    (delay, delay + delay / 10 + 1)
}
