//! Whether the pages read from a level follow one another without a hole that nothing explains.
//! Both stores ask it for every read.

use crate::damage::Damage;
use crate::error::StoreError;
use forebay_engine::model::{Level, Offset, QueueId};
use forebay_engine::operation::{BLOCK_OFFSETS, Block, Watermark};
use forebay_engine::page::Page;

/// What is settled in a level.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    pub(crate) watermark: Watermark,
    /// Ascending by block number.
    pub(crate) blocks: Vec<(u64, Block)>,
}

/// What is settled in a level, as runs of offsets that can be searched.
#[derive(Clone, Debug, Default)]
pub(crate) struct SettledRuns {
    low: Offset,
    /// First and end, ascending.
    runs: Vec<(Offset, Offset)>,
}

impl Settled {
    pub(crate) fn runs(&self) -> SettledRuns {
        let mut runs: Vec<(Offset, Offset)> = Vec::new();
        for (number, block) in &self.blocks {
            let start = number.saturating_mul(BLOCK_OFFSETS);
            let offset = |relative: u16| Offset(start.saturating_add(u64::from(relative)));
            let settled = block.settled.iter();
            runs.extend(settled.map(|(first, last)| (offset(*first), offset(*last).next())));
        }
        SettledRuns { low: self.watermark.low, runs }
    }
}

impl SettledRuns {
    /// The runs of offsets in `first..end` that are not settled.
    pub(crate) fn unsettled(&self, first: Offset, end: Offset) -> Vec<(Offset, Offset)> {
        let mut unsettled = Vec::new();
        let mut at = first.max(self.low);
        let from = self.runs.partition_point(|(_, run_end)| *run_end <= at);
        for (run_first, run_end) in self.runs.iter().skip(from) {
            if at >= end || *run_first >= end {
                break;
            }
            if at < *run_first {
                unsettled.push((at, *run_first));
            }
            at = at.max(*run_end);
        }
        if at < end {
            unsettled.push((at, end));
        }
        unsettled
    }
}

/// The holes between `from` and the pages that were read from there on.
pub(crate) fn holes(from: Offset, pages: &[Page]) -> Vec<(Offset, Offset)> {
    let mut expected = from;
    let mut found = Vec::new();
    for page in pages {
        if page.first > expected {
            found.push((expected, page.first));
        }
        expected = expected.max(page.end);
    }
    found
}

/// # Errors
/// When an offset in a hole is not settled: its page is missing.
pub(crate) fn explain(
    queue: QueueId,
    level: Level,
    holes: &[(Offset, Offset)],
    settled: &Settled,
) -> Result<(), StoreError> {
    let runs = settled.runs();
    match holes.iter().flat_map(|(first, end)| runs.unsettled(*first, *end)).next() {
        None => Ok(()),
        Some((first, end)) => Err(Damage::missing(queue, level, first, end).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(first: u64, end: u64) -> Page {
        Page {
            first: Offset(first),
            end: Offset(end),
            bytes_before: 0,
            bytes_after: 0,
            bounds: None,
            records: Vec::new(),
        }
    }

    #[test]
    fn a_hole_is_found_before_and_between_pages() {
        let pages = [page(3, 5), page(5, 7), page(9, 10)];
        assert_eq!(holes(Offset(1), &pages), vec![(Offset(1), Offset(3)), (Offset(7), Offset(9))]);
        assert_eq!(holes(Offset(4), &pages), vec![(Offset(7), Offset(9))]);
    }

    #[test]
    fn a_settled_hole_is_explained_across_blocks() {
        let boundary = BLOCK_OFFSETS;
        let settled = Settled {
            watermark: Watermark { low: Offset(10), bytes_settled: 0 },
            blocks: vec![
                (0, Block { settled: vec![(65_530, 65_535)], ..Block::default() }),
                (1, Block { settled: vec![(0, 3)], ..Block::default() }),
            ],
        };
        let explained = |first, end| {
            explain(QueueId(1), Level(0), &[(Offset(first), Offset(end))], &settled).is_ok()
        };
        assert!(explained(0, 10));
        assert!(explained(boundary - 6, boundary + 4));
        assert!(!explained(boundary - 7, boundary + 4));
        assert!(!explained(boundary - 6, boundary + 5));
        assert!(!explained(0, 11));
        assert_eq!(
            settled.runs().unsettled(Offset(5), Offset(boundary + 6)),
            vec![(Offset(10), Offset(boundary - 6)), (Offset(boundary + 4), Offset(boundary + 6))]
        );
    }
}
