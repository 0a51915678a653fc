//! How fast a queue is worked off.

use crate::limits::{
    FALL_SECONDS, PACE_AVERAGE_SECONDS, PAUSE_MESSAGES_MIN, TIMES_SECONDS_MAX,
    UNWATCHED_SECONDS_MAX,
};
use crate::sample::Sample;
use std::collections::VecDeque;

/// Seconds between two marks of lag.
const MARK_SECONDS: u64 = 300;
/// Lag that fell by less than this share in the time looked at did not fall.
const FALL_SHARE_MIN: f64 = 0.002;

/// How fast a queue is worked off, and since when it is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    last: Option<u64>,
    /// Settled messages a second, where they are counted.
    rate: Option<f64>,
    /// Lag of the last hour, the oldest first.
    marks: VecDeque<(u64, f64)>,
    /// When a message was settled last, or there began to be something to settle.
    quiet_since: Option<u64>,
    /// The rate then.
    rate_before: Option<f64>,
}

/// A time without a settlement while there was something to settle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pause {
    pub(crate) seconds: f64,
    /// Something was settled since the last sample.
    pub(crate) is_over: bool,
}

impl Pace {
    /// Takes a sample; gives the pause that it ended or prolonged, when there is something to do.
    pub(crate) fn observe(&mut self, sample: &Sample) -> Option<Pause> {
        let elapsed = self.last.map(|last| sample.at.saturating_sub(last));
        self.last = Some(sample.at);
        if elapsed.is_some_and(|elapsed| elapsed > UNWATCHED_SECONDS_MAX) {
            self.marks.clear();
            self.quiet_since = None;
        }
        if sample.is_paused {
            // Neither slow nor a stall: consumers are given nothing.
            self.marks.clear();
            self.quiet_since = None;
            return None;
        }
        if let (Some(settled), Some(elapsed @ 1..)) = (sample.settled, elapsed) {
            let seconds = elapsed as f64;
            let now = settled / seconds;
            let weight = 1.0 - (-seconds / PACE_AVERAGE_SECONDS).exp();
            let is_idle = settled <= 0.0 && sample.lag <= 0.0;
            if !is_idle {
                self.rate = Some(self.rate.map_or(now, |mean| mean + weight * (now - mean)));
            }
        }
        if self.marks.back().is_none_or(|(at, _)| sample.at.saturating_sub(*at) >= MARK_SECONDS) {
            self.marks.push_back((sample.at, sample.lag));
        }
        while self.marks.get(1).is_some_and(|(at, _)| sample.at.saturating_sub(*at) >= FALL_SECONDS)
        {
            self.marks.pop_front();
        }
        let Some(settled) = sample.settled else {
            // Something may have been settled since the last sample.
            self.quiet_since = None;
            return None;
        };
        if sample.lag <= 0.0 {
            self.quiet_since = None;
            return None;
        }
        let since = *self.quiet_since.get_or_insert(sample.at);
        let is_over = settled > 0.0;
        if is_over || since == sample.at {
            self.quiet_since = Some(sample.at);
            self.rate_before = self.rate;
        }
        Some(Pause { seconds: sample.at.saturating_sub(since) as f64, is_over })
    }

    /// Seconds in which messages would have been settled at the pace before the pause.
    pub(crate) fn pause_expected(&self) -> f64 {
        self.rate_before.map_or(0.0, |rate| {
            (PAUSE_MESSAGES_MIN / rate.max(f64::MIN_POSITIVE)).min(TIMES_SECONDS_MAX)
        })
    }

    /// Seconds until the queue is empty at the present rate of settlements or, where they are not counted, as lag falls;
    /// `None` when that is not known, or lag rises.
    pub(crate) fn drain_seconds(&self, sample: &Sample) -> Option<f64> {
        if sample.lag <= 0.0 {
            return Some(0.0);
        }
        if let Some(rate) = self.rate {
            return Some((sample.lag / rate.max(f64::MIN_POSITIVE)).min(TIMES_SECONDS_MAX));
        }
        let (at, lag) = *self.marks.front()?;
        let seconds = sample.at.saturating_sub(at);
        if seconds < FALL_SECONDS {
            return None;
        }
        let fallen = lag - sample.lag;
        if fallen <= FALL_SHARE_MIN * lag {
            return None;
        }
        Some((sample.lag * seconds as f64 / fallen).min(TIMES_SECONDS_MAX))
    }
}
