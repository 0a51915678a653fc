//! `forebay completions`: what a shell needs to complete our commands.

use super::Cli;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};
use std::io::stdout;
use std::process::ExitCode;

/// Print completions for a shell
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  forebay completions bash > /etc/bash_completion.d/forebay")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> ExitCode {
        generate(self.shell, &mut Cli::command(), "forebay", &mut stdout());
        ExitCode::SUCCESS
    }
}
