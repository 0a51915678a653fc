//! Whether a queue that is never empty becomes longer, week by week.

use crate::limits::{
    GROWTH_CERTAINTY, GROWTH_MESSAGES_MIN, GROWTH_STEADY_SHARE, GROWTH_WEEK_RATIO,
};

const WEEK: usize = 7;

/// Whether the lowest lag of each day, the newest first, has grown for two weeks.
///
/// Each day must be higher than the same day a week before, so that weekdays that differ are no growth. That one step up is none
/// either, three weeks tell for certain: then both the last week and the one before have grown. Two weeks tell when days
/// follow one line upwards.
pub(crate) fn is_growing(floors: &[f64]) -> bool {
    let Some(days) = floors.get(..2 * WEEK) else { return false };
    let Some(now) = week_growth(days) else { return false };
    let before = floors.get(WEEK..3 * WEEK).and_then(week_growth);
    if before.is_some_and(|before| before >= GROWTH_STEADY_SHARE * now) {
        return true;
    }
    let (week, last) = days.split_at(WEEK);
    let is_steady = |week: &[f64]| growth(week).0 * WEEK as f64 >= GROWTH_STEADY_SHARE * now;
    is_steady(week) && is_steady(last) && certainty(days) >= GROWTH_CERTAINTY
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

/// The growth a day of the logarithms, the newest first, and its standard error.
fn growth(days: &[f64]) -> (f64, f64) {
    let count = days.len() as f64;
    let points = || {
        days.iter()
            .rev()
            .enumerate()
            .map(|(day, floor)| (day as f64 - (count - 1.0) / 2.0, floor.ln()))
    };
    let mean = points().map(|(_, level)| level).sum::<f64>() / count;
    let square = points().map(|(day, _)| day * day).sum::<f64>();
    let slope = points().map(|(day, level)| day * level).sum::<f64>() / square;
    let residual = points().map(|(day, level)| (level - mean - slope * day).powi(2)).sum::<f64>()
        / (count - 2.0);
    (slope, (residual / square).sqrt())
}

/// How many times its standard error the growth is.
fn certainty(days: &[f64]) -> f64 {
    let (slope, error) = growth(days);
    slope / error.max(1e-6)
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
        assert!(!is_growing(&days(f64::from)), "it was empty");
        assert!(!is_growing(&days(|day| 1000.0 * 1.03_f64.powi(-day))), "it becomes shorter");
        assert!(!is_growing(&[1.0, 2.0]), "too young");
    }
}
