//! `forebay lag`: what is normal for a queue, as a broker says, or tried on recorded series.

mod alerts;
mod history;
mod replay;
mod report;
mod show;

use clap::Subcommand;
use std::process::ExitCode;

/// Show what lag is normal, or try the lag alerts on what was recorded
#[derive(Clone, Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  forebay lag show orders\n  forebay lag history orders --days 7\n  forebay lag replay deploy/kubernetes/traces/day.csv"
)]
pub(crate) enum Lag {
    History(history::History),
    Replay(replay::Replay),
    Show(show::Show),
}

impl Lag {
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::History(history) => history.run(),
            Self::Replay(replay) => replay.run(),
            Self::Show(show) => show.run(),
        }
    }
}
