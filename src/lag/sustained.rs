//! A value that moves, as what it was at least for some time.

use crate::limits::{DRAIN_HOLD_SECONDS, UNWATCHED_SECONDS_MAX};

const PARTS: usize = 3;
const PART_SECONDS: u64 = DRAIN_HOLD_SECONDS / PARTS as u64;

/// The least of a value over the last quarter of an hour.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sustained {
    since: Option<u64>,
    last: u64,
    part: u64,
    /// The least of each part, the newest first.
    least: [f64; PARTS],
}

impl Sustained {
    /// Takes the value at a moment; gives what it was at least when there was one for a quarter of an hour.
    pub(crate) fn observe(&mut self, at: u64, value: Option<f64>) -> Option<f64> {
        if at.abs_diff(self.last) > UNWATCHED_SECONDS_MAX {
            self.since = None;
        }
        self.last = at;
        let Some(value) = value else {
            self.since = None;
            return None;
        };
        let part = at / PART_SECONDS;
        if self.since.is_none() {
            *self = Self { since: Some(at), last: at, part, least: [f64::INFINITY; PARTS] };
        }
        while self.part < part {
            self.part += 1;
            self.least.rotate_right(1);
            let [newest, ..] = &mut self.least;
            *newest = f64::INFINITY;
        }
        let [newest, ..] = &mut self.least;
        *newest = newest.min(value);
        let has_lasted = at.saturating_sub(self.since?) >= DRAIN_HOLD_SECONDS;
        has_lasted.then(|| self.least.iter().copied().fold(f64::INFINITY, f64::min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_passed_over_and_a_gap_begins_anew() {
        let mut sustained = Sustained::default();
        let mut values = Vec::new();
        for minute in 0..30 {
            let value = if minute == 20 { 100.0 } else { 7.0 };
            values.push(sustained.observe(minute * 60, Some(value)));
        }
        assert!(values[..15].iter().all(Option::is_none));
        assert!(values[15..].iter().all(|value| *value == Some(7.0)));
        assert_eq!(sustained.observe(30 * 60, None), None);
        assert_eq!(sustained.observe(31 * 60, Some(7.0)), None);
    }
}
