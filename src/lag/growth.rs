//! Whether a queue that is never empty becomes longer, week by week.

use crate::limits::{
    GROWTH_CERTAINTY, GROWTH_MESSAGES_MIN, GROWTH_STEADY_SHARE, GROWTH_STEP_RATIO,
    GROWTH_WEEK_RATIO,
};

const WEEK: usize = 7;

/// Whether the lowest lag of each day, the newest first, has grown for two weeks.
///
/// Each day must be higher than the same day a week before, so that weekdays that differ are no growth. That one step up is none
/// either, three weeks tell for certain: then both the last week and the one before have grown. Two weeks tell when days
/// follow one line upwards, and more closely than they follow any single step.
pub(crate) fn is_growing(floors: &[f64]) -> bool {
    let Some(days) = floors.get(..2 * WEEK) else { return false };
    let Some(now) = week_growth(days) else { return false };
    let before = floors.get(WEEK..3 * WEEK).and_then(week_growth);
    if before.is_some_and(|before| before >= GROWTH_STEADY_SHARE * now) {
        return true;
    }
    let logarithms: Vec<f64> = days.iter().rev().map(|floor| floor.ln()).collect();
    let line = Line::through(&logarithms);
    line.certainty >= GROWTH_CERTAINTY
        && GROWTH_STEP_RATIO * line.residual <= step_residual(&logarithms)
}

/// By how much, as a logarithm, the first of two weeks is higher than the second; `None` when not each day is, or the queue was
/// empty.
fn week_growth(days: &[f64]) -> Option<f64> {
    let (week, before) = days.split_at_checked(WEEK)?;
    let pairs = || week.iter().zip(before.iter().take(WEEK));
    let is_never_empty = days.iter().all(|floor| *floor >= GROWTH_MESSAGES_MIN);
    let has_risen = pairs().all(|(now, then)| *now >= GROWTH_WEEK_RATIO * then);
    (is_never_empty && has_risen)
        .then(|| pairs().map(|(now, then)| (now / then).ln()).sum::<f64>() / WEEK as f64)
}

/// The line that lies nearest to levels that follow each other day by day.
struct Line {
    /// How many times its standard error the slope is.
    certainty: f64,
    /// The sum of the squares of what the levels are away from it.
    residual: f64,
}

impl Line {
    fn through(levels: &[f64]) -> Self {
        let count = levels.len() as f64;
        let mean = levels.iter().sum::<f64>() / count;
        let points = || {
            levels
                .iter()
                .enumerate()
                .map(|(day, level)| (day as f64 - (count - 1.0) / 2.0, level - mean))
        };
        let square = points().map(|(day, _)| day * day).sum::<f64>();
        let slope = points().map(|(day, level)| day * level).sum::<f64>() / square;
        let residual = points().map(|(day, level)| (level - slope * day).powi(2)).sum::<f64>();
        let error = (residual / (count - 2.0) / square).sqrt();
        Self { certainty: slope / error.max(1e-6), residual }
    }
}

/// What levels are away from the one step that lies nearest to them.
fn step_residual(levels: &[f64]) -> f64 {
    let of_mean = |levels: &[f64]| {
        let mean = levels.iter().sum::<f64>() / levels.len().max(1) as f64;
        levels.iter().map(|level| (level - mean).powi(2)).sum::<f64>()
    };
    let steps = (1..levels.len()).filter_map(|at| levels.split_at_checked(at));
    steps.map(|(before, after)| of_mean(before) + of_mean(after)).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(of: impl Fn(i32) -> f64) -> Vec<f64> {
        (0..14).rev().map(of).collect()
    }

    #[test]
    fn growth_of_three_percent_a_day_is_seen_within_two_weeks_and_steps_and_weekdays_are_none() {
        assert!(is_growing(&days(|day| 1000.0 * 1.03_f64.powi(day))));
        assert!(!is_growing(&days(|_| 1000.0)));
        assert!(!is_growing(&days(|day| if day < 7 { 1000.0 } else { 1500.0 })), "a step");
        assert!(!is_growing(&days(|day| 1000.0 * f64::from(1 + day % 7))), "weekdays");
        for step in 1..13 {
            let level = |day| if day < step { 1000.0 } else { 1300.0 + f64::from(day % 3) };
            assert!(!is_growing(&days(level)), "a step on day {step}");
        }
        assert!(!is_growing(&days(f64::from)), "it was empty");
        assert!(!is_growing(&days(|day| 1000.0 * 1.03_f64.powi(-day))), "it becomes shorter");
        assert!(!is_growing(&[1.0, 2.0]), "too young");
    }
}
