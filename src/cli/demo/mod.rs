//! `forebay demo`: the broker shown at work, on a temporary directory.

mod broker;
mod consumer;
mod crew;
mod spike;

use clap::Subcommand;
use std::process::ExitCode;

/// Show the broker at work, on a temporary directory
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "Example:\n  forebay demo spike")]
pub(crate) enum Demo {
    /// A burst of orders, drained by consumers at their own pace; one consumer dies, one order is
    /// poison
    Spike(spike::Spike),
    /// One of its consumers
    #[command(hide = true)]
    Consumer(consumer::Consumer),
}

impl Demo {
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Spike(spike) => spike.run(),
            Self::Consumer(consumer) => consumer.run(),
        }
    }
}
