//! What was found of one priority level.

use crate::fjall::contiguity::{Settled, SettledRuns};
use crate::fjall::levels::Span;
use forebay_engine::model::Offset;

/// One level.
#[derive(Debug, Default)]
pub(crate) struct LevelSurvey {
    pub(crate) settled: Settled,
    pub(super) runs: SettledRuns,
    pub(crate) span: Option<Span>,
    /// Where its last page ended, by the level's record.
    pub(super) end: Offset,
    pub(super) has_record: bool,
    pub(super) has_watermark: bool,
    /// Whether its watermark may have been lost.
    pub(super) is_doubtful: bool,
    /// Messages of readable pages whose bodies are lost, and the bytes of these.
    pub(crate) bodiless: Vec<(Offset, u64)>,
    /// First, end, `bytes_before` and `bytes_after` of the readable pages.
    pub(crate) extents: Vec<(Offset, Offset, u64, u64)>,
    /// Not settled.
    pub(crate) messages: u64,
    /// Of these.
    pub(crate) bytes: u64,
}

/// Unsettled offsets without a page.
#[derive(Debug)]
pub(crate) struct Hole {
    pub(crate) first: Offset,
    pub(crate) end: Offset,
    /// Bytes that its messages had, as far as the pages around tell.
    pub(crate) bytes: u64,
}

impl LevelSurvey {
    /// Where its last page ended, or ends.
    pub(crate) fn end(&self) -> Offset {
        self.extents.iter().map(|(_, end, ..)| *end).max().unwrap_or_default().max(self.end)
    }

    /// The first page's first offset, when nothing tells what is settled below.
    pub(crate) fn settled_unknown_below(&self) -> Option<Offset> {
        let (first, ..) = self.extents.first()?;
        let is_unknown = self.is_doubtful && !self.has_watermark && *first > Offset(0);
        is_unknown.then_some(*first)
    }

    pub(crate) fn holes(&self) -> Vec<Hole> {
        let mut holes = Vec::new();
        let mut expected = self.settled.watermark.low;
        expected = expected.max(self.settled_unknown_below().unwrap_or_default());
        let mut bytes = None;
        let end = (self.end(), self.end(), 0, 0);
        for (first, end, bytes_before, bytes_after) in self.extents.iter().chain([&end]) {
            let lost = bytes.map_or(0, |bytes| bytes_before.saturating_sub(bytes));
            let runs = self.runs.unsettled(expected, *first);
            let bytes_each = lost / (runs.len() as u64).max(1);
            let hole = |(first, end)| Hole { first, end, bytes: bytes_each };
            holes.extend(runs.into_iter().map(hole));
            expected = expected.max(*end);
            bytes = Some(*bytes_after);
        }
        holes
    }
}
