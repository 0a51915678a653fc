//! Messages of a level one of which may have killed a client: each is delivered alone until it is
//! settled, or a client had it in its hands for long enough. Belongs to a [`super::level::PriorityLevel`].

use super::offset_set::OffsetSet;
use crate::model::Offset;

/// Which messages are quarantined, and which were.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    /// Those that were never tried.
    untried: OffsetSet,
    /// Those that a client survived once, and that came back in company again.
    tried: OffsetSet,
    /// Those that left, because a client survived them.
    survived: OffsetSet,
}

impl Quarantine {
    /// Whether no message is in quarantine.
    pub(crate) fn is_empty(&self) -> bool {
        self.untried.is_empty() && self.tried.is_empty()
    }

    /// Whether this message is in quarantine.
    pub(crate) fn contains(&self, offset: Offset) -> bool {
        !self.is_empty() && (self.untried.contains(offset) || self.tried.contains(offset))
    }

    /// Puts a message into quarantine.
    pub(crate) fn insert(&mut self, offset: Offset) {
        if self.survived.contains(offset) {
            self.survived.remove(offset, offset);
            self.tried.insert(offset, offset);
        } else if !self.tried.contains(offset) {
            self.untried.insert(offset, offset);
        }
    }

    /// A client survived the message: if it is in quarantine it leaves.
    pub(crate) fn survived(&mut self, offset: Offset) {
        if self.contains(offset) {
            self.untried.remove(offset, offset);
            self.tried.remove(offset, offset);
            self.survived.insert(offset, offset);
        }
    }

    /// The message is gone.
    pub(crate) fn forget(&mut self, offset: Offset) {
        if self.is_empty() && self.survived.is_empty() {
            return;
        }
        for set in [&mut self.untried, &mut self.tried, &mut self.survived] {
            set.remove(offset, offset);
        }
    }

    /// All messages are gone but those of `kept`.
    pub(crate) fn retain(&mut self, kept: impl Iterator<Item = Offset>) {
        let before = std::mem::take(self);
        for offset in kept {
            let sets = [
                (&before.untried, &mut self.untried),
                (&before.tried, &mut self.tried),
                (&before.survived, &mut self.survived),
            ];
            for (before, after) in sets {
                if before.contains(offset) {
                    after.insert(offset, offset);
                }
            }
        }
    }

    /// The one of `ready` that is to be tried next: the lowest that never was, or else the lowest.
    pub(crate) fn next(&self, ready: &OffsetSet) -> Option<Offset> {
        lowest_common(&self.untried, ready).or_else(|| lowest_common(&self.tried, ready))
    }

    /// The lowest of `ready` that is not in quarantine.
    pub(crate) fn next_outside(&self, ready: &OffsetSet) -> Option<Offset> {
        let mut next = ready.first();
        while let Some(offset) = next {
            let end = self.untried.next_absent(offset).max(self.tried.next_absent(offset));
            if end == offset {
                break;
            }
            next = ready.next_present(end);
        }
        next
    }
}

/// The lowest offset that is in both.
fn lowest_common(one: &OffsetSet, other: &OffsetSet) -> Option<Offset> {
    let mut offset = one.first()?;
    loop {
        let there = other.next_present(offset)?;
        if there == offset {
            return Some(offset);
        }
        offset = one.next_present(there)?;
        if offset == there {
            return Some(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Place {
        Untried,
        Tried,
        Survived,
    }

    proptest! {
        #[test]
        fn behaves_as_a_map_of_messages(
            steps in prop::collection::vec((0u8..3, 0u64..12), 0..60),
            ready in prop::collection::btree_set(0u64..12, 0..12),
        ) {
            let mut quarantine = Quarantine::default();
            let mut model: BTreeMap<u64, Place> = BTreeMap::new();
            for (step, offset) in steps {
                let place = model.get(&offset).copied();
                match step {
                    0 => {
                        quarantine.insert(Offset(offset));
                        let is_new = !matches!(place, Some(Place::Survived | Place::Tried));
                        model.insert(offset, if is_new { Place::Untried } else { Place::Tried });
                    }
                    1 => {
                        quarantine.survived(Offset(offset));
                        model.entry(offset).and_modify(|place| *place = Place::Survived);
                    }
                    _ => {
                        quarantine.forget(Offset(offset));
                        model.remove(&offset);
                    }
                }
            }
            let mut set = OffsetSet::default();
            ready.iter().for_each(|offset| set.insert(Offset(*offset), Offset(*offset)));
            let is_inside = |offset: &u64| {
                model.get(offset).is_some_and(|place| *place != Place::Survived)
            };
            let of = |wanted| ready.iter().copied().find(|o| model.get(o) == Some(&wanted));
            let next = of(Place::Untried).or_else(|| of(Place::Tried));
            prop_assert_eq!(quarantine.next(&set), next.map(Offset));
            let outside = ready.iter().copied().find(|offset| !is_inside(offset));
            prop_assert_eq!(quarantine.next_outside(&set), outside.map(Offset));
            prop_assert_eq!(quarantine.is_empty(), !(0..12).any(|offset| is_inside(&offset)));
        }
    }
}
