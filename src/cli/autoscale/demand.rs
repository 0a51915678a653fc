//! What the policy looks at, as `deploy/prometheus/forebay-autoscaling.yaml` computes it: how long
//! the consumers need for what is there and for what comes while the target passes.

use std::collections::VecDeque;

/// Seconds over which rates are taken.
const RATE_SECONDS: u64 = 120;
/// Seconds for which it is remembered how fast a consumer was.
const SPEED_SECONDS: u64 = 6 * 3600;
/// Seconds between two looks at how fast a consumer is.
const SPEED_INTERVAL_SECONDS: u64 = 60;
/// More than this is not told: without replicas it would be infinite.
const SECONDS_MAX: f64 = 3600.0;

/// A scrape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) seconds: u64,
    pub(super) lag: f64,
    /// Ever.
    pub(super) published: f64,
    /// Ever.
    pub(super) acked: f64,
    pub(super) consumers: u32,
}

/// What Prometheus remembers.
#[derive(Debug, Default)]
pub(super) struct Demand {
    samples: VecDeque<Sample>,
    /// When how fast a consumer was.
    speeds: VecDeque<(u64, f64)>,
}

impl Demand {
    /// The time needed, in seconds, `horizon` being the target.
    pub(super) fn seconds(&mut self, sample: Sample, horizon: f64) -> f64 {
        let now = sample.seconds;
        self.samples.retain(|old| old.seconds + RATE_SECONDS >= now);
        self.samples.push_back(sample);
        let oldest = self.samples.front().copied().unwrap_or(sample);
        let elapsed = (now - oldest.seconds) as f64;
        let rate = |total: fn(&Sample) -> f64| {
            if elapsed > 0.0 { (total(&sample) - total(&oldest)) / elapsed } else { 0.0 }
        };
        if now.is_multiple_of(SPEED_INTERVAL_SECONDS) {
            let consumers = self.samples.iter().map(|sample| sample.consumers).max().unwrap_or(0);
            self.speeds.retain(|(when, _)| when + SPEED_SECONDS >= now);
            if consumers > 0 {
                let speed = rate(|sample| sample.acked) / f64::from(consumers);
                self.speeds.push_back((now, speed));
            }
        }
        let speed = self.speeds.iter().map(|(_, speed)| *speed).fold(0.0, f64::max);
        let capacity = speed * f64::from(sample.consumers);
        let needed = match (capacity > 0.0, sample.lag > 0.0) {
            (true, _) => (sample.lag + horizon * rate(|sample| sample.published)) / capacity,
            (false, true) => f64::INFINITY,
            (false, false) => 0.0,
        };
        needed.min(SECONDS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: u64, lag: f64, published: f64, consumers: u32) -> Sample {
        Sample { seconds, lag, published, acked: published - lag, consumers }
    }

    #[test]
    fn the_formula_is_that_of_the_rules() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/forebay-autoscaling.yaml");
        let rules = std::fs::read_to_string(path).unwrap();
        let hours = SPEED_SECONDS / 3600;
        let rate = format!(
            "forebay_queue_messages_acked_total{{queue!~\".+[.]dlq\"}}[{}m]",
            RATE_SECONDS / 60
        );
        let speed = format!("rate2m_per_consumer[{hours}h]");
        let interval = format!("interval: {}m", SPEED_INTERVAL_SECONDS / 60);
        let clamp = format!(", {SECONDS_MAX})");
        for part in [rate, speed, interval, clamp, "+ 60 * rate".to_owned()] {
            assert!(rules.contains(&part), "no '{part}'");
        }
    }

    #[test]
    fn consumers_that_just_keep_up_need_the_horizon() {
        let mut demand = Demand::default();
        let mut at = |second: u64, consumers| {
            demand.seconds(sample(second, 0.0, 10.0 * second as f64, consumers), 60.0)
        };
        for second in (0..=120).step_by(15) {
            at(second, 1);
        }
        assert!((at(135, 1) - 60.0).abs() < 0.001);
        assert!((at(150, 2) - 30.0).abs() < 0.001, "twice as many need half the time");
    }

    #[test]
    fn lag_without_anybody_is_endless_and_nothing_at_all_needs_no_time() {
        let mut demand = Demand::default();
        assert_eq!(demand.seconds(sample(0, 0.0, 0.0, 0), 60.0), 0.0);
        assert_eq!(demand.seconds(sample(15, 5.0, 5.0, 0), 60.0), SECONDS_MAX);
    }
}
