//! `forebay completions`: what a shell needs to complete our commands.

use super::{Cli, target};
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};
use std::io::{Write, stdout};
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
        // Not straight to the output: clap panics when that is closed.
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "forebay", &mut script);
        let written = stdout().lock().write_all(&script);
        target::end(written.map(|()| ExitCode::SUCCESS).map_err(Into::into))
    }
}
