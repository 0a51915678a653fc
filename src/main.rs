//! The `forebay` program.

#[cfg(all(feature = "jemalloc", unix))]
mod allocator;
mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
