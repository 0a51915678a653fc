//! What the store keeps in memory of each lane: a few octets, whatever its backlog. The thread that
//! applies commits changes it, after they are written; readers and the reclaimer look at it.

use crate::limits::RECLAIM_OCTETS;
use forebay_engine::ids::{Lane, Offset, QueueId};
use forebay_engine::operation::Watermark;
use std::collections::BTreeMap;
use std::ops::Bound;

/// All lanes of all queues.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: BTreeMap<(QueueId, Lane), LaneState>,
}

/// One lane.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LaneState {
    pub(crate) watermark: Watermark,
    /// The stored bound of what a page covers; nothing before the first page.
    pub(crate) span: Option<Span>,
    /// `Watermark::octets_settled` when the lane's tables were last looked through.
    pub(crate) octets_reclaimed: u64,
}

/// A bound for the offsets that one page of a lane covers: at most 2 to this power. It grows a few
/// times in a lane's life, and bounds the search for the page that covers an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) u8);

/// What a batch changes of a lane.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LaneChange {
    pub(crate) watermark: Option<Watermark>,
    pub(crate) span: Option<Span>,
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

    /// The highest `first` of pages that end at or below `offset` for certain.
    pub(crate) fn highest_below(self, offset: Offset) -> Option<Offset> {
        offset.0.checked_sub(self.offsets()).map(Offset)
    }

    fn offsets(self) -> u64 {
        1_u64.checked_shl(u32::from(self.0)).unwrap_or(u64::MAX)
    }
}

impl Lanes {
    pub(crate) fn get(&self, queue: QueueId, lane: Lane) -> Option<LaneState> {
        self.lanes.get(&(queue, lane)).copied()
    }

    pub(crate) fn insert(&mut self, queue: QueueId, lane: Lane, state: LaneState) {
        self.lanes.insert((queue, lane), state);
    }

    /// Applies a change and gives back the lane as it is now.
    pub(crate) fn change(
        &mut self,
        queue: QueueId,
        lane: Lane,
        change: LaneChange,
    ) -> &mut LaneState {
        let state = self.lanes.entry((queue, lane)).or_default();
        state.watermark = change.watermark.unwrap_or(state.watermark);
        state.span = change.span.or(state.span);
        state
    }

    pub(crate) fn remove_queue(&mut self, queue: QueueId) {
        let range = (Bound::Included((queue, Lane(0))), Bound::Included((queue, Lane(u8::MAX))));
        let lanes: Vec<_> = self.lanes.range(range).map(|(key, _)| *key).collect();
        for key in lanes {
            self.lanes.remove(&key);
        }
    }

    /// Lanes of which at least `octets` were settled since their tables were last looked through.
    pub(crate) fn settled_by(&self, octets: u64) -> Vec<(QueueId, Lane)> {
        let lanes = self.lanes.iter().filter(|(_, state)| state.octets_to_reclaim() >= octets);
        lanes.map(|(key, _)| *key).collect()
    }
}

impl LaneState {
    /// Whether so much was settled that there should be whole tables to unlink.
    pub(crate) fn is_reclaim_due(&self) -> bool {
        self.octets_to_reclaim() >= RECLAIM_OCTETS
    }

    fn octets_to_reclaim(&self) -> u64 {
        self.watermark.octets_settled.saturating_sub(self.octets_reclaimed)
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
            assert!(found.highest_below(Offset(end - 1)) < Some(Offset(first)));
        }
        assert_eq!(Span::of(Offset(0), Offset(u64::MAX)), Span(64));
        assert_eq!(Span(64).lowest_first(Offset(9)), Offset(0));
        assert_eq!(Span(64).highest_below(Offset(9)), None);
    }
}
