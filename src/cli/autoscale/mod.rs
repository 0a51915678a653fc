//! `forebay autoscale`: what the autoscaler in `deploy/kubernetes/` would do.

mod policy;
mod report;
mod simulate;
mod trace;

use clap::Subcommand;
use std::process::ExitCode;

/// Try out how consumers are scaled, before a cluster does it
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "Example:\n  forebay autoscale simulate deploy/kubernetes/traces/spike.csv")]
pub(crate) enum Autoscale {
    /// Replay a recorded lag against the policy of deploy/kubernetes/, and show the replicas over time
    Simulate(simulate::Simulate),
}

impl Autoscale {
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Simulate(simulate) => simulate.run(),
        }
    }
}
