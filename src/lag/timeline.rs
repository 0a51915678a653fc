//! A history as seen from one quarter of an hour: everything by how long ago it was.

use crate::day::Block;
use crate::level::{Coarse, Peak};
use crate::limits::{
    BATCH_QUARTERS_MAX, BLOCK_QUARTERS, DAY_BLOCKS, DAY_QUARTERS, HISTORY_DAYS, SAME_TIME_QUARTERS,
};

/// A history as seen from one quarter of an hour.
#[derive(Debug)]
pub(crate) struct Timeline {
    now: u64,
    /// By quarters ago.
    peaks: Vec<Peak>,
    /// By blocks ago.
    blocks: Vec<Block>,
    /// Days ago, and the level.
    accepted: Vec<(u64, f64)>,
}

/// What is taken of a span of quarters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taking {
    /// What was never above the line.
    Normal,
    /// Short excursions, too: a batch may have been taken for an incident.
    Batches,
}

impl Timeline {
    pub(crate) fn new(now: u64) -> Self {
        let days = HISTORY_DAYS + 2;
        Self {
            now,
            peaks: vec![Peak::UNKNOWN; days * DAY_QUARTERS],
            blocks: vec![Block::UNKNOWN; days * DAY_BLOCKS],
            accepted: Vec::new(),
        }
    }

    pub(crate) fn put_peak(&mut self, quarter: u64, peak: Peak) {
        let ago = self.now.checked_sub(quarter).and_then(|ago| usize::try_from(ago).ok());
        if let Some(slot) = ago.and_then(|ago| self.peaks.get_mut(ago)) {
            *slot = peak;
        }
    }

    pub(crate) fn put_block(&mut self, block: u64, kept: Block) {
        let now = self.now / BLOCK_QUARTERS as u64;
        let ago = now.checked_sub(block).and_then(|ago| usize::try_from(ago).ok());
        if let Some(slot) = ago.and_then(|ago| self.blocks.get_mut(ago)) {
            *slot = kept;
        }
    }

    pub(crate) fn put_accepted(&mut self, days_ago: u64, level: f64) {
        self.accepted.push((days_ago, level));
    }

    /// The highest level that was accepted in the last days.
    pub(crate) fn accepted(&self, days: u16) -> Option<f64> {
        let levels =
            self.accepted.iter().filter(|(ago, _)| *ago < u64::from(days)).map(|(_, level)| *level);
        levels.reduce(f64::max)
    }

    /// Days ago of the newest acceptance.
    pub(crate) fn accepted_days_ago(&self) -> Option<u64> {
        self.accepted.iter().map(|(ago, _)| *ago).min()
    }

    /// Makes excursions that are too long for a batch unknown, and gives the length in quarters of the one that is under way.
    pub(crate) fn drop_long_excursions(&mut self) -> usize {
        let mut begin = 0;
        let mut under_way = 0;
        while begin < self.peaks.len() {
            if !self.peaks.get(begin).is_some_and(|peak| peak.is_excursion()) {
                begin += 1;
                continue;
            }
            // What nobody watched within an excursion belongs to it.
            let rest = self.peaks.get(begin..).unwrap_or_default();
            let ends =
                rest.iter().position(|peak| peak.messages().is_some() && !peak.is_excursion());
            let span = rest.get(..ends.unwrap_or(rest.len())).unwrap_or_default();
            let length =
                span.iter().rposition(|peak| peak.is_excursion()).map_or(0, |last| last + 1);
            if begin <= 1 {
                under_way = length;
            }
            if length > BATCH_QUARTERS_MAX {
                for peak in self.peaks.iter_mut().skip(begin).take(length) {
                    *peak = Peak::UNKNOWN;
                }
            }
            begin += length.max(1);
        }
        under_way
    }

    /// The highest peak of a span that begins so many quarters ago and goes on into the past; `None` when less than half of
    /// it is known.
    fn highest(&self, newest: usize, length: usize, taking: Taking) -> Option<f64> {
        let span = self.peaks.get(newest..newest + length)?;
        let taken = span.iter().filter(|peak| taking == Taking::Batches || !peak.is_excursion());
        let mut known = 0;
        let mut highest: Option<Peak> = None;
        for peak in taken.filter(|peak| **peak != Peak::UNKNOWN) {
            known += 1;
            let peak = peak.with_excursion(false);
            highest = Some(highest.map_or(peak, |highest| highest.max(peak)));
        }
        if known * 2 < length { None } else { highest?.messages() }
    }

    /// The highest peak around this time of day, so many days ago.
    pub(crate) fn same_time(&self, days_ago: usize, taking: Taking) -> Option<f64> {
        let newest = (days_ago * DAY_QUARTERS).checked_sub(SAME_TIME_QUARTERS)?;
        self.highest(newest, 2 * SAME_TIME_QUARTERS + 1, taking)
    }

    /// The highest peaks of whole days, the newest of which ended half a day ago.
    pub(crate) fn days(&self) -> Vec<f64> {
        let newest = |days: usize| days * DAY_QUARTERS - DAY_QUARTERS / 2;
        (1..=HISTORY_DAYS)
            .filter_map(|days| self.highest(newest(days), DAY_QUARTERS, Taking::Normal))
            .collect()
    }

    /// Something of all blocks of each day, the newest of which ended half a day ago.
    pub(crate) fn days_of(&self, of: impl Fn(&Block) -> Coarse) -> Vec<f64> {
        let day = |days: usize| {
            let newest = days * DAY_BLOCKS - DAY_BLOCKS / 2;
            let blocks = self.blocks.get(newest..newest + DAY_BLOCKS)?;
            blocks.iter().map(&of).reduce(Coarse::max)?.value()
        };
        (1..=HISTORY_DAYS).filter_map(day).collect()
    }

    /// The highest of something since so many days ago.
    pub(crate) fn highest_since(
        &self,
        days_ago: u64,
        of: impl Fn(&Block) -> Coarse,
    ) -> Option<f64> {
        let blocks = usize::try_from(days_ago).ok()?.saturating_add(1).saturating_mul(DAY_BLOCKS);
        self.blocks.iter().take(blocks).map(of).reduce(Coarse::max)?.value()
    }

    /// The lowest lag of each of the last days, the newest first, until a day of which too little is known.
    pub(crate) fn floors(&self) -> Vec<f64> {
        let floor = |blocks: &[Block]| {
            let known = blocks.iter().filter(|block| block.low != Peak::UNKNOWN).count();
            if known * 2 < DAY_BLOCKS {
                return None;
            }
            blocks.iter().map(|block| block.low).reduce(Peak::min)?.messages()
        };
        self.blocks.chunks(DAY_BLOCKS).map_while(floor).collect()
    }
}
