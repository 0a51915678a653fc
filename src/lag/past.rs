//! How lag was in the past, and what was normal then: for people who look at a chart.

use crate::baseline::Baseline;
use crate::history::History;
use crate::limits::{DAY_QUARTERS, HISTORY_DAYS, PAST_POINTS_MAX, QUARTER_SECONDS};
use crate::settings::Settings;

/// A part of the past, some quarters of an hour long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PastLag {
    /// When it began.
    pub at: u64,
    /// The highest lag in it; `None` when nobody watched, or nothing was learnt because the queue was paused.
    pub peak: Option<f64>,
    /// The highest lag that was normal at its end, as the history tells now; `None` where that was too young then.
    pub normal_peak: Option<f64>,
    /// Lag above this was not normal; `None` as for `normal_peak`.
    pub line: Option<f64>,
}

/// The past of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// Seconds from one part to the next.
    pub step_seconds: u64,
    /// The parts, the oldest first, without a gap.
    pub parts: Vec<PastLag>,
}

impl History {
    /// The last `days` before a moment, at most [`HISTORY_DAYS`], in at most [`PAST_POINTS_MAX`] parts of the same
    /// length.
    #[must_use]
    pub fn past(&self, now: u64, days: usize, settings: &Settings) -> Past {
        let quarters = days.clamp(1, HISTORY_DAYS) * DAY_QUARTERS;
        let step = quarters.div_ceil(PAST_POINTS_MAX) as u64;
        let step_seconds = step * QUARTER_SECONDS;
        // A part begins at a multiple of its length, so that it stays the same while time goes on.
        let end = (now / step_seconds + 1) * step;
        let begin = end.saturating_sub(quarters as u64).next_multiple_of(step);
        let parts = (begin..end).step_by(step as usize).map(|quarter| {
            let part = quarter..quarter + step;
            let peaks = part.clone().filter_map(|quarter| self.peak(quarter).messages());
            let last = part.end.min(now / QUARTER_SECONDS + 1).saturating_sub(1);
            let baseline = self.baseline(last, settings);
            PastLag {
                at: quarter * QUARTER_SECONDS,
                peak: peaks.reduce(f64::max),
                normal_peak: baseline.normal_peak,
                line: baseline.line,
            }
        });
        Past { step_seconds, parts: parts.collect() }
    }

    /// What was normal in a quarter.
    fn baseline(&self, quarter: u64, settings: &Settings) -> Baseline {
        let days = usize::from(settings.history_days).min(HISTORY_DAYS);
        let mut timeline = self.timeline(quarter, days);
        timeline.drop_long_excursions();
        Baseline::of(&timeline, settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;
    use crate::sample::Sample;
    use crate::watch::QueueWatch;

    const DAY: u64 = 86_400;

    /// 100 messages for twelve days, and 900 in the last two hours of the eleventh.
    fn watched() -> QueueWatch {
        let mut watch = QueueWatch::default();
        for at in (0..12 * DAY).step_by(300) {
            let lag = if (11 * DAY - 7200..11 * DAY).contains(&at) { 900.0 } else { 100.0 };
            let sample = Sample { at, lag, ..Sample::default() };
            watch.observe(&sample, Role::Work, &Settings::default());
        }
        watch
    }

    #[test]
    fn a_day_is_told_in_quarters_with_what_was_normal_then() {
        let watch = watched();
        let past = watch.history().past(11 * DAY - 1, 1, &Settings::default());
        assert_eq!((past.step_seconds, past.parts.len()), (900, 96));
        assert_eq!((past.parts[0].at, past.parts[95].at), (10 * DAY, 11 * DAY - 900));
        let above = past.parts.iter().filter(|part| part.peak > part.line).count();
        assert_eq!(above, 8, "two hours");
        let line = past.parts.iter().map(|part| (part.normal_peak, part.line));
        assert!(line.clone().all(|line| line == (Some(100.0), Some(200.0))), "{past:?}");
    }

    #[test]
    fn five_weeks_have_a_bounded_number_of_parts_and_what_nobody_watched_is_not_told() {
        let watch = watched();
        let past = watch.history().past(12 * DAY - 1, HISTORY_DAYS, &Settings::default());
        assert!(past.parts.len() <= PAST_POINTS_MAX && past.step_seconds.is_multiple_of(900));
        assert!(past.parts.windows(2).all(|two| two[1].at - two[0].at == past.step_seconds));
        let highest = past.parts.iter().filter_map(|part| part.peak).fold(0.0, f64::max);
        assert!((880.0..920.0).contains(&highest), "{highest}");
        let long_ago = History::default().past(12 * DAY, 7, &Settings::default());
        assert!(long_ago.parts.iter().all(|part| part.peak.is_none() && part.line.is_none()));
    }

    #[test]
    fn the_beginning_of_time_is_no_trouble() {
        let past = History::default().past(0, 35, &Settings::default());
        assert!(past.parts.len() <= PAST_POINTS_MAX);
    }
}
