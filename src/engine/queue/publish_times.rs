//! When messages were published, kept coarsely: the age of a level's oldest message must be told
//! without reading it and without a scan. Belongs to a [`super::level::PriorityLevel`].

use crate::limits::{MARK_INTERVAL_MS, MARKS_MAX};
use crate::model::{Offset, WallClock};
use std::collections::BTreeMap;

/// Some messages of a level with their stamps.
#[derive(Debug, Default)]
pub(crate) struct PublishTimes {
    stamps: BTreeMap<Offset, WallClock>,
    /// Between two stamps, in ms; doubled when there are too many.
    interval: u64,
}

impl PublishTimes {
    /// A message was added at the tail, everything below `low` is settled.
    pub(crate) fn note(&mut self, offset: Offset, stamp: WallClock, low: Offset) {
        match self.stamps.last_key_value() {
            Some((last, _)) if *last < low => {
                self.stamps.clear();
                self.interval = MARK_INTERVAL_MS;
            }
            Some((_, last)) if last.0.abs_diff(stamp.0) < self.interval => return,
            _ => {}
        }
        self.insert(offset, stamp, low);
    }

    /// A message was read from the store.
    pub(crate) fn learn(&mut self, offset: Offset, stamp: WallClock) {
        self.insert(offset, stamp, Offset(0));
    }

    fn insert(&mut self, offset: Offset, stamp: WallClock, low: Offset) {
        self.stamps.insert(offset, stamp);
        if self.stamps.len() > MARKS_MAX {
            self.thin_out(low);
        }
    }

    /// The stamp of the message, or of one before it, as near as is known; nothing when none is.
    pub(crate) fn stamp(&self, offset: Offset) -> Option<WallClock> {
        self.at(offset).map(|(_, stamp)| stamp)
    }

    /// The stamp that is known for the message, with the message that it was noted at.
    pub(crate) fn at(&self, offset: Offset) -> Option<(Offset, WallClock)> {
        self.stamps.range(..=offset).next_back().map(|(offset, stamp)| (*offset, *stamp))
    }

    /// Forgets what is below `low`; of too many others every second one.
    fn thin_out(&mut self, low: Offset) {
        if let Some((first, _)) = self.stamps.range(..=low).next_back() {
            let first = *first;
            self.stamps = self.stamps.split_off(&first);
        }
        if self.stamps.len() <= MARKS_MAX / 2 {
            self.interval = (self.interval / 2).max(MARK_INTERVAL_MS);
            return;
        }
        self.interval = self.interval.max(MARK_INTERVAL_MS).saturating_mul(2);
        let mut index = 0usize;
        self.stamps.retain(|_, _| {
            index += 1;
            index % 2 == 1
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_never_later_than_the_message_and_their_number_is_bounded() {
        let mut publish_times = PublishTimes::default();
        let stamp = |offset: u64| WallClock(offset * MARK_INTERVAL_MS / 4);
        for offset in 0..100_000 {
            publish_times.note(Offset(offset), stamp(offset), Offset(7));
            assert!(publish_times.stamps.len() <= MARKS_MAX);
        }
        for offset in [7, 1_000, 50_000, 99_999] {
            let known = publish_times.stamp(Offset(offset)).unwrap();
            assert!(known <= stamp(offset));
            // Thinning keeps the error to a small part of the whole age.
            assert!(stamp(offset).0 - known.0 <= stamp(100_000).0 / (MARKS_MAX as u64 / 4));
        }
        assert_eq!(PublishTimes::default().stamp(Offset(0)), None);
    }

    #[test]
    fn what_is_read_from_the_store_is_bounded_too() {
        let mut publish_times = PublishTimes::default();
        for offset in 0..100_000 {
            publish_times.learn(Offset(offset), WallClock(offset));
            assert!(publish_times.stamps.len() <= MARKS_MAX);
        }
        assert_eq!(publish_times.stamp(Offset(0)), Some(WallClock(0)));
        assert!(publish_times.stamp(Offset(99_999)).unwrap() <= WallClock(99_999));
    }
}
