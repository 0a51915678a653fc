//! A recorded lag as work: what came in, row by row, and how fast a consumer was.

use crate::cli::recording::Recording;
use forebay_lag::Sample;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    /// From any beginning; ascending.
    pub(super) seconds: f64,
    /// Messages that were not done.
    pub(super) lag: f64,
    /// Messages a second that came in since the row before.
    pub(super) arrivals_per_second: f64,
}

/// A recorded lag.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trace {
    pub(super) rows: Vec<Row>,
    /// Messages per second that one consumer does while there is something to do: the median; `None` when that is not to be
    /// seen.
    pub(super) speed: Option<f64>,
}

impl Trace {
    /// What a recording tells.
    ///
    /// # Errors
    /// A text that says what is missing.
    pub(super) fn of(recording: &Recording) -> Result<Self, String> {
        let Recording { queue, samples, .. } = recording;
        if samples.len() < 2 {
            return Err(format!("'{queue}': {} samples; expected at least two", samples.len()));
        }
        if samples.iter().all(|sample| sample.settled.is_none() && sample.arrived.is_none()) {
            return Err(format!(
                "'{queue}': the recording tells neither how many messages were settled nor how many came; expected a series as 'acked_per_second'"
            ));
        }
        let first = samples.first().map(|sample| Row {
            seconds: sample.at as f64,
            lag: sample.lag,
            arrivals_per_second: 0.0,
        });
        let pairs = || samples.iter().zip(samples.iter().skip(1));
        let rows = pairs().map(|(before, sample)| Row {
            seconds: sample.at as f64,
            lag: sample.lag,
            arrivals_per_second: arrivals(before, sample) / elapsed(before, sample),
        });
        let busy = pairs().filter(|(before, sample)| before.lag > 0.0 && sample.lag > 0.0);
        let mut speeds: Vec<f64> = busy
            .filter_map(|(before, sample)| {
                Some(sample.settled? / elapsed(before, sample) / sample.consumers?)
            })
            .filter(|speed| speed.is_finite() && *speed > 0.0)
            .collect();
        speeds.sort_by(f64::total_cmp);
        let speed = speeds.get(speeds.len() / 2).copied();
        Ok(Self { rows: first.into_iter().chain(rows).collect(), speed })
    }
}

fn elapsed(before: &Sample, sample: &Sample) -> f64 {
    sample.at.saturating_sub(before.at).max(1) as f64
}

/// What came in between two samples: what lag grew by and what was settled. Where the latter is not told, what came as it was
/// counted; where neither is, as over a gap, the growth alone.
fn arrivals(before: &Sample, sample: &Sample) -> f64 {
    let grown = sample.lag - before.lag;
    match (sample.settled, sample.arrived) {
        (Some(settled), _) => grown + settled,
        (None, Some(arrived)) => arrived,
        (None, None) => grown,
    }
    .max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(rows: &[(u64, f64, Option<f64>)]) -> Result<Trace, String> {
        let samples = rows.iter().map(|(at, lag, settled)| Sample {
            at: *at,
            lag: *lag,
            settled: *settled,
            consumers: Some(2.0),
            ..Sample::default()
        });
        Trace::of(&Recording {
            queue: "orders".to_owned(),
            samples: samples.collect(),
            hold_times: Vec::new(),
        })
    }

    fn arrivals(trace: &Trace) -> Vec<f64> {
        trace.rows.iter().skip(1).map(|row| row.arrivals_per_second).collect()
    }

    #[test]
    fn what_came_in_is_what_the_lag_grew_by_and_what_was_done() {
        let idle = trace(&[(0, 0.0, None), (60, 600.0, Some(600.0)), (120, 0.0, Some(1800.0))]);
        let idle = idle.unwrap();
        assert_eq!(arrivals(&idle), [20.0, 20.0]);
        assert_eq!(idle.speed, None, "it was never busy from one row to the next");
        let busy = trace(&[(0, 9.0, None), (60, 9.0, Some(600.0)), (120, 9.0, Some(1800.0))]);
        assert_eq!(busy.unwrap().speed, Some(15.0));
        let gap = trace(&[(0, 9.0, None), (60, 9.0, Some(600.0)), (6060, 69.0, None)]).unwrap();
        assert_eq!(arrivals(&gap), [10.0, 0.01]);
    }

    #[test]
    fn what_is_missing_is_told() {
        assert!(trace(&[(0, 1.0, None)]).unwrap_err().contains("at least two"));
        let lag_alone = trace(&[(0, 1.0, None), (60, 1.0, None)]).unwrap_err();
        assert!(lag_alone.contains("'orders'") && lag_alone.contains("acked_per_second"));
    }
}
