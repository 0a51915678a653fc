//! Which broker a subcommand talks to, and how it reports that it can't.

use clap::Args;
use forebay_client::{ConnectOptions, Connection, Error};
use std::fmt::Display;
use std::process::ExitCode;

/// Exit code when the command failed.
pub(crate) const FAILED: u8 = 1;

/// The broker.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// The broker, as an AMQP URI: `amqp://user:password@host:port/vhost`
    #[arg(
        long,
        short,
        env = "AMQP_URL",
        default_value = "amqp://127.0.0.1",
        hide_env_values = true
    )]
    pub(crate) url: String,
}

impl Target {
    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        Connection::connect(ConnectOptions::from_uri(&self.url)?.name("forebay command line")).await
    }
}

/// Runs a subcommand on a runtime of its own; a failure is one line on standard error.
pub(crate) fn run<E: Display>(command: impl Future<Output = Result<ExitCode, E>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("forebay: the runtime can't be started: {error}");
            return ExitCode::from(FAILED);
        }
    };
    match runtime.block_on(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("forebay: {error}");
            ExitCode::from(FAILED)
        }
    }
}
