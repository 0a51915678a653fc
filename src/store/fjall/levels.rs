//! What the store keeps in memory of each level: a few bytes, whatever its backlog. The thread that
//! applies commits changes it, after they are written; readers and the reclaimer look at it.

use crate::fjall::database::Space;
use crate::format::key;
use bytes::Bytes;
use forebay_engine::model::{Level, Offset, QueueId};
use forebay_engine::operation::Watermark;
use std::collections::BTreeMap;
use std::ops::Bound;

/// All levels of all queues.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    levels: BTreeMap<(QueueId, Level), LevelState>,
    has_shared_bodies: bool,
    /// The lowest index in the replicated log that may be needed; `None`: there is no such log.
    log_from: Option<u64>,
}

/// One level.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LevelState {
    pub(crate) watermark: Watermark,
    /// The stored bound of what a page covers; nothing before the first page.
    pub(crate) span: Option<Span>,
    /// Where the last page ended that was put; 0 when that is not known.
    pub(crate) end: Offset,
}

/// A bound for the offsets that one page of a level covers: at most 2 to this power. It grows a few
/// times in a level's life, and bounds the search for the page that covers an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) u8);

/// What a batch changes of a level.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LevelChange {
    pub(crate) watermark: Option<Watermark>,
    pub(crate) span: Option<Span>,
    pub(crate) end: Option<Offset>,
}

impl Span {
    /// The smallest one for a page.
    pub(crate) fn of(first: Offset, end: Offset) -> Self {
        let covered = end.0.saturating_sub(first.0).max(1);
        Self((64 - (covered - 1).leading_zeros()) as u8)
    }

    /// The lowest `first` that a page covering `offset` can have.
    pub(crate) fn lowest_first(self, offset: Offset) -> Offset {
        Offset(offset.0.saturating_sub(self.offsets() - 1))
    }

    fn offsets(self) -> u64 {
        1_u64.checked_shl(u32::from(self.0)).unwrap_or(u64::MAX)
    }
}

impl Levels {
    pub(crate) fn get(&self, queue: QueueId, level: Level) -> Option<LevelState> {
        self.levels.get(&(queue, level)).copied()
    }

    pub(crate) fn insert(&mut self, queue: QueueId, level: Level, state: LevelState) {
        self.levels.insert((queue, level), state);
    }

    /// Applies a change, and says how many bytes it settled.
    pub(crate) fn change(&mut self, queue: QueueId, level: Level, change: LevelChange) -> u64 {
        let state = self.levels.entry((queue, level)).or_default();
        let settled = state.watermark.bytes_settled;
        state.watermark = change.watermark.unwrap_or(state.watermark);
        state.span = change.span.or(state.span);
        state.end = change.end.unwrap_or(state.end);
        state.watermark.bytes_settled.saturating_sub(settled)
    }

    pub(crate) fn remove_queue(&mut self, queue: QueueId) {
        let range = (Bound::Included((queue, Level(0))), Bound::Included((queue, Level(u8::MAX))));
        let levels: Vec<_> = self.levels.range(range).map(|(key, _)| *key).collect();
        for key in levels {
            self.levels.remove(&key);
        }
    }

    /// There are, or have been, bodies that several messages have. Which of them are needed is not known
    /// here.
    pub(crate) fn note_shared_bodies(&mut self) {
        self.has_shared_bodies = true;
    }

    /// Whether nothing whose key in `space`, which is that of pages or of bodies, lies between these two is
    /// needed: none of it would be read again. Of keys that name no level nothing is known, but that of a
    /// heartbeat, which is not needed either.
    pub(crate) fn are_dead(&self, space: Space, first: &[u8], last: &[u8]) -> bool {
        let is_log_needed =
            self.needed_log().is_some_and(|(from, to)| *from <= *last && *first <= *to);
        if space == Space::Pages && is_log_needed {
            return false;
        }
        let (first_shared, last_shared) = key::shared_bodies_range();
        let may_be_shared = *first_shared <= *last && *first <= *last_shared;
        if space == Space::Bodies && self.has_shared_bodies && may_be_shared {
            return false;
        }
        let (Some(from), Some(to)) = (key::level_of(first), key::level_of(last)) else {
            return false;
        };
        self.levels.range(from..=to).all(|((queue, level), state)| {
            state.needed_from(*queue, *level).is_none_or(|(needed_first, needed_last)| {
                last < &*needed_first || &*needed_last < first
            })
        })
    }

    /// The keys of pages and bodies that may be needed: from the first to the last one, of each level, of
    /// bodies that several messages have, and of the replicated log.
    pub(crate) fn needed(&self) -> impl Iterator<Item = (Bytes, Bytes)> + use<'_> {
        let levels = self.levels.iter();
        let levels = levels.filter_map(|((queue, level), state)| state.needed_from(*queue, *level));
        let shared = self.has_shared_bodies.then(key::shared_bodies_range);
        levels.chain(shared).chain(self.needed_log())
    }

    /// Below this index no entry of the replicated log is needed.
    pub(crate) fn need_log_from(&mut self, index: u64) {
        self.log_from = Some(index);
    }

    /// Puts other levels in the place of all. The replicated log stays as it is.
    pub(crate) fn replace(&mut self, levels: Self) {
        *self = Self { log_from: self.log_from, ..levels };
    }

    fn needed_log(&self) -> Option<(Bytes, Bytes)> {
        self.log_from.map(|index| (key::log_entry(index), key::log_entry(u64::MAX)))
    }
}

impl LevelState {
    /// The first and the last key that a page or a body may have that is not settled.
    fn needed_from(&self, queue: QueueId, level: Level) -> Option<(Bytes, Bytes)> {
        // Without a page there is nothing. A level that was stored before its end was does not know it.
        let span = self.span?;
        let low = self.watermark.low;
        if self.end > Offset(0) && low >= self.end {
            return None;
        }
        let (_, last) = key::bodies_range(queue, level, low, Offset(u64::MAX));
        Some((key::page(queue, level, span.lowest_first(low)), last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_bounds_where_a_page_can_begin() {
        for (first, end, span) in [(5, 6, 0), (5, 7, 1), (5, 8, 2), (5, 9, 2), (5, 10, 3)] {
            let found = Span::of(Offset(first), Offset(end));
            assert_eq!(found, Span(span));
            assert!(found.lowest_first(Offset(end - 1)) <= Offset(first));
        }
        assert_eq!(Span::of(Offset(0), Offset(u64::MAX)), Span(64));
        assert_eq!(Span(64).lowest_first(Offset(9)), Offset(0));
    }

    fn levels() -> Levels {
        let mut levels = Levels::default();
        let level = |low, end| LevelState {
            watermark: Watermark { low: Offset(low), bytes_settled: 0 },
            span: Some(Span(2)),
            end: Offset(end),
        };
        levels.insert(QueueId(1), Level(0), level(100, 100));
        levels.insert(QueueId(3), Level(5), level(50, 100));
        levels.insert(QueueId(5), Level(0), level(100, 0));
        levels.insert(QueueId(6), Level(0), LevelState::default());
        levels
    }

    #[test]
    fn what_lies_below_the_watermark_or_in_a_drained_level_is_dead() {
        let levels = levels();
        let dead = |first: (u64, u8, u64), last: (u64, u8, u64)| {
            let key =
                |(queue, level, offset)| key::page(QueueId(queue), Level(level), Offset(offset));
            levels.are_dead(Space::Pages, &key(first), &key(last))
        };
        assert!(dead((1, 0, 0), (1, 0, 99)));
        // A page begins at 47 at the earliest that covers offset 50.
        assert!(dead((1, 0, 0), (3, 5, 46)) && !dead((1, 0, 0), (3, 5, 47)));
        assert!(dead((3, 4, 0), (3, 4, 999)) && !dead((3, 5, 99), (3, 5, 99)));
        assert!(dead((3, 6, 0), (4, 255, u64::MAX)));
        assert!(!dead((0, 0, 0), (9, 0, 0)));
        // Its end is unknown.
        assert!(!dead((5, 0, 98), (5, 0, 98)) && dead((5, 0, 0), (5, 0, 96)));
        assert!(dead((6, 0, 0), (u64::MAX, 255, u64::MAX)));
        let heartbeat = key::HEARTBEAT_KEY;
        assert!(levels.are_dead(
            Space::Pages,
            &key::page(QueueId(6), Level(0), Offset(0)),
            heartbeat
        ));
        assert!(!levels.are_dead(
            Space::Pages,
            &key::page(QueueId(4), Level(0), Offset(0)),
            heartbeat
        ));
        assert!(!levels.are_dead(Space::Pages, b"", heartbeat));
        let body = |offset| key::body(QueueId(3), Level(5), Offset(offset), Offset(offset));
        assert!(
            levels.are_dead(Space::Bodies, &body(0), &body(46))
                && !levels.are_dead(Space::Bodies, &body(0), &body(47))
        );
        assert!(!levels.are_dead(Space::Pages, &body(u64::MAX), &body(u64::MAX)));
        assert_eq!(levels.needed().count(), 2);
    }

    #[test]
    fn entries_of_the_log_are_dead_when_it_was_cut_behind_them() {
        let mut levels = levels();
        let are_dead = |levels: &Levels, first, last| {
            levels.are_dead(Space::Pages, &key::log_entry(first), &key::log_entry(last))
        };
        assert!(are_dead(&levels, 0, 9));
        levels.need_log_from(5);
        assert!(are_dead(&levels, 0, 4) && !are_dead(&levels, 0, 5) && !are_dead(&levels, 7, 9));
        let page = key::page(QueueId(6), Level(0), Offset(0));
        assert!(!levels.are_dead(Space::Pages, &page, key::HEARTBEAT_KEY));
        levels.replace(Levels::default());
        assert!(!are_dead(&levels, 5, 5) && are_dead(&levels, 0, 4));
        assert_eq!(levels.needed().count(), 1);
    }
}
