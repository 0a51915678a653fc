//! What a simulation came to.

use super::simulate::Step;
use serde_json::{Value, json};
use std::fmt::Write;

/// Rows of the table, about.
const TABLE_ROWS: usize = 40;

pub(super) struct Report {
    /// One for each decision.
    pub(super) steps: Vec<Step>,
    /// Messages per second and replica.
    pub(super) speed: f64,
    pub(super) target_seconds: f64,
}

/// The whole in a few numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub(super) recorded_peak_lag: f64,
    pub(super) peak_lag: f64,
    pub(super) most_replicas: u32,
    /// Replicas, times the hours that they ran.
    pub(super) replica_hours: f64,
    /// Share of the time in which more than a tenth above the target was needed.
    pub(super) late_ratio: f64,
    /// How often replicas went after they came, or came after they went.
    pub(super) reversals: u32,
}

impl Report {
    pub(super) fn summary(&self) -> Summary {
        let most = |value: fn(&Step) -> f64| self.steps.iter().map(value).fold(0.0, f64::max);
        let late = |step: &&Step| step.needed_seconds > 1.1 * self.target_seconds;
        let count = self.steps.len().max(1) as f64;
        let pairs = self.steps.iter().zip(self.steps.iter().skip(1));
        let directions = pairs
            .map(|(before, after)| i64::from(after.replicas) - i64::from(before.replicas))
            .filter(|change| *change != 0)
            .map(i64::signum);
        let mut last = None;
        let reversals =
            directions.filter(|now| last.replace(*now).is_some_and(|last| last != *now));
        Summary {
            reversals: reversals.count() as u32,
            recorded_peak_lag: most(|step| step.recorded_lag),
            peak_lag: most(|step| step.lag),
            most_replicas: self.steps.iter().map(|step| step.replicas).max().unwrap_or(0),
            replica_hours: self.replica_seconds() / 3600.0,
            late_ratio: self.steps.iter().filter(late).count() as f64 / count,
        }
    }

    fn replica_seconds(&self) -> f64 {
        let mut before = 0;
        let mut sum = 0.0;
        for step in &self.steps {
            sum += (step.seconds - before) as f64 * f64::from(step.replicas);
            before = step.seconds;
        }
        sum
    }

    pub(super) fn json(&self) -> Value {
        let summary = self.summary();
        let steps = self.steps.iter().map(|step| {
            json!({
                "seconds": step.seconds,
                "arrivals_per_second": step.arrivals_per_second,
                "recorded_lag": step.recorded_lag,
                "lag": step.lag,
                "needed_seconds": step.needed_seconds,
                "wanted": step.wanted,
                "replicas": step.replicas,
            })
        });
        json!({
            "per_replica": self.speed,
            "target_seconds": self.target_seconds,
            "summary": {
                "recorded_peak_lag": summary.recorded_peak_lag,
                "peak_lag": summary.peak_lag,
                "most_replicas": summary.most_replicas,
                "replica_hours": summary.replica_hours,
                "late_ratio": summary.late_ratio,
                "reversals": summary.reversals,
            },
            "steps": steps.collect::<Vec<_>>(),
        })
    }

    pub(super) fn table(&self) -> String {
        let mut text =
            String::from("    time       in/s   recorded lag            lag   needed  replicas\n");
        // Every so many; what replicas did in between shows in the next row.
        let every = self.steps.len().div_ceil(TABLE_ROWS).max(1);
        for step in self.steps.iter().skip(every - 1).step_by(every) {
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "{:>8} {:>10.1} {:>14.0} {:>14.0} {:>7.0}s {:>9}  {}",
                clock(step.seconds),
                step.arrivals_per_second,
                step.recorded_lag,
                step.lag,
                step.needed_seconds,
                step.replicas,
                "#".repeat(step.replicas.min(60) as usize),
            );
        }
        let summary = self.summary();
        let _ = writeln!(
            text,
            "\npeak lag {:.0} (recorded: {:.0}), at most {} replicas, {:.1} replica hours, above \
             the target for {:.0} % of the time, {} changes of direction\n\
             (a replica does {:.1} messages a second; target {:.0} s)",
            summary.peak_lag,
            summary.recorded_peak_lag,
            summary.most_replicas,
            summary.replica_hours,
            100.0 * summary.late_ratio,
            summary.reversals,
            self.speed,
            self.target_seconds,
        );
        text
    }
}

/// Hours, minutes and seconds.
fn clock(seconds: u64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
