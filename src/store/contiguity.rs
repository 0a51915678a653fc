//! Whether the pages read from a lane follow one another without a hole that nothing explains.
//! Both stores ask it for every read.

use crate::error::{Damage, StoreError};
use forebay_engine::ids::{Lane, Offset, QueueId};
use forebay_engine::operation::{BLOCK_OFFSETS, Block, Watermark};
use forebay_engine::page::Page;

/// What is settled in a lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    pub(crate) watermark: Watermark,
    /// Ascending by block number.
    pub(crate) blocks: Vec<(u64, Block)>,
}

impl Settled {
    /// The runs of offsets in `first..end` that are not settled.
    pub(crate) fn unsettled(&self, first: Offset, end: Offset) -> Vec<(Offset, Offset)> {
        let mut runs = Vec::new();
        let mut at = first;
        while let Some(from) = self.first_unsettled(at, end) {
            let starts = self.blocks.iter().flat_map(|(number, block)| {
                let start = number.saturating_mul(BLOCK_OFFSETS);
                block
                    .settled
                    .iter()
                    .map(move |(run_first, _)| Offset(start + u64::from(*run_first)))
            });
            let to = starts.filter(|start| *start > from).min().unwrap_or(end).min(end);
            runs.push((from, to));
            at = to;
        }
        runs
    }

    /// The first offset in `first..end` that is not settled.
    fn first_unsettled(&self, first: Offset, end: Offset) -> Option<Offset> {
        let mut at = first.max(self.watermark.low);
        for (number, block) in &self.blocks {
            let start = number.saturating_mul(BLOCK_OFFSETS);
            for (run_first, run_last) in &block.settled {
                let run_first = Offset(start + u64::from(*run_first));
                let run_last = Offset(start + u64::from(*run_last));
                if run_first <= at && at <= run_last {
                    at = run_last.next();
                }
            }
        }
        (at < end).then_some(at)
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
    lane: Lane,
    holes: &[(Offset, Offset)],
    settled: &Settled,
) -> Result<(), StoreError> {
    for (first, end) in holes {
        if let Some(missing) = settled.first_unsettled(*first, *end) {
            return Err(Damage::of_lane(
                queue,
                lane,
                Some((missing, Some(*end))),
                "a page is missing: its messages are not settled, but no page holds them",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(first: u64, end: u64) -> Page {
        Page {
            first: Offset(first),
            end: Offset(end),
            octets_before: 0,
            octets_after: 0,
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
            watermark: Watermark { low: Offset(10), octets_settled: 0 },
            blocks: vec![
                (0, Block { settled: vec![(65_530, 65_535)], failures: vec![] }),
                (1, Block { settled: vec![(0, 3)], failures: vec![] }),
            ],
        };
        let explained = |first, end| {
            explain(QueueId(1), Lane(0), &[(Offset(first), Offset(end))], &settled).is_ok()
        };
        assert!(explained(0, 10));
        assert!(explained(boundary - 6, boundary + 4));
        assert!(!explained(boundary - 7, boundary + 4));
        assert!(!explained(boundary - 6, boundary + 5));
        assert!(!explained(0, 11));
        assert_eq!(
            settled.unsettled(Offset(5), Offset(boundary + 6)),
            vec![(Offset(10), Offset(boundary - 6)), (Offset(boundary + 4), Offset(boundary + 6))]
        );
    }
}
