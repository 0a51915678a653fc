//! A set of offsets as runs: what was settled out of order, what came back, what was spilled.
//! Costs memory per run, not per offset. Belongs to one level.

use crate::model::Offset;
use std::collections::BTreeMap;

/// Offsets as disjoint runs that do not touch one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OffsetSet {
    /// First offset of a run to its last, both included.
    runs: BTreeMap<Offset, Offset>,
    count: u64,
}

impl OffsetSet {
    /// How many offsets are in it.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The lowest offset in it.
    pub(crate) fn first(&self) -> Option<Offset> {
        self.runs.first_key_value().map(|(first, _)| *first)
    }

    /// Whether `offset` is in it.
    pub(crate) fn contains(&self, offset: Offset) -> bool {
        self.run_at(offset).is_some()
    }

    /// The lowest offset in it that is not below `from`.
    pub(crate) fn next_present(&self, from: Offset) -> Option<Offset> {
        if self.contains(from) {
            return Some(from);
        }
        self.runs.range(from..).next().map(|(first, _)| *first)
    }

    /// The lowest offset not in it that is not below `from`.
    pub(crate) fn next_absent(&self, from: Offset) -> Offset {
        self.run_at(from).map_or(from, |(_, last)| last.next())
    }

    /// How many of the offsets `first..=last` are in it.
    pub(crate) fn count_in(&self, first: Offset, last: Offset) -> u64 {
        self.runs_in(first, last).map(|(first, last)| last.0 - first.0 + 1).sum()
    }

    /// The runs within `first..=last`, cut to it, ascending.
    pub(crate) fn runs_in(
        &self,
        first: Offset,
        last: Offset,
    ) -> impl Iterator<Item = (Offset, Offset)> + '_ {
        let start = self.run_at(first).map_or(first, |(start, _)| start);
        let end = last.max(start);
        self.runs
            .range(start..=end)
            .map(move |(from, to)| ((*from).max(first), (*to).min(last)))
            .filter(|(from, to)| from <= to)
    }

    /// All of them, ascending.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = Offset> + '_ {
        self.runs.iter().flat_map(|(first, last)| (first.0..=last.0).map(Offset))
    }

    /// Adds `first..=last`; some may be in it already.
    pub(crate) fn insert(&mut self, first: Offset, last: Offset) {
        let (mut from, mut to) = (first, last);
        if let Some((&start, &end)) = self.runs.range(..=first).next_back()
            && end.next() >= first
        {
            from = start;
            to = to.max(end);
        }
        let mut swallowed = 0;
        while let Some((&start, &end)) = self.runs.range(from..=to.next()).next() {
            swallowed += end.0 - start.0 + 1;
            to = to.max(end);
            self.runs.remove(&start);
        }
        self.count += to.0 - from.0 + 1 - swallowed;
        self.runs.insert(from, to);
    }

    /// Takes `first..=last` out, as far as they are in it.
    pub(crate) fn remove(&mut self, first: Offset, last: Offset) {
        if let Some((start, end)) = self.run_at(first)
            && start < first
        {
            self.count -= end.0 - start.0 + 1;
            self.runs.remove(&start);
            self.put(start, Offset(first.0 - 1));
            self.put(first, end);
        }
        while let Some((&start, &end)) = self.runs.range(first..=last).next() {
            self.runs.remove(&start);
            self.count -= end.0 - start.0 + 1;
            if end > last {
                self.put(last.next(), end);
            }
        }
    }

    fn put(&mut self, first: Offset, last: Offset) {
        self.count += last.0 - first.0 + 1;
        self.runs.insert(first, last);
    }

    fn run_at(&self, offset: Offset) -> Option<(Offset, Offset)> {
        self.runs
            .range(..=offset)
            .next_back()
            .filter(|(_, last)| **last >= offset)
            .map(|(first, last)| (*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_offsets(
            changes in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..9), 0..60),
        ) {
            let mut set = OffsetSet::default();
            let mut model = BTreeSet::new();
            for (add, first, length) in changes {
                let last = first + length;
                if add {
                    set.insert(Offset(first), Offset(last));
                    model.extend(first..=last);
                } else {
                    set.remove(Offset(first), Offset(last));
                    model.retain(|offset| !(first..=last).contains(offset));
                }
                prop_assert_eq!(set.count(), model.len() as u64);
                prop_assert_eq!(set.first(), model.first().map(|offset| Offset(*offset)));
                for at in 0..72 {
                    prop_assert_eq!(set.contains(Offset(at)), model.contains(&at));
                    prop_assert_eq!(
                        set.next_present(Offset(at)),
                        model.range(at..).next().map(|offset| Offset(*offset))
                    );
                    let absent = (at..).find(|offset| !model.contains(offset)).unwrap();
                    prop_assert_eq!(set.next_absent(Offset(at)), Offset(absent));
                    prop_assert_eq!(
                        set.count_in(Offset(at), Offset(at + 7)),
                        model.range(at..=at + 7).count() as u64
                    );
                }
            }
        }
    }
}
