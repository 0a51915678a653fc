//! The durable state of a lane: a function of the operations applied to it and of nothing else,
//! so that applying the same operations again, after a restart or on another machine, gives the
//! same state. Belongs to a [`super::lane::Lane`], which decides which operations to apply.
//!
//! A message that is not to be kept takes an offset and counts as settled from the start: to the
//! log it is a hole.

use super::offset_set::OffsetSet;
use crate::ids::Offset;
use crate::operation::{BLOCK_OFFSETS, Block, RecoveredLane, Watermark};
use std::collections::BTreeMap;

/// What is known of a lane's messages without reading one: what is settled, what has failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LaneLog {
    /// Everything below is settled; itself it is not, or it is the tail.
    low: Offset,
    /// What is settled above `low`.
    settled: OffsetSet,
    /// Failed deliveries of the messages that have any.
    failures: BTreeMap<Offset, u32>,
    /// The next offset to be given.
    tail: Offset,
    /// Octets of the bodies of all messages that were ever put into pages.
    octets_paged: u64,
    /// Octets of those among them that are settled.
    octets_settled: u64,
}

impl LaneLog {
    /// The state that a store holds.
    pub(crate) fn recover(recovered: &RecoveredLane) -> Self {
        let mut log = Self {
            low: recovered.watermark.low,
            tail: recovered.watermark.low,
            octets_settled: recovered.watermark.octets_settled,
            octets_paged: recovered.watermark.octets_settled,
            ..Self::default()
        };
        for (number, block) in &recovered.blocks {
            let base = number * BLOCK_OFFSETS;
            for (first, last) in &block.settled {
                let last = Offset(base + u64::from(*last));
                log.tail = log.tail.max(last.next());
                log.settled.insert(Offset(base + u64::from(*first)), last);
            }
            for (offset, count) in &block.failures {
                log.failures.insert(Offset(base + u64::from(*offset)), *count);
            }
        }
        if let Some((end, octets_after)) = recovered.last_page {
            log.tail = log.tail.max(end);
            log.octets_paged = octets_after.max(log.octets_settled);
        }
        if let Some(below) = log.low.0.checked_sub(1) {
            log.settled.remove(Offset(0), Offset(below));
        }
        log.failures = log.failures.split_off(&log.low);
        log.advance();
        if log.low == log.tail {
            log.octets_settled = log.octets_paged;
        }
        log
    }

    /// Gives the next offset to a message that is to be kept.
    pub(crate) fn append(&mut self) -> Offset {
        let offset = self.tail;
        self.tail = offset.next();
        offset
    }

    /// Gives the next offset to a message that is not to be kept.
    pub(crate) fn append_hole(&mut self) -> Offset {
        let offset = self.append();
        self.settle(offset, offset, 0);
        offset
    }

    /// Messages of `octets` went into a page.
    pub(crate) fn page(&mut self, octets: u64) {
        self.octets_paged += octets;
    }

    /// Settles `first..=last`, of which those in pages are `octets_paged`.
    pub(crate) fn settle(&mut self, first: Offset, last: Offset, octets_paged: u64) {
        self.octets_settled += octets_paged;
        if last < self.low {
            return;
        }
        if first <= self.low && self.settled.is_empty() {
            self.low = self.low.max(last.next());
        } else {
            self.settled.insert(first.max(self.low), last);
            self.advance();
        }
        if !self.failures.is_empty() {
            while let Some((&offset, _)) = self.failures.range(first..=last).next() {
                self.failures.remove(&offset);
            }
        }
    }

    /// Settled messages in pages had `octets` together.
    pub(crate) fn settle_octets(&mut self, octets: u64) {
        self.octets_settled += octets;
    }

    /// Counts one more failed delivery; how many there are now.
    pub(crate) fn fail(&mut self, offset: Offset) -> u32 {
        let count = self.failures.entry(offset).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Failed deliveries so far.
    pub(crate) fn failures(&self, offset: Offset) -> u32 {
        if self.failures.is_empty() {
            return 0;
        }
        self.failures.get(&offset).copied().unwrap_or(0)
    }

    /// A message that is not kept is gone: so is its count.
    pub(crate) fn forget_failures(&mut self, offset: Offset) {
        if !self.failures.is_empty() {
            self.failures.remove(&offset);
        }
    }

    /// The lowest offset that is not settled; the tail when all are.
    pub(crate) fn low(&self) -> Offset {
        self.low
    }

    /// The next offset to be given.
    pub(crate) fn tail(&self) -> Offset {
        self.tail
    }

    /// The lowest unsettled offset that is not below `from`; the tail when there is none.
    pub(crate) fn next_unsettled(&self, from: Offset) -> Offset {
        self.settled.next_absent(from.max(self.low)).min(self.tail)
    }

    /// Whether the offset is settled (or a hole).
    pub(crate) fn is_settled(&self, offset: Offset) -> bool {
        offset < self.low || self.settled.contains(offset)
    }

    /// Unsettled offsets in the lane.
    pub(crate) fn unsettled(&self) -> u64 {
        self.tail.0 - self.low.0 - self.settled.count()
    }

    /// Unsettled offsets among `first..end`.
    pub(crate) fn unsettled_in(&self, first: Offset, end: Offset) -> u64 {
        let first = first.max(self.low);
        if first >= end {
            return 0;
        }
        end.0 - first.0 - self.settled.count_in(first, Offset(end.0 - 1))
    }

    /// Octets of the unsettled messages in pages.
    pub(crate) fn octets(&self) -> u64 {
        self.octets_paged.saturating_sub(self.octets_settled)
    }

    /// Octets of all messages that were ever put into pages.
    pub(crate) fn octets_paged(&self) -> u64 {
        self.octets_paged
    }

    /// The watermark to be stored.
    pub(crate) fn watermark(&self) -> Watermark {
        Watermark { low: self.low, octets_settled: self.octets_settled }
    }

    /// The block to be stored; nothing when there is nothing to say.
    pub(crate) fn block(&self, number: u64) -> Option<Block> {
        let base = number * BLOCK_OFFSETS;
        let (first, last) = (Offset(base), Offset(base + BLOCK_OFFSETS - 1));
        let relative = |offset: Offset| (offset.0 - base) as u16;
        let block = Block {
            settled: self
                .settled
                .runs_in(first, last)
                .map(|(first, last)| (relative(first), relative(last)))
                .collect(),
            failures: self
                .failures
                .range(first..=last)
                .filter(|(offset, _)| !self.is_settled(**offset))
                .map(|(offset, count)| (relative(*offset), *count))
                .collect(),
        };
        (block != Block::default()).then_some(block)
    }

    fn advance(&mut self) {
        let low = self.settled.next_absent(self.low);
        if low > self.low {
            self.settled.remove(self.low, Offset(low.0 - 1));
            self.low = low;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Lane, QueueId};
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Append,
        Hole,
        Settle(u64, u64),
        Fail(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Append),
            1 => Just(Step::Hole),
            2 => (0u64..60, 0u64..5).prop_map(|(first, length)| Step::Settle(first, length)),
            1 => (0u64..60).prop_map(Step::Fail),
        ];
        proptest::collection::vec(step, 0..80)
    }

    fn apply(steps: &[Step]) -> LaneLog {
        let mut log = LaneLog::default();
        for step in steps {
            match *step {
                Step::Append => {
                    log.append();
                    log.page(10);
                }
                Step::Hole => {
                    log.append_hole();
                }
                Step::Settle(first, length) => {
                    for offset in (first..=first + length).map(Offset) {
                        if offset < log.tail() && !log.is_settled(offset) {
                            log.settle(offset, offset, 10);
                        }
                    }
                }
                Step::Fail(offset) => {
                    if Offset(offset) < log.tail() && !log.is_settled(Offset(offset)) {
                        log.fail(Offset(offset));
                    }
                }
            }
        }
        log
    }

    #[test]
    fn settling_what_fell_below_the_watermark_changes_nothing() {
        let mut log = LaneLog::default();
        for _ in 0..3 {
            log.append_hole();
        }
        log.append();
        log.append_hole();
        let before = log.clone();
        log.settle(Offset(1), Offset(2), 0);
        assert_eq!(log, before);
    }

    proptest! {
        #[test]
        fn the_same_operations_give_the_same_state(steps in steps()) {
            prop_assert_eq!(apply(&steps), apply(&steps));
        }

        #[test]
        fn what_is_stored_brings_the_state_back(steps in steps()) {
            let log = apply(&steps);
            let recovered = RecoveredLane {
                queue: QueueId(1),
                lane: Lane(0),
                watermark: log.watermark(),
                blocks: log.block(0).map(|block| (0, block)).into_iter().collect(),
                last_page: (log.octets_paged() > 0).then(|| (log.tail(), log.octets_paged())),
            };
            prop_assert_eq!(LaneLog::recover(&recovered), log);
        }
    }
}
