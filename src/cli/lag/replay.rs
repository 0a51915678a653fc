//! `forebay lag replay`: the broker's own statistics over recorded series.

use super::{alerts, report};
use crate::cli::duration::duration;
use crate::cli::recording;
use crate::cli::table::terminal_width;
use clap::Args;
use forebay_lag::limits::{HISTORY_DAYS, HISTORY_DAYS_MIN};
use forebay_lag::{Role, Settings};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Say when alerts would have fired over recorded series, and why
///
/// Runs what the broker runs: it learns from the recording as it goes, so the first week has no exact alert line. Files
/// are read forgivingly: comma-separated values with headings, or JSON as Prometheus answers a range of time. Files that name
/// the same queue are one recording.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A file of comma-separated values has a column of times (seconds, milliseconds, dates) and one of lag: 'lag', 'depth',
'messages', or 'ready' and 'unacked'. It may have 'published' and 'acked' (counters, or rates a second), 'consumers',
'oldest_age', 'held_seconds' (how long consumers take for a delivery) and 'queue'. docs/reference/lag.md says all names, and how to get a file from Prometheus.

Examples:
  forebay lag replay orders.csv
  forebay lag replay --json --line-factor 3 lag.json acked.json
  forebay lag replay --samples orders.csv > line.csv")]
pub(crate) struct Replay {
    /// The recordings
    #[arg(required = true)]
    files: Vec<PathBuf>,

    /// The alert line, in normal peaks
    #[arg(long, default_value_t = 2.0, value_parser = line_factor)]
    line_factor: f64,

    /// How long a new level must hold until it is normal by itself, in whole days
    #[arg(long, default_value = "14d", value_parser = duration)]
    learn: Duration,

    /// Days of history that are kept and learnt from, 7 to 35
    #[arg(long, default_value_t = HISTORY_DAYS as u16, value_parser = clap::value_parser!(u16).range(HISTORY_DAYS_MIN as i64..=HISTORY_DAYS as i64))]
    history_days: u16,

    /// No message may be older, instead of its own normal
    #[arg(long, value_parser = duration)]
    max_age: Option<Duration>,

    /// What the queues are for: work, delay, dead-letters or reply
    #[arg(long, default_value = "work", value_parser = role)]
    role: Role,

    /// How long an alert is kept after its cause was seen last, as keep_firing_for in the alert rules
    #[arg(long, default_value = "5m", value_parser = duration)]
    keep_firing: Duration,

    /// From one row to the next, for files without times
    #[arg(long, default_value = "60s", value_parser = duration)]
    step: Duration,

    /// Print the result as JSON
    #[arg(long, conflicts_with = "samples")]
    json: bool,

    /// Print the normal peak, the alert line and the symptoms at each sample, as comma-separated values
    #[arg(long)]
    samples: bool,
}

fn line_factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor| (1.0..=1000.0).contains(factor));
    factor.ok_or_else(|| "write it as a number from 1 to 1000".into())
}

fn role(text: &str) -> Result<Role, String> {
    Role::named(text).ok_or_else(|| "it is one of work, delay, dead-letters, reply".into())
}

impl Replay {
    pub(crate) fn run(self) -> ExitCode {
        match self.replay() {
            Ok(text) => print!("{text}"),
            Err(error) => {
                eprintln!("forebay: {error}");
                return ExitCode::FAILURE;
            }
        }
        ExitCode::SUCCESS
    }

    fn replay(&self) -> Result<String, String> {
        let learn_days = u16::try_from(self.learn.as_secs() / 86_400).unwrap_or(u16::MAX).max(1);
        if learn_days > self.history_days {
            return Err(format!(
                "--learn is {learn_days} days, expected at most --history-days, which is {}",
                self.history_days
            ));
        }
        let settings = Settings {
            line_factor: self.line_factor,
            learn_days,
            history_days: self.history_days,
            age_max_seconds: self.max_age.map(|age| age.as_secs_f64()),
        };
        let recordings = recording::read(&self.files, self.step.as_secs_f64())?;
        let keep = self.keep_firing.as_secs();
        let replayed: Vec<_> = recordings
            .iter()
            .map(|recording| alerts::replay(recording, self.role, &settings, keep))
            .collect();
        Ok(match () {
            () if self.json => format!("{:#}\n", report::json(&replayed)),
            () if self.samples => report::samples(&recordings, &replayed),
            () => report::text(&replayed, terminal_width()),
        })
    }
}
