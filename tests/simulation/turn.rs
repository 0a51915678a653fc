//! What one turn of a queue may deliver: each message in its time and within the limits of its queue, and
//! none before those that stand before it.

use crate::clock::Clock;
use crate::queues::Rate;
use crate::shadow::{Copy, Handed, Shadow};
use forebay_engine::model::{Level, Offset, Position};
use std::collections::BTreeSet;

/// A message whose delivery is held against what the queue promises.
struct Delivered {
    position: Position,
    copy: Copy,
    is_first: bool,
}

/// Where a delivered message was until then.
enum Origin {
    Waiting,
    Delayed,
    CameBack,
}

/// Whether a message stands before another one of its level.
fn precedes(one: &Copy, other: &Copy) -> bool {
    one.place.is_some() && one.place < other.place
}

impl Shadow {
    /// The deliveries of one turn.
    pub(crate) fn hand_out(&mut self, mut handed: Vec<Handed>, clock: &Clock) {
        // Nobody sees in which order consumers were served: the highest level goes first, but a group goes on
        // where it was held up.
        handed.sort_by_key(|handed| {
            let has_come_back = self.has_come_back(handed.position);
            let Position { level, offset } = handed.position;
            (!(self.profile.grouped && has_come_back), u8::MAX - level.0, offset)
        });
        let busy = self.busy_groups(clock.now());
        let delivered: Vec<Delivered> =
            handed.iter().map(|handed| self.hand_out_one(handed, clock)).collect();
        if self.profile.exact {
            self.check_order(&delivered, busy, clock.now());
        }
    }

    fn has_come_back(&self, position: Position) -> bool {
        self.returned.contains_key(&position) || self.parked.contains_key(&position)
    }

    fn hand_out_one(&mut self, handed: &Handed, clock: &Clock) -> Delivered {
        let Handed { key, position, redelivered, failures, .. } = handed;
        let (position, now) = (*position, clock.now());
        let what = format!("message {} at {position:?} of {}", handed.copy.id, self.name);
        let is_gone = self.gone.contains_key(&position) || self.moving.contains_key(&position);
        assert!(!is_gone, "{what} was gone and is delivered again");
        let held = self.held.remove(&position);
        if let Some(held) = &held {
            let is_late = held.is_late(now);
            assert!(is_late, "{what} is delivered twice at a time, to {key:?} and {:?}", held.key);
        }
        let counted = self.failures.insert(position, *failures).unwrap_or(0);
        assert!(counted <= *failures, "{what}: x-delivery-count from {counted} to {failures}");
        let is_first = self.seen.insert(position);
        let (copy, origin) = if is_first {
            self.take_first(handed, clock, &what)
        } else {
            assert!(redelivered, "{what} comes again, not marked as redelivered");
            let came_back = self.take_back(position, now, &what).or(held.map(|held| held.copy));
            if self.profile.exact {
                let copy = came_back.as_ref().unwrap_or_else(|| panic!("{what} never came back"));
                assert_eq!(copy.id, handed.copy.id, "{what} has changed its content");
            }
            (came_back.unwrap_or_else(|| handed.copy.clone()), Origin::CameBack)
        };
        self.check_group(position, &copy, &origin, now, &what);
        self.check_rate(now, &what);
        if handed.no_ack {
            self.gone.insert(position, copy.kept);
        } else {
            self.hold(handed, copy.clone(), now);
            let in_flight = self.held.values().filter(|held| !held.is_late(now)).count();
            let is_within = self.profile.max_in_flight.is_none_or(|most| in_flight <= most);
            assert!(is_within, "{what} is the {in_flight}th that is delivered and not settled");
        }
        Delivered { position, copy, is_first }
    }

    /// A message that came back is delivered again.
    fn take_back(&mut self, position: Position, now: u64, what: &str) -> Option<Copy> {
        if let Some(parked) = self.parked.remove(&position) {
            let is_early = !parked.wait.may_be_over(now);
            assert!(!is_early, "{what} comes at {now}, before its time: {:?}", parked.wait);
            return Some(parked.copy);
        }
        self.returned.remove(&position).map(|returned| returned.copy)
    }

    /// A message is delivered for the first time in this life.
    fn take_first(&mut self, handed: &Handed, clock: &Clock, what: &str) -> (Copy, Origin) {
        let Handed { position, copy, redelivered, .. } = handed;
        if !self.profile.grouped {
            let front = self.front.entry(position.level).or_default();
            assert!(position.offset >= *front, "{what} is out of order: {front} was before it");
            *front = position.offset.next();
        }
        let unknown = (copy.clone(), Origin::Delayed);
        if self.profile.is_grave || self.unclear.remove(&copy.id) {
            return unknown;
        }
        if let Some(delayed) = self.delayed.iter().position(|it| it.copy.id == copy.id) {
            return (self.take_delayed(delayed, handed, clock, what), Origin::Delayed);
        }
        let waiting = self.waiting.entry(position.level).or_default();
        let place = waiting.iter().position(|waiting| waiting.id == copy.id);
        if place.is_none() && self.profile.refuses {
            // It left in the middle of a batch, to make room, before a purge at its end.
            return unknown;
        }
        let place = place.unwrap_or_else(|| panic!("{what} is not there, or not in its order"));
        let found = waiting.remove(place).unwrap();
        if !self.profile.exact && !self.profile.grouped {
            // What stood before it has left in some other way.
            waiting.drain(..place);
        }
        assert_eq!(found.recovered, *redelivered, "{what}: whether it is redelivered");
        (found, Origin::Waiting)
    }

    fn take_delayed(&mut self, at: usize, handed: &Handed, clock: &Clock, what: &str) -> Copy {
        let found = self.delayed.remove(at);
        let Handed { position, redelivered, .. } = handed;
        let now = clock.now();
        assert!(found.due.may_be_due(clock), "{what} comes at {now}, not due: {:?}", found.due);
        assert_eq!(found.level, position.level, "{what}: its level");
        assert!(found.is_unclear || !redelivered, "{what} is redelivered for the first time");
        let mut before = self.delayed[..at].iter().filter(|other| other.level == found.level);
        let before = before.find(|other| other.due.is_before(&found.due) && !self.profile.grouped);
        assert!(before.is_none(), "{what} overtakes {before:?}, which was due before");
        found.copy
    }

    /// Of a group one message is delivered at a time, in order; one that came back goes first.
    fn check_group(&self, position: Position, copy: &Copy, origin: &Origin, now: u64, what: &str) {
        if !self.profile.grouped || copy.group.is_none() {
            return;
        }
        let is_of_it = |other: &Copy| other.group == copy.group;
        let held = self.held.values().find(|held| is_of_it(&held.copy) && !held.is_late(now));
        assert!(held.is_none(), "{what} is delivered beside {held:?} of its group");
        let parked = self.parked.values().find(|parked| is_of_it(&parked.copy));
        assert!(parked.is_none(), "{what} is delivered while {parked:?} of its group waits");
        let returned = self.returned.values().find(|it| is_of_it(&it.copy) && !it.is_doubtful);
        assert!(returned.is_none(), "{what} overtakes {returned:?} of its group");
        let mut same_level = self.waiting.get(&position.level).into_iter().flatten();
        let before = same_level.find(|other| is_of_it(other) && precedes(other, copy));
        assert!(before.is_none(), "{what} overtakes {before:?} of its group");
        if !matches!(origin, Origin::CameBack) {
            let above = self.waiting.range(Level(position.level.0 + 1)..);
            let above = above.flat_map(|(_, copies)| copies).find(|other| is_of_it(other));
            assert!(above.is_none(), "{what} overtakes {above:?} of its group, which is above it");
        }
    }

    /// In any time of t seconds at most t × limit + burst deliveries begin.
    fn check_rate(&mut self, now: u64, what: &str) {
        let Some(Rate { limit, burst }) = self.profile.rate else { return };
        self.deliveries.push(now);
        for (count, since) in (1..).zip(self.deliveries.iter().rev()) {
            let most = (now - since) * limit + burst * 1000;
            assert!(count * 1000 <= most, "{what} is the {count}th since {since}, at {now}");
        }
    }

    /// Groups of which a message is delivered, waits for a retry or is ready again.
    fn busy_groups(&self, now: u64) -> BTreeSet<String> {
        if !self.profile.grouped {
            return BTreeSet::new();
        }
        let held = self.held.values().filter(|held| !held.is_late(now)).map(|held| &held.copy);
        let parked = self.parked.values().map(|parked| &parked.copy);
        let returned = self.returned.values().map(|returned| &returned.copy);
        held.chain(parked).chain(returned).filter_map(|copy| copy.group.clone()).collect()
    }

    /// What was passed over had to be.
    fn check_order(&self, delivered: &[Delivered], mut busy: BTreeSet<String>, now: u64) {
        busy.extend(self.busy_groups(now));
        let is_busy = |copy: &Copy| copy.group.as_ref().is_some_and(|group| busy.contains(group));
        for Delivered { position, copy, is_first } in delivered {
            let lowest = Position { level: position.level, offset: Offset(0) };
            let what = format!("message {} at {position:?} of {}", copy.id, self.name);
            let passed = self.returned.range(lowest..*position).next();
            assert!(passed.is_none(), "{what} overtakes {passed:?}, which came back");
            let mut passed = self.parked.range(lowest..*position);
            let passed = passed.find(|(_, parked)| parked.wait.is_over(now));
            assert!(passed.is_none(), "{what} at {now} overtakes {passed:?}, whose wait is over");
            if !*is_first {
                continue;
            }
            let mut waiting = self.waiting.get(&position.level).into_iter().flatten();
            let passed = waiting.find(|other| precedes(other, copy) && !is_busy(other));
            assert!(passed.is_none(), "{what} overtakes {passed:?}");
        }
    }

    /// Whether a message is ready that nothing holds back.
    pub(crate) fn has_deliverable(&self, now: u64) -> bool {
        let in_flight = self.held.values().filter(|held| !held.is_late(now)).count();
        if self.profile.max_in_flight.is_some_and(|most| in_flight >= most) {
            return false;
        }
        let busy = self.busy_groups(now);
        let is_free = |copy: &Copy| copy.group.as_ref().is_none_or(|it| !busy.contains(it));
        !self.returned.is_empty()
            || self.parked.values().any(|parked| parked.wait.is_over(now))
            || self.waiting.values().flatten().any(|copy| !self.profile.grouped || is_free(copy))
    }
}
