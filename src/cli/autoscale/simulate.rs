//! `forebay autoscale simulate`: a queue, its consumers and the autoscaler, second by second.

use super::policy::{Policy, SYNC_SECONDS};
use super::report::Report;
use super::trace::Trace;
use crate::cli::duration::duration;
use crate::cli::output::{Format, Output, csv_of};
use crate::cli::recording::{self, Recording};
use crate::cli::target::{self, Answer, Fault, print};
use clap::Args;
use forebay_lag::{Demand, Sample};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Most seconds that a trace may cover: five weeks.
const TRACE_SECONDS_MAX: f64 = 35.0 * 86_400.0;

/// Replay a recorded lag against the policy of deploy/kubernetes/, and show the replicas over time
///
/// The trace tells what came in; consumers come and go as the policy says, which looks at the time
/// that they need for what is there and what comes next.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The files are those of `lag replay`: comma-separated values with headings, as time, lag, acked_per_second and consumers, or answers of Prometheus to a range of time. docs/reference/metrics.md says how to get them.

Examples:
  forebay autoscale simulate deploy/kubernetes/traces/spike.csv
  forebay autoscale simulate --target 30s --max 40 deploy/kubernetes/traces/day.csv
  forebay autoscale simulate --per-replica 25 --json orders.json")]
pub(crate) struct Simulate {
    /// The recorded lag
    #[arg(required = true)]
    files: Vec<PathBuf>,

    /// Which queue, where the files tell of several; with its virtual host before a slash when that is not the default one
    #[arg(long)]
    queue: Option<String>,

    /// From one row to the next, for files without times
    #[arg(long, default_value = "60s", value_parser = duration)]
    step: Duration,

    /// The time to drain that the policy aims at
    #[arg(long, default_value = "60s", value_parser = duration)]
    target: Duration,

    /// Fewest replicas
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    min: u32,

    /// Most replicas
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max: u32,

    /// Messages per second that one replica does; without it taken from the trace, which then has
    /// the column consumers
    #[arg(long)]
    per_replica: Option<f64>,

    /// How long a new replica takes until it works
    #[arg(long, default_value = "10s", value_parser = duration)]
    start_up: Duration,

    // JSON has a summary and the steps, CSV the steps.
    #[command(flatten)]
    output: Output,
}

/// How things stand after a decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Since the beginning of the trace.
    pub(super) seconds: u64,
    pub(super) arrivals_per_second: f64,
    /// As recorded.
    pub(super) recorded_lag: f64,
    pub(super) lag: f64,
    /// That the consumers need, as the autoscaler sees it.
    pub(super) needed_seconds: f64,
    /// What that alone asks for.
    pub(super) wanted: u32,
    pub(super) replicas: u32,
}

impl Simulate {
    pub(crate) fn run(self) -> ExitCode {
        target::end(self.show())
    }

    fn show(&self) -> Result<ExitCode, Fault> {
        let report = self.simulate()?;
        let json = report.json();
        match self.output.format() {
            Format::Csv => print(csv_of(json.get("steps").unwrap_or(&Value::Null)))?,
            _ => Answer { text: report.table().trim_end().to_owned(), json }.print(&self.output)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn simulate(&self) -> Result<Report, String> {
        if self.min > self.max {
            return Err(format!("--min {} is more than --max {}", self.min, self.max));
        }
        if self.target.is_zero() {
            return Err("--target is 0; expected a time to drain, as 60s".to_owned());
        }
        let trace = Trace::of(&self.recording()?)?;
        let speed = match self.per_replica {
            Some(speed) if speed.is_finite() && speed > 0.0 => speed,
            Some(speed) => return Err(format!("--per-replica is {speed}; expected more than 0")),
            None => trace.speed.ok_or(
                "how fast a replica is can't be seen in the trace (no column consumers, or never any lag); say it with --per-replica",
            )?,
        };
        let first = trace.rows.first().map_or(0.0, |row| row.seconds);
        let length = trace.rows.last().map_or(0.0, |row| row.seconds - first);
        if length > TRACE_SECONDS_MAX {
            return Err(format!(
                "the trace covers {length} s; at most {TRACE_SECONDS_MAX} s (five weeks) are taken: are its times seconds?"
            ));
        }
        let steps = self.replay(&trace, speed);
        Ok(Report { steps, speed, target_seconds: self.target.as_secs_f64() })
    }

    /// The recording of the queue that was asked for.
    fn recording(&self) -> Result<Recording, String> {
        let mut recordings = recording::read(&self.files, self.step.as_secs_f64())?;
        if let Some(queue) = &self.queue {
            recordings.retain(|recording| recording.queue == *queue);
        }
        let count = recordings.len();
        match recordings.pop() {
            Some(recording) if count == 1 => Ok(recording),
            Some(recording) => Err(format!(
                "the files tell of {count} queues; say which with --queue, as --queue '{}'",
                recording.queue
            )),
            None => Err(format!(
                "the files tell nothing of the queue '{}'",
                self.queue.as_deref().unwrap_or_default()
            )),
        }
    }

    fn replay(&self, trace: &Trace, speed: f64) -> Vec<Step> {
        let target = self.target.as_secs_f64();
        let mut policy = Policy::new(target, self.min, self.max);
        let mut demand = Demand::default();
        let (first, lag) = trace.rows.first().map_or((0.0, 0.0), |row| (row.seconds, row.lag));
        let mut plant = Plant::new(lag, self.min, speed, self.start_up.as_secs());
        let (mut now, mut steps) = (0, Vec::new());
        for row in trace.rows.iter().skip(1) {
            let arrivals_per_second = row.arrivals_per_second;
            while (now as f64) < row.seconds - first {
                now += 1;
                plant.run(now, arrivals_per_second);
                if !now.is_multiple_of(SYNC_SECONDS) {
                    continue;
                }
                let sample = plant.sample(now);
                demand.observe(&sample);
                let needed_seconds = demand.needed_seconds(&sample).unwrap_or(0.0);
                let (replicas, ready) = (plant.count(), plant.ready(now));
                let decision = policy.decide(now, needed_seconds, replicas, ready);
                plant.scale(now, decision.replicas);
                steps.push(Step {
                    seconds: now,
                    arrivals_per_second,
                    recorded_lag: row.lag,
                    lag: plant.lag,
                    needed_seconds,
                    wanted: decision.wanted,
                    replicas: decision.replicas,
                });
            }
        }
        steps
    }
}

/// A queue and the replicas that work on it.
struct Plant {
    lag: f64,
    /// Since the last sample.
    published: f64,
    acked: f64,
    /// When each replica begins to work, the newest last.
    replicas: Vec<u64>,
    speed: f64,
    start_up: u64,
}

impl Plant {
    fn new(lag: f64, replicas: u32, speed: f64, start_up: u64) -> Self {
        let replicas = vec![0; replicas as usize];
        Self { lag, published: 0.0, acked: 0.0, replicas, speed, start_up }
    }

    /// What the broker sees.
    fn sample(&mut self, at: u64) -> Sample {
        Sample {
            at,
            lag: self.lag,
            arrived: Some(std::mem::take(&mut self.published)),
            settled: Some(std::mem::take(&mut self.acked)),
            consumers: Some(f64::from(self.ready(at))),
            ..Sample::default()
        }
    }

    /// One second.
    fn run(&mut self, now: u64, arrivals: f64) {
        self.lag += arrivals;
        self.published += arrivals;
        let done = self.lag.min(f64::from(self.ready(now)) * self.speed);
        self.lag -= done;
        self.acked += done;
    }

    fn ready(&self, now: u64) -> u32 {
        self.replicas.iter().filter(|begins| **begins <= now).count() as u32
    }

    fn count(&self) -> u32 {
        self.replicas.len() as u32
    }

    fn scale(&mut self, now: u64, replicas: u32) {
        self.replicas.resize(replicas as usize, now + self.start_up);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, u32); 4] =
        [("spike", 2), ("double-peak", 4), ("slow-growth", 3), ("day", 5)];

    fn simulate(trace: &str, min: u32, max: u32) -> Report {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/traces");
        let simulate = Simulate {
            files: vec![format!("{directory}/{trace}.csv").into()],
            queue: None,
            step: Duration::from_secs(60),
            target: Duration::from_secs(60),
            min,
            max,
            per_replica: None,
            start_up: Duration::from_secs(10),
            output: Output::default(),
        };
        simulate.simulate().unwrap()
    }

    #[test]
    fn with_the_consumers_that_there_were_the_lag_is_what_it_was() {
        for (trace, consumers) in ALL {
            let report = simulate(trace, consumers, consumers);
            let peak = report.summary().recorded_peak_lag;
            let at_rows = report.steps.iter().filter(|step| step.seconds % 300 == 0);
            for step in at_rows {
                let error = (step.lag - step.recorded_lag).abs();
                assert!(error < 0.01 * peak + 1.0, "{trace}: {step:?}");
            }
        }
    }

    #[test]
    fn a_spike_is_met_with_replicas_that_go_again() {
        let report = simulate("spike", 1, 20);
        let summary = report.summary();
        assert!(summary.peak_lag < summary.recorded_peak_lag / 2.0, "{summary:?}");
        assert!(summary.most_replicas > 5, "{summary:?}");
        let last = report.steps.last().unwrap();
        assert!(last.replicas == 1 && last.needed_seconds < 66.0, "{last:?}");
    }

    /// The columns of a trace as Prometheus answers a range: lag, a counter of what was settled, consumers.
    fn as_prometheus(trace: &str) -> String {
        let path = format!("{}/deploy/kubernetes/traces/{trace}.csv", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let lines =
            text.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
        let rows: Vec<Vec<f64>> =
            lines.map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect()).collect();
        let (mut acked, mut before) = (0.0, 0.0);
        let counter: Vec<f64> = rows
            .iter()
            .map(|row| {
                acked += row[2] * (row[0] - before);
                before = row[0];
                acked
            })
            .collect();
        let series = |name: &str, of: &dyn Fn(usize) -> f64| {
            let values: Vec<_> = rows
                .iter()
                .enumerate()
                .map(|(at, row)| serde_json::json!([row[0], of(at).to_string()]))
                .collect();
            serde_json::json!({ "metric": { "__name__": name, "queue": "orders", "vhost": "/" }, "values": values })
        };
        let result = [
            series("forebay_queue_lag_messages", &|at| rows[at][1]),
            series("forebay_queue_messages_acked_total", &|at| counter[at]),
            series("forebay_queue_consumers", &|at| rows[at][3]),
        ];
        serde_json::json!({ "status": "success", "data": { "resultType": "matrix", "result": result } })
            .to_string()
    }

    #[test]
    fn the_files_of_the_replay_are_taken() {
        for (trace, _) in ALL {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("orders.json");
            std::fs::write(&file, as_prometheus(trace)).unwrap();
            let answered = Simulate {
                files: vec![file.clone()],
                queue: Some("orders".to_owned()),
                step: Duration::from_secs(60),
                target: Duration::from_secs(60),
                min: 1,
                max: 20,
                per_replica: None,
                start_up: Duration::from_secs(10),
                output: Output::default(),
            };
            let (ours, theirs) = (simulate(trace, 1, 20), answered.simulate().unwrap());
            let (ours, theirs) = (ours.summary(), theirs.summary());
            assert_eq!(ours.most_replicas, theirs.most_replicas, "{trace}");
            assert!((ours.peak_lag - theirs.peak_lag).abs() < 1.0, "{trace}: {ours:?} {theirs:?}");
            let other =
                Simulate { queue: Some("payments".to_owned()), files: vec![file], ..answered };
            let error = other.simulate().err().unwrap();
            assert!(error.contains("'payments'"), "{error}");
        }
    }

    #[test]
    fn replicas_do_not_flap() {
        for (trace, _) in ALL {
            let report = simulate(trace, 1, 20);
            let hours = report.steps.last().unwrap().seconds as f64 / 3600.0;
            let reversals = report.summary().reversals;
            assert!(f64::from(reversals) <= 2.0 * hours, "{trace}: {reversals} in {hours} h");
        }
    }
}
