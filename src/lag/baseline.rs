//! What is normal for a queue at a time of day.

use crate::growth;
use crate::limits::{
    AGE_SECONDS_MIN, DRAIN_SECONDS_MIN, HISTORY_DAYS, LINE_MESSAGES_MIN, LINE_WORK_SECONDS_MIN,
    PAUSE_SECONDS_MIN, PROVISIONAL_DAYS_MIN, PROVISIONAL_FACTOR, STALL_SECONDS_MIN, TIMES_DAYS_MIN,
    TIMES_FACTOR, TRUSTED_DAYS_MIN, USUAL_PAUSE_FACTOR,
};
use crate::settings::Settings;
use crate::timeline::{Taking, Timeline};

const BLOCK_SECONDS: f64 = 7200.0;
/// Days of history from which on what was seen once weighs little.
const OLD_DAYS: usize = 14;
/// What recurs once a month was seen so many days ago.
const MONTH_DAYS: std::ops::RangeInclusive<usize> = 27..=32;

/// How far a history is to be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// It is too young: there is no alert line.
    #[default]
    None,
    /// Some days: the line is far above what was seen.
    Provisional,
    /// A week and more.
    Trusted,
}

impl Confidence {
    /// Its name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Provisional => "provisional",
            Self::Trusted => "trusted",
        }
    }
}

/// What is normal for a queue at a time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Baseline {
    /// How far it is to be trusted.
    pub confidence: Confidence,
    /// Days with data that it rests on.
    pub days: usize,
    /// The highest lag that is normal now.
    pub normal_peak: Option<f64>,
    /// The highest lag that is normal at any time of day.
    pub day_peak: Option<f64>,
    /// Lag above this is not normal.
    pub line: Option<f64>,
    /// The longest drain time, the oldest age and the longest pause that are normal, in seconds.
    pub(crate) drain: Option<f64>,
    pub(crate) age: Option<f64>,
    pub(crate) pause: Option<f64>,
    /// The time within which 99 of 100 deliveries are settled, in seconds, and whether some days have told it.
    pub(crate) service: Option<f64>,
    pub(crate) is_service_old: bool,
    /// Whether its messages are settled by consumers.
    pub is_worked_on: bool,
    /// Whether the queue is never empty and has become longer.
    pub(crate) is_growing: bool,
}

impl Baseline {
    pub(crate) fn of(timeline: &Timeline, settings: &Settings) -> Self {
        let mut day_peaks = timeline.days();
        let days = day_peaks.len();
        let mut this = Self { days, ..Self::default() };
        let accepted = timeline.accepted(settings.learn_days);
        let since =
            timeline.accepted_days_ago().filter(|ago| *ago < u64::from(settings.learn_days));
        this.learn_service(timeline, since);
        if days < TRUSTED_DAYS_MIN && accepted.is_none() {
            if days >= PROVISIONAL_DAYS_MIN {
                let highest = day_peaks.into_iter().fold(0.0, f64::max);
                this.confidence = Confidence::Provisional;
                this.normal_peak = Some(highest);
                this.day_peak = Some(highest);
                this.line = Some((PROVISIONAL_FACTOR * highest).max(spread(highest)));
            }
            return this;
        }
        this.confidence = Confidence::Trusted;
        let now = same_time_peak(timeline, settings).unwrap_or(0.0);
        let known_now = (1..=HISTORY_DAYS)
            .filter(|days| timeline.same_time(*days, Taking::Normal).is_some())
            .count();
        let day = usual_peak(&mut day_peaks).max(now);
        // Between this time of day and the busiest one, in ratio: a peak that comes at another time than usual is less
        // of an incident than one that never comes.
        let season = if known_now < PROVISIONAL_DAYS_MIN { day } else { (now * day).sqrt() };
        let normal = season.max(accepted.unwrap_or(0.0));
        let rate = usual_peak(&mut timeline.days_of(|block| block.settled)) / BLOCK_SECONDS;
        this.is_worked_on = rate > 0.0;
        this.normal_peak = Some(normal);
        this.day_peak = Some(day.max(normal));
        this.line = Some(
            (settings.line_factor * normal).max(spread(normal)).max(LINE_WORK_SECONDS_MIN * rate),
        );
        let times = |of: fn(&crate::day::Block) -> crate::level::Coarse| {
            let mut days = timeline.days_of(of);
            let usual = (days.len() >= TIMES_DAYS_MIN).then(|| usual_peak(&mut days));
            let accepted = since.and_then(|since| timeline.highest_since(since, of));
            Some(usual?.max(accepted.unwrap_or(0.0)))
        };
        this.drain = times(|block| block.drain);
        this.age = times(|block| block.age);
        this.pause = times(|block| block.pause);
        this.is_growing = growth::is_growing(&timeline.floors());
        this
    }

    /// The longest service time of most days; of a young queue the longest that was seen. `since` is how many days ago a person
    /// called the present normal.
    fn learn_service(&mut self, timeline: &Timeline, since: Option<u64>) {
        let mut days = timeline.days_of(|block| block.service);
        self.is_service_old = days.len() >= TIMES_DAYS_MIN;
        let since = if self.is_service_old { since } else { Some(TIMES_DAYS_MIN as u64) };
        let usual = self.is_service_old.then(|| usual_peak(&mut days));
        let highest = since.and_then(|since| timeline.highest_since(since, |block| block.service));
        let milliseconds = [usual, highest].into_iter().flatten().reduce(f64::max);
        self.service = milliseconds.map(|milliseconds| milliseconds / 1000.0);
    }

    /// Takes the service time of the present two hours while no days have told it.
    pub(crate) fn raise_young_service(&mut self, now: Option<f64>) {
        if !self.is_service_old {
            self.service = [self.service, now].into_iter().flatten().reduce(f64::max);
        }
    }

    pub(crate) fn drain_line(&self) -> Option<f64> {
        self.drain.map(|normal| (TIMES_FACTOR * normal).max(DRAIN_SECONDS_MIN))
    }

    pub(crate) fn age_line(&self) -> Option<f64> {
        self.age.map(|normal| (TIMES_FACTOR * normal).max(AGE_SECONDS_MIN))
    }

    pub(crate) fn pause_line(&self) -> Option<f64> {
        self.pause.map(|normal| (TIMES_FACTOR * normal).max(PAUSE_SECONDS_MIN))
    }

    /// Three service times, in seconds; `None` while none is known.
    pub(crate) fn service_line(&self) -> Option<f64> {
        self.service.map(|service| TIMES_FACTOR * service)
    }

    /// A pause that is longer is a stall, in seconds. `expected` is how long the pace before the pause lets one expect it, which
    /// counts where no service time is known; `None` when neither service time nor usual pauses are known.
    pub(crate) fn stall_line(&self, expected: f64) -> Option<f64> {
        let Some(line) = self.service_line() else {
            return self.pause_line().map(|line| line.max(expected));
        };
        let least = if self.is_service_old { STALL_SECONDS_MIN } else { PAUSE_SECONDS_MIN };
        let usual = USUAL_PAUSE_FACTOR * self.pause.unwrap_or(0.0);
        Some(line.max(usual).max(least))
    }
}

/// How far a small queue strays from its normal peak: messages that come independently of each other vary by the square
/// root of their number.
fn spread(normal: f64) -> f64 {
    (normal + 3.0 * normal.sqrt() + 5.0).max(LINE_MESSAGES_MIN)
}

/// The peak that is usual among those of many days.
///
/// What half of the days reach counts in full; what fewer reach counts for less, the rarer the less: so a batch on some nights
/// of the week is normal, and a day that was busier than all others is nearly forgotten. Never falls when a day's peak rises.
fn usual_peak(days: &mut [f64]) -> f64 {
    days.sort_by(|a, b| b.total_cmp(a));
    let count = days.len();
    let weighed = days.iter().enumerate().map(|(index, peak)| peak * weight(index + 1, count));
    weighed.fold(0.0, f64::max)
}

/// What a level weighs that `reached` of `count` days reached.
fn weight(reached: usize, count: usize) -> f64 {
    if reached == 1 && count > 1 {
        return if count < OLD_DAYS { 0.75 } else { 0.3 };
    }
    let share = reached as f64 / count as f64;
    let between = |from: (f64, f64), to: (f64, f64)| {
        from.1 + (share - from.0) / (to.0 - from.0) * (to.1 - from.1)
    };
    match share {
        _ if share >= 0.5 => 1.0,
        _ if share >= 0.2 => between((0.2, 0.9), (0.5, 1.0)),
        _ if share >= 0.05 => between((0.05, 0.75), (0.2, 0.9)),
        _ => 0.75,
    }
}

/// The usual peak around this time of day.
fn same_time_peak(timeline: &Timeline, settings: &Settings) -> Option<f64> {
    let mut all: Vec<f64> =
        (1..=HISTORY_DAYS).filter_map(|days| timeline.same_time(days, Taking::Normal)).collect();
    let usual = (!all.is_empty()).then(|| usual_peak(&mut all));
    let weekday = {
        let weeks = (7..=HISTORY_DAYS).step_by(7);
        let mut peaks: Vec<f64> =
            weeks.filter_map(|days| timeline.same_time(days, Taking::Normal)).collect();
        peaks.sort_by(f64::total_cmp);
        (peaks.len() >= 3).then(|| peaks.get((peaks.len() - 1) / 2).copied()).flatten()
    };
    // A batch that began after the first week was taken for incidents, until it has kept its rhythm for long enough.
    let learn = usize::from(settings.learn_days).clamp(1, HISTORY_DAYS);
    let rhythm = |every: usize| -> Option<f64> {
        let times: Option<Vec<f64>> = (every..=learn.max(every))
            .step_by(every)
            .map(|days| timeline.same_time(days, Taking::Batches))
            .collect();
        times?.into_iter().reduce(f64::min).map(|level| 0.9 * level)
    };
    let month =
        MONTH_DAYS.filter_map(|days| timeline.same_time(days, Taking::Batches)).reduce(f64::max);
    [usual, weekday, rhythm(7), rhythm(2), month.map(|level| 0.75 * level)]
        .into_iter()
        .flatten()
        .reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usual(days: &[f64]) -> f64 {
        usual_peak(&mut days.to_vec())
    }

    #[test]
    fn what_recurs_is_normal_and_what_came_once_is_not() {
        let nights = |every: usize| -> Vec<f64> {
            (0..35).map(|day| if day % every == 0 { 10_000.0 } else { 100.0 }).collect()
        };
        assert_eq!(usual(&[100.0; 35]), 100.0);
        assert_eq!(usual(&nights(2)), 10_000.0);
        assert!(usual(&nights(7)) > 7_500.0);
        let mut once = vec![100.0; 35];
        once[7] = 190.0;
        assert_eq!(usual(&once), 100.0);
    }

    proptest! {
        #[test]
        fn a_higher_day_never_lowers_what_is_usual(
            days in prop::collection::vec(0.0..1e6, 1..35), at in any::<prop::sample::Index>(), more in 0.0..1e6,
        ) {
            let mut higher = days.clone();
            let at = at.index(days.len());
            higher[at] += more;
            prop_assert!(usual(&higher) >= usual(&days));
        }
    }
}
