//! What a channel has delivered and not yet seen settled: delivery tag → place in a queue.
//!
//! Tags ascend, so the entries are a queue sorted by tag. While nothing is settled out of order an
//! entry's place follows from its tag; holes are dropped once they outnumber what is held, so one
//! message that stays unacked for ever costs one entry, not one for each delivery behind it.

use crate::model::{DeliveryTag, Position, QueueId};
use std::collections::VecDeque;

/// Holes below this number are not worth a pass over the entries.
const HOLES_MIN: usize = 64;

/// A delivery that was not settled yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unacked {
    /// What the client settles it by.
    pub(crate) tag: DeliveryTag,
    /// Where the message stands.
    pub(crate) queue: QueueId,
    /// Where it stands there.
    pub(crate) position: Position,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Held(Unacked),
    Settled(DeliveryTag),
}

impl Slot {
    const fn tag(&self) -> DeliveryTag {
        match self {
            Self::Held(unacked) => unacked.tag,
            Self::Settled(tag) => *tag,
        }
    }
}

/// The deliveries of one channel that are not settled, and the next tag.
#[derive(Debug, Default)]
pub(crate) struct UnackedSet {
    /// Ascending by tag; the front one is held.
    slots: VecDeque<Slot>,
    holes: usize,
    last_tag: u64,
}

impl UnackedSet {
    /// The tag of a delivery that is settled by being sent.
    pub(crate) fn issue(&mut self) -> DeliveryTag {
        self.last_tag += 1;
        DeliveryTag(self.last_tag)
    }

    /// The tag of a delivery, which is held until it is settled.
    pub(crate) fn hold(&mut self, queue: QueueId, position: Position) -> DeliveryTag {
        let tag = self.issue();
        self.slots.push_back(Slot::Held(Unacked { tag, queue, position }));
        tag
    }

    /// One that stays; `None` when the tag was never issued or is settled already.
    pub(crate) fn get(&self, tag: DeliveryTag) -> Option<Unacked> {
        match self.slots.get(self.index_of(tag)?)? {
            Slot::Held(unacked) => Some(*unacked),
            Slot::Settled(_) => None,
        }
    }

    /// Takes one out; nothing when the tag was never issued or is settled already.
    pub(crate) fn take(&mut self, tag: DeliveryTag) -> Option<Unacked> {
        let index = self.index_of(tag)?;
        let slot = self.slots.get_mut(index)?;
        let Slot::Held(unacked) = *slot else { return None };
        *slot = Slot::Settled(tag);
        self.holes += 1;
        self.drop_holes();
        Some(unacked)
    }

    /// Takes all out up to and including `tag`, in the order delivered. Nothing when `tag` itself
    /// is not held: the client names a delivery that does not exist.
    pub(crate) fn take_up_to(&mut self, tag: DeliveryTag, taken: &mut Vec<Unacked>) -> Option<()> {
        let index = self.index_of(tag)?;
        if !matches!(self.slots.get(index), Some(Slot::Held(_))) {
            return None;
        }
        for slot in self.slots.drain(..=index) {
            match slot {
                Slot::Held(unacked) => taken.push(unacked),
                Slot::Settled(_) => self.holes -= 1,
            }
        }
        self.drop_holes();
        Some(())
    }

    /// Takes all out, in the order delivered.
    pub(crate) fn take_all(&mut self, taken: &mut Vec<Unacked>) {
        self.holes = 0;
        taken.extend(self.slots.drain(..).filter_map(|slot| match slot {
            Slot::Held(unacked) => Some(unacked),
            Slot::Settled(_) => None,
        }));
    }

    /// Puts back what was taken: the client rolled its acks back.
    pub(crate) fn put_back(&mut self, unacked: impl IntoIterator<Item = Unacked>) {
        let held = self.slots.drain(..).filter(|slot| matches!(slot, Slot::Held(_)));
        let mut slots: Vec<Slot> = held.chain(unacked.into_iter().map(Slot::Held)).collect();
        slots.sort_unstable_by_key(Slot::tag);
        self.slots = slots.into();
        self.holes = 0;
    }

    /// How many are held.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.holes
    }

    fn index_of(&self, tag: DeliveryTag) -> Option<usize> {
        let front = self.slots.front()?.tag();
        let guess = usize::try_from(tag.0.checked_sub(front.0)?).ok()?;
        match self.slots.get(guess) {
            Some(slot) if slot.tag() == tag => Some(guess),
            _ => self.slots.binary_search_by_key(&tag, Slot::tag).ok(),
        }
    }

    fn drop_holes(&mut self) {
        while let Some(Slot::Settled(_)) = self.slots.front() {
            self.slots.pop_front();
            self.holes -= 1;
        }
        if self.holes > HOLES_MIN && self.holes * 2 > self.slots.len() {
            self.slots.retain(|slot| matches!(slot, Slot::Held(_)));
            self.holes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Level, Offset};
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Hold,
        Issue,
        Take(u64),
        TakeUpTo(u64),
        TakeAll,
        Rollback(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => Just(Step::Hold),
            1 => Just(Step::Issue),
            5 => (0u64..400).prop_map(Step::Take),
            1 => (0u64..400).prop_map(Step::TakeUpTo),
            1 => Just(Step::TakeAll),
            1 => (0u64..400).prop_map(Step::Rollback),
        ]
    }

    fn position(offset: u64) -> Position {
        Position { level: Level(0), offset: Offset(offset) }
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_list(steps in prop::collection::vec(step(), 0..600)) {
            let mut set = UnackedSet::default();
            let mut model: Vec<u64> = Vec::new();
            let mut last = 0;
            for step in steps {
                match step {
                    Step::Hold => {
                        last += 1;
                        prop_assert_eq!(set.hold(QueueId(1), position(last)).0, last);
                        model.push(last);
                    }
                    Step::Issue => {
                        last += 1;
                        prop_assert_eq!(set.issue().0, last);
                    }
                    Step::Take(tag) => {
                        let there = set.get(DeliveryTag(tag)).map(|unacked| unacked.tag.0);
                        let taken = set.take(DeliveryTag(tag)).map(|unacked| unacked.tag.0);
                        let place = model.iter().position(|held| *held == tag);
                        prop_assert_eq!(there, taken);
                        prop_assert_eq!(taken, place.map(|place| model.remove(place)));
                    }
                    Step::TakeUpTo(tag) => {
                        let mut taken = Vec::new();
                        let done = set.take_up_to(DeliveryTag(tag), &mut taken).is_some();
                        prop_assert_eq!(done, model.contains(&tag));
                        if done {
                            let expected: Vec<u64> =
                                model.iter().copied().filter(|held| *held <= tag).collect();
                            model.retain(|held| *held > tag);
                            prop_assert_eq!(tags(&taken), expected);
                        } else {
                            prop_assert!(taken.is_empty());
                        }
                    }
                    Step::TakeAll => {
                        let mut taken = Vec::new();
                        set.take_all(&mut taken);
                        prop_assert_eq!(tags(&taken), std::mem::take(&mut model));
                    }
                    Step::Rollback(tag) => {
                        let taken = set.take(DeliveryTag(tag));
                        set.put_back(taken);
                    }
                }
                prop_assert_eq!(set.len(), model.len());
            }
        }
    }

    fn tags(taken: &[Unacked]) -> Vec<u64> {
        taken.iter().map(|unacked| unacked.tag.0).collect()
    }

    #[test]
    fn one_message_that_stays_unacked_does_not_hold_room_for_those_behind_it() {
        let mut set = UnackedSet::default();
        set.hold(QueueId(1), position(0));
        for offset in 1..100_000 {
            let tag = set.hold(QueueId(1), position(offset));
            assert!(set.take(tag).is_some());
        }
        assert_eq!(set.len(), 1);
        assert!(set.slots.len() < 4 * HOLES_MIN);
        assert!(set.take(DeliveryTag(1)).is_some());
        assert!(set.slots.is_empty());
    }
}
