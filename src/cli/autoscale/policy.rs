//! The policy of `deploy/kubernetes/hpa.yaml` and `keda.yaml`, and how Kubernetes' horizontal pod
//! autoscaler applies it: replicas in proportion to the time they need, a tolerance, a window in
//! which the highest wish stands, and how fast replicas may come and go.

use std::collections::VecDeque;

/// Seconds between two decisions.
pub(super) const SYNC_SECONDS: u64 = 15;
/// The autoscaler leaves replicas alone while the time needed is this close to its target.
const TOLERANCE: f64 = 0.1;
/// Replicas that may come in [`UP_PERIOD_SECONDS`], in percent of those that were there.
const UP_PERCENT: u32 = 100;
const UP_PERIOD_SECONDS: u64 = 30;
/// Replicas that may go in [`DOWN_PERIOD_SECONDS`], in percent of those that were there.
const DOWN_PERCENT: u32 = 25;
const DOWN_PERIOD_SECONDS: u64 = 60;
/// Replicas go only when nothing more was wanted for so long.
const DOWN_STABILIZATION_SECONDS: u64 = 300;

/// The autoscaler and what it remembers.
#[derive(Debug)]
pub(super) struct Policy {
    target_seconds: f64,
    min: u32,
    max: u32,
    /// When how many were wanted.
    wishes: VecDeque<(u64, u32)>,
    /// When how many came, or went.
    changes: VecDeque<(u64, i64)>,
}

/// What came of one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// By the time needed alone.
    pub(super) wanted: u32,
    /// With everything that slows it.
    pub(super) replicas: u32,
}

impl Policy {
    pub(super) fn new(target_seconds: f64, min: u32, max: u32) -> Self {
        Self { target_seconds, min, max, wishes: VecDeque::new(), changes: VecDeque::new() }
    }

    /// Decides at `now` (seconds), with so many replicas, so many of them ready.
    pub(super) fn decide(
        &mut self,
        now: u64,
        needed_seconds: f64,
        replicas: u32,
        ready: u32,
    ) -> Decision {
        let wanted = self.wanted(needed_seconds, replicas, ready);
        self.wishes.push_back((now, wanted));
        self.wishes.retain(|(when, _)| when + DOWN_STABILIZATION_SECONDS >= now);
        self.changes.retain(|(when, _)| when + UP_PERIOD_SECONDS.max(DOWN_PERIOD_SECONDS) > now);
        let highest = self.wishes.iter().map(|(_, wish)| *wish).max().unwrap_or(wanted);
        let stable = replicas.clamp(wanted.min(highest), highest);
        let limited = self.limit(now, stable, replicas).clamp(self.min, self.max);
        if limited != replicas {
            self.changes.push_back((now, i64::from(limited) - i64::from(replicas)));
        }
        Decision { wanted, replicas: limited }
    }

    fn wanted(&self, needed_seconds: f64, replicas: u32, ready: u32) -> u32 {
        let ratio = needed_seconds / self.target_seconds;
        if (ratio - 1.0).abs() <= TOLERANCE {
            return replicas;
        }
        ((ratio * f64::from(ready)).ceil() as u32).clamp(self.min, self.max)
    }

    /// How far it may go now.
    fn limit(&self, now: u64, wanted: u32, replicas: u32) -> u32 {
        if wanted > replicas {
            let before = self.at_start(now, UP_PERIOD_SECONDS, replicas);
            let most = before * f64::from(100 + UP_PERCENT) / 100.0;
            return wanted.min(most.ceil() as u32).max(replicas);
        }
        let before = self.at_start(now, DOWN_PERIOD_SECONDS, replicas);
        let fewest = before * f64::from(100 - DOWN_PERCENT) / 100.0;
        wanted.max(fewest as u32).min(replicas)
    }

    /// Replicas at the start of the period that ends now.
    fn at_start(&self, now: u64, period: u64, replicas: u32) -> f64 {
        let recent = self.changes.iter().filter(|(when, _)| when + period > now);
        let changed: i64 = recent.map(|(_, change)| change).sum();
        (i64::from(replicas) - changed).max(0) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str) -> String {
        let path = format!("{}/deploy/kubernetes/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_policy_is_that_of_the_manifests() {
        let up = format!("value: {UP_PERCENT}, periodSeconds: {UP_PERIOD_SECONDS}");
        let down = format!("value: {DOWN_PERCENT}, periodSeconds: {DOWN_PERIOD_SECONDS}");
        let window = format!("stabilizationWindowSeconds: {DOWN_STABILIZATION_SECONDS}");
        let series = "forebay_queue_needed_seconds".to_owned();
        for name in ["hpa.yaml", "keda.yaml"] {
            let text = manifest(name);
            for part in [&up, &down, &window, &series] {
                assert!(text.contains(part), "no '{part}' in {name}");
            }
        }
        assert!(manifest("keda.yaml").contains(&format!("pollingInterval: {SYNC_SECONDS}")));
    }

    #[test]
    fn replicas_double_at_most_and_the_target_is_kept_within_a_tolerance() {
        let mut policy = Policy::new(60.0, 1, 20);
        let decision = policy.decide(0, 3600.0, 1, 1);
        assert_eq!(decision, Decision { wanted: 20, replicas: 2 });
        // The half minute is not over: two were made of one already.
        assert_eq!(policy.decide(15, 600.0, 2, 2).replicas, 2);
        assert_eq!(policy.decide(30, 600.0, 2, 2).replicas, 4);
        // Twenty were wanted a minute ago, but what is wanted now is what is there.
        assert_eq!(policy.decide(60, 65.0, 4, 4), Decision { wanted: 4, replicas: 4 });
        assert_eq!(policy.decide(75, 90.0, 4, 4), Decision { wanted: 6, replicas: 6 });
    }

    #[test]
    fn replicas_go_only_after_five_quiet_minutes_and_then_slowly() {
        let mut policy = Policy::new(60.0, 1, 20);
        assert_eq!(policy.decide(0, 60.0, 16, 16).replicas, 16);
        for now in (15..=300).step_by(15) {
            assert_eq!(policy.decide(now, 0.0, 16, 16).replicas, 16, "{now}");
        }
        assert_eq!(policy.decide(315, 0.0, 16, 16), Decision { wanted: 1, replicas: 12 });
        assert_eq!(policy.decide(330, 0.0, 12, 12).replicas, 12);
        assert_eq!(policy.decide(375, 0.0, 12, 12).replicas, 9);
    }

    #[test]
    fn replicas_stay_between_their_bounds() {
        let mut policy = Policy::new(60.0, 2, 5);
        let mut replicas = 2;
        for round in 0..400 {
            let drain = if round < 50 { 3600.0 } else { 0.0 };
            replicas = policy.decide(round * SYNC_SECONDS, drain, replicas, replicas).replicas;
            assert!((2..=5).contains(&replicas));
            assert!(round != 49 || replicas == 5);
        }
        assert_eq!(replicas, 2);
    }
}
