//! The durable state of a level: a function of the operations applied to it and of nothing else,
//! so that applying the same operations again, after a restart or on another machine, gives the
//! same state. Belongs to a [`super::level::PriorityLevel`], which decides which operations to apply.
//!
//! A message that is not to be kept takes an offset and counts as settled from the start: to the
//! log it is a hole.

use super::offset_set::OffsetSet;
use crate::model::{Offset, Retry};
use crate::operation::{BLOCK_OFFSETS, Block, RecoveredLevel, Watermark};
use std::collections::BTreeMap;

/// Deliveries of a message that came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that failed.
    pub(crate) failures: u32,
    /// Those that a client returned in good order.
    pub(crate) returns: u32,
}

impl Counts {
    /// None: it came back, and that says nothing.
    pub(crate) const NONE: Self = Self { failures: 0, returns: 0 };
    /// One that failed.
    pub(crate) const FAILURE: Self = Self { failures: 1, returns: 0 };
    /// One that was returned.
    pub(crate) const RETURN: Self = Self { failures: 0, returns: 1 };
}

/// What is known of a level's messages without reading one: what is settled, what has failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SettledState {
    /// Everything below is settled; itself it is not, or it is the tail.
    low: Offset,
    /// What is settled above `low`.
    settled: OffsetSet,
    /// Deliveries that came back, of the messages that have any.
    counts: BTreeMap<Offset, Counts>,
    /// Waits of the messages that came back and had to wait, over or not.
    retries: BTreeMap<Offset, Retry>,
    /// The next offset to be given.
    tail: Offset,
    /// Bytes of the bodies of all messages that were ever put into pages.
    bytes_paged: u64,
    /// Bytes of those among them that are settled.
    bytes_settled: u64,
}

impl SettledState {
    /// The state that a store holds.
    pub(crate) fn recover(recovered: &RecoveredLevel) -> Self {
        let mut log = Self {
            low: recovered.watermark.low,
            tail: recovered.watermark.low,
            bytes_settled: recovered.watermark.bytes_settled,
            bytes_paged: recovered.watermark.bytes_settled,
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
                log.counts.entry(Offset(base + u64::from(*offset))).or_default().failures = *count;
            }
            for (offset, count) in &block.returns {
                log.counts.entry(Offset(base + u64::from(*offset))).or_default().returns = *count;
            }
            for (offset, retry) in &block.retries {
                log.retries.insert(Offset(base + u64::from(*offset)), *retry);
            }
        }
        if let Some((end, bytes_after)) = recovered.last_page {
            log.tail = log.tail.max(end);
            log.bytes_paged = bytes_after.max(log.bytes_settled);
        }
        if let Some(below) = log.low.0.checked_sub(1) {
            log.settled.remove(Offset(0), Offset(below));
        }
        log.counts = log.counts.split_off(&log.low);
        log.retries = log.retries.split_off(&log.low);
        log.advance();
        if log.low == log.tail {
            log.bytes_settled = log.bytes_paged;
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

    /// Messages of `bytes` went into a page.
    pub(crate) fn page(&mut self, bytes: u64) {
        self.bytes_paged += bytes;
    }

    /// Settles `first..=last`, of which those in pages are `bytes_paged`.
    pub(crate) fn settle(&mut self, first: Offset, last: Offset, bytes_paged: u64) {
        self.bytes_settled += bytes_paged;
        if last < self.low {
            return;
        }
        if first <= self.low && self.settled.is_empty() {
            self.low = self.low.max(last.next());
        } else {
            self.settled.insert(first.max(self.low), last);
            self.advance();
        }
        if !self.counts.is_empty() {
            while let Some((&offset, _)) = self.counts.range(first..=last).next() {
                self.counts.remove(&offset);
            }
        }
        if !self.retries.is_empty() {
            while let Some((&offset, _)) = self.retries.range(first..=last).next() {
                self.retries.remove(&offset);
            }
        }
    }

    /// Every message in pages is settled, also those whose sizes were not known.
    pub(crate) fn settle_all_bytes(&mut self) {
        self.bytes_settled = self.bytes_paged;
    }

    /// Settled messages in pages had `bytes` together.
    pub(crate) fn settle_bytes(&mut self, bytes: u64) {
        self.bytes_settled += bytes;
    }

    /// Adds to what came back of a message; whether that is anything.
    pub(crate) fn count(&mut self, offset: Offset, more: Counts) -> bool {
        if more == Counts::NONE {
            return false;
        }
        let counts = self.counts.entry(offset).or_default();
        counts.failures = counts.failures.saturating_add(more.failures);
        counts.returns = counts.returns.saturating_add(more.returns);
        true
    }

    /// Failed deliveries so far.
    pub(crate) fn failures(&self, offset: Offset) -> u32 {
        self.counts(offset).failures
    }

    /// Deliveries so far that a client returned in good order.
    pub(crate) fn returns(&self, offset: Offset) -> u32 {
        self.counts(offset).returns
    }

    fn counts(&self, offset: Offset) -> Counts {
        if self.counts.is_empty() {
            return Counts::NONE;
        }
        self.counts.get(&offset).copied().unwrap_or_default()
    }

    /// A message begins to wait, or (`None`) comes back without a wait; whether that changes anything.
    pub(crate) fn set_retry(&mut self, offset: Offset, retry: Option<Retry>) -> bool {
        match retry {
            Some(retry) => self.retries.insert(offset, retry) != Some(retry),
            None => !self.retries.is_empty() && self.retries.remove(&offset).is_some(),
        }
    }

    /// The last wait of a message that came back, over or not.
    pub(crate) fn retry(&self, offset: Offset) -> Option<Retry> {
        self.retries.get(&offset).copied()
    }

    /// All waits, over or not, ascending by the offset of the message.
    pub(crate) fn retries(&self) -> impl Iterator<Item = (Offset, Retry)> {
        self.retries.iter().map(|(offset, retry)| (*offset, *retry))
    }

    /// Of all messages but those at the offsets that `is_kept` names, counts and waits are gone.
    pub(crate) fn retain_counts(&mut self, is_kept: impl Fn(Offset) -> bool) {
        self.counts.retain(|offset, _| is_kept(*offset));
        self.retries.retain(|offset, _| is_kept(*offset));
    }

    /// A message that is not kept is gone: so are its counts and its wait.
    pub(crate) fn forget_counts(&mut self, offset: Offset) {
        if !self.counts.is_empty() {
            self.counts.remove(&offset);
        }
        if !self.retries.is_empty() {
            self.retries.remove(&offset);
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

    /// Unsettled offsets in the level.
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

    /// The runs of unsettled offsets below `end`, ascending, first and last included.
    pub(crate) fn unsettled_runs(&self, end: Offset) -> Vec<(Offset, Offset)> {
        let mut runs = Vec::new();
        let mut from = self.low;
        for (first, last) in self.settled.runs_in(self.low, end) {
            if from < first {
                runs.push((from, Offset(first.0 - 1)));
            }
            from = last.next();
        }
        if from < end {
            runs.push((from, Offset(end.0 - 1)));
        }
        runs
    }

    /// Bytes of the unsettled messages in pages.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes_paged.saturating_sub(self.bytes_settled)
    }

    /// Bytes of all messages that were ever put into pages.
    pub(crate) fn bytes_paged(&self) -> u64 {
        self.bytes_paged
    }

    /// The watermark to be stored.
    pub(crate) fn watermark(&self) -> Watermark {
        Watermark { low: self.low, bytes_settled: self.bytes_settled }
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
            failures: self.counted_in(base, |counts| counts.failures),
            returns: self.counted_in(base, |counts| counts.returns),
            retries: self
                .retries
                .range(first..=last)
                .filter(|(offset, _)| !self.is_settled(**offset))
                .map(|(offset, retry)| (relative(*offset), *retry))
                .collect(),
        };
        (block != Block::default()).then_some(block)
    }

    /// A count of the unsettled messages of a block that have any, relative to its start.
    fn counted_in(&self, base: u64, of: impl Fn(&Counts) -> u32) -> Vec<(u16, u32)> {
        let range = Offset(base)..=Offset(base + BLOCK_OFFSETS - 1);
        let counts = self.counts.range(range);
        let counts = counts.filter(|(offset, _)| !self.is_settled(**offset));
        let counts = counts.map(|(offset, counts)| ((offset.0 - base) as u16, of(counts)));
        counts.filter(|(_, count)| *count > 0).collect()
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
    use crate::model::{Level, QueueId, ReturnReason, WallClock};
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Append,
        Hole,
        Settle(u64, u64),
        Fail(u64),
        Return(u64),
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Append),
            1 => Just(Step::Hole),
            2 => (0u64..60, 0u64..5).prop_map(|(first, length)| Step::Settle(first, length)),
            1 => (0u64..60).prop_map(Step::Fail),
            1 => (0u64..60).prop_map(Step::Return),
            1 => (0u64..60).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 0..80)
    }

    fn apply(steps: &[Step]) -> SettledState {
        let mut log = SettledState::default();
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
                Step::Wait(offset) => {
                    if Offset(offset) < log.tail() && !log.is_settled(Offset(offset)) {
                        let (due, group) = (WallClock(offset), (offset % 2 == 0).then_some(offset));
                        let reason = ReturnReason::Lost;
                        log.set_retry(
                            Offset(offset),
                            Some(Retry { due, delay: 3, size: 2, reason, group }),
                        );
                    }
                }
                Step::Fail(offset) | Step::Return(offset) => {
                    let is_failure = matches!(step, Step::Fail(_));
                    let more = if is_failure { Counts::FAILURE } else { Counts::RETURN };
                    if Offset(offset) < log.tail() && !log.is_settled(Offset(offset)) {
                        log.count(Offset(offset), more);
                    }
                }
            }
        }
        log
    }

    #[test]
    fn settling_what_fell_below_the_watermark_changes_nothing() {
        let mut log = SettledState::default();
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
        fn what_is_stored_brings_the_state_back(steps in steps()) {
            let log = apply(&steps);
            let recovered = RecoveredLevel {
                queue: QueueId(1),
                level: Level(0),
                watermark: log.watermark(),
                blocks: log.block(0).map(|block| (0, block)).into_iter().collect(),
                bounds: None,
                last_page: (log.bytes_paged() > 0).then(|| (log.tail(), log.bytes_paged())),
            };
            prop_assert_eq!(SettledState::recover(&recovered), log);
        }
    }
}
