//! `forebay dlq`: what died and why, and the way back.

mod answer;
mod dead_letter_queue;
mod filter;
mod list;
mod peek;
mod purge;
mod redrive;
mod redriving;

use super::target;
use clap::Subcommand;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay dlq list
  forebay dlq peek orders.dlq --count 3
  forebay dlq redrive orders.dlq --dry-run
  forebay dlq redrive orders.dlq --reason delivery_limit --rate 50
  forebay dlq purge orders.dlq";

/// Look at dead letters, send them back to where they died, or drop them
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Dlq {
    /// Show the dead-letter queues: how many messages, since when, from where and why
    #[command(after_help = "Example:\n  forebay dlq list --json")]
    List(list::List),
    /// Show messages without consuming them
    #[command(after_help = "Example:\n  forebay dlq peek orders.dlq --reason delivery_limit")]
    Peek(peek::Peek),
    /// Send messages back to the queues that they died in; may be stopped at any time and run again
    #[command(
        after_help = "Example:\n  forebay dlq redrive orders.dlq --reason delivery_limit --rate 50"
    )]
    Redrive(redrive::Redrive),
    /// Tell how far a redrive is with which the broker goes on by itself (`redrive --detach`, or from the page)
    #[command(after_help = "Example:\n  forebay dlq progress orders.dlq")]
    Progress(redriving::Redriving),
    /// Stop a redrive with which the broker goes on by itself; what went back stays where it is
    #[command(after_help = "Example:\n  forebay dlq stop orders.dlq")]
    Stop(redriving::Redriving),
    /// Drop all messages of a queue that are ready
    #[command(after_help = "Example:\n  forebay dlq purge orders.dlq")]
    Purge(purge::Purge),
}

impl Dlq {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self {
            Self::List(list) => list.run(),
            Self::Peek(peek) => peek.run(),
            Self::Redrive(redrive) => redrive.run(),
            Self::Progress(redriving) => redriving.progress(),
            Self::Stop(redriving) => redriving.stop(),
            Self::Purge(purge) => purge.run(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                target::tell(&error);
                ExitCode::FAILURE
            }
        }
    }
}
