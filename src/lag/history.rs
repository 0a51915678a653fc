//! Five weeks of a queue, day by day.
//!
//! Days that are over are kept encoded: a queue takes a few KiB.

use crate::day::{Block, Day, DayError};
use crate::level::Peak;
use crate::limits::{BLOCK_QUARTERS, DAY_BLOCKS, DAY_QUARTERS, HISTORY_DAYS, HISTORY_DAYS_SPARE};
use crate::timeline::Timeline;
use std::collections::BTreeSet;

/// Five weeks of a queue.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By number of the day, ascending.
    days: Vec<(u64, Box<[u8]>)>,
    /// The day that was changed last, and its number.
    open: Option<(u64, Day)>,
    /// Days that changed since they were taken.
    changed: BTreeSet<u64>,
}

pub(crate) fn day_of(quarter: u64) -> u64 {
    quarter / DAY_QUARTERS as u64
}

fn slot_of(quarter: u64) -> usize {
    (quarter % DAY_QUARTERS as u64) as usize
}

impl History {
    /// Adds a day that was encoded earlier.
    ///
    /// # Errors
    /// When it is not a day. The history goes on without it.
    pub fn restore(&mut self, day: u64, encoded: &[u8]) -> Result<(), DayError> {
        Day::decode(encoded)?;
        self.put(day, encoded.into());
        Ok(())
    }

    /// The numbers of the days that have changed, in days since the beginning of the times.
    pub fn changed(&self) -> impl Iterator<Item = u64> {
        self.changed.iter().copied()
    }

    /// What has changed is kept elsewhere now.
    pub fn forget_changed(&mut self) {
        self.changed.clear();
    }

    /// A day, encoded.
    #[must_use]
    pub fn encoded(&self, number: u64) -> Option<Vec<u8>> {
        match &self.open {
            Some((open, day)) if *open == number => Some(day.encode()),
            _ => self
                .position(number)
                .ok()
                .and_then(|at| self.days.get(at))
                .map(|(_, day)| day.to_vec()),
        }
    }

    /// How many days there are data of.
    #[must_use]
    pub fn days(&self) -> usize {
        self.days.len() + usize::from(self.open.is_some())
    }

    /// Bytes that it takes in memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let kept: usize =
            self.days.iter().map(|(_, day)| day.len() + size_of::<(u64, Box<[u8]>)>()).sum();
        kept + size_of::<Self>()
    }

    fn position(&self, number: u64) -> Result<usize, usize> {
        self.days.binary_search_by_key(&number, |(number, _)| *number)
    }

    fn put(&mut self, number: u64, encoded: Box<[u8]>) {
        match self.position(number) {
            Ok(at) => {
                if let Some((_, day)) = self.days.get_mut(at) {
                    *day = encoded;
                }
            }
            Err(at) => self.days.insert(at, (number, encoded)),
        }
    }

    fn decoded(&self, number: u64) -> Option<Day> {
        match &self.open {
            Some((open, day)) if *open == number => Some(day.clone()),
            _ => {
                let (_, encoded) = self.days.get(self.position(number).ok()?)?;
                Day::decode(encoded).ok()
            }
        }
    }

    /// Changes the day of a quarter.
    fn edit(&mut self, quarter: u64, change: impl FnOnce(&mut Day)) {
        let number = day_of(quarter);
        self.changed.insert(number);
        if let Some((open, day)) = &mut self.open
            && *open == number
        {
            change(day);
            return;
        }
        let mut day = self.decoded(number).unwrap_or_default();
        change(&mut day);
        if let Ok(at) = self.position(number) {
            self.days.remove(at);
        }
        if let Some((before, mut closed)) = self.open.replace((number, day)) {
            if before < number {
                closed.forget_speeds();
            }
            self.put(before, closed.encode().into());
        }
        self.drop_beyond(HISTORY_DAYS, number);
    }

    /// Keeps so many days besides the one that is under way. By distance from `now`, a day, not by age: a clock that is wrong for a
    /// moment pushes out no day that is needed.
    pub(crate) fn drop_beyond(&mut self, days: usize, now: u64) {
        while self.days() > days + HISTORY_DAYS_SPARE {
            let farthest =
                self.days.iter().enumerate().max_by_key(|(_, (day, _))| day.abs_diff(now));
            let Some((at, _)) = farthest else { break };
            let (gone, _) = self.days.remove(at);
            self.changed.remove(&gone);
        }
    }

    pub(crate) fn raise_peak(&mut self, quarter: u64, lag: f64) {
        self.edit(quarter, |day| {
            if let Some(peak) = day.peaks.get_mut(slot_of(quarter)) {
                *peak = peak.max(Peak::of(lag));
            }
        });
    }

    pub(crate) fn peak(&self, quarter: u64) -> Peak {
        let day = match &self.open {
            Some((open, day)) if *open == day_of(quarter) => return slot(day, quarter),
            _ => self.decoded(day_of(quarter)),
        };
        day.map_or(Peak::UNKNOWN, |day| slot(&day, quarter))
    }

    pub(crate) fn mark_excursion(&mut self, quarter: u64, is: bool) {
        if self.peak(quarter).is_excursion() != is {
            self.edit(quarter, |day| {
                if let Some(peak) = day.peaks.get_mut(slot_of(quarter)) {
                    *peak = peak.with_excursion(is);
                }
            });
        }
    }

    pub(crate) fn accept(&mut self, quarter: u64, lag: f64) {
        self.edit(quarter, |day| day.accepted = day.accepted.max(Peak::of(lag)));
    }

    pub(crate) fn block(&self, quarter: u64) -> Block {
        let day = self.decoded(day_of(quarter)).unwrap_or_default();
        day.blocks.get(slot_of(quarter) / BLOCK_QUARTERS).copied().unwrap_or(Block::UNKNOWN)
    }

    pub(crate) fn edit_block(&mut self, quarter: u64, change: impl FnOnce(&mut Block)) {
        self.edit(quarter, |day| {
            if let Some(block) = day.blocks.get_mut(slot_of(quarter) / BLOCK_QUARTERS) {
                change(block);
            }
        });
    }

    /// The last days as seen from a quarter.
    pub(crate) fn timeline(&self, now: u64, days: usize) -> Timeline {
        let today = day_of(now);
        let mut timeline = Timeline::new(now);
        for back in 0..=days as u64 + 1 {
            let Some(number) = today.checked_sub(back) else { break };
            let Some(day) = self.decoded(number) else { continue };
            let quarters = number * DAY_QUARTERS as u64;
            for (quarter, peak) in (quarters..).zip(day.peaks) {
                timeline.put_peak(quarter, peak);
            }
            let blocks = number * DAY_BLOCKS as u64;
            for (block, kept) in (blocks..).zip(day.blocks) {
                timeline.put_block(block, kept);
            }
            if let Some(level) = day.accepted.messages() {
                timeline.put_accepted(back, level);
            }
        }
        timeline
    }
}

fn slot(day: &Day, quarter: u64) -> Peak {
    day.peaks.get(slot_of(quarter)).copied().unwrap_or(Peak::UNKNOWN)
}
