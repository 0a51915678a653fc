//! Which broker a subcommand talks to, and how it reports that it can't.

use clap::Args;
use forebay_client::{ConnectOptions, Connection, Error};
use std::fmt::Display;
use std::path::PathBuf;
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

    /// For amqps: trust the authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE", env = "AMQP_CACERTFILE")]
    cacertfile: Option<PathBuf>,
}

impl Target {
    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        Connection::connect(self.options()?.name("forebay command line")).await
    }

    fn options(&self) -> Result<ConnectOptions, Error> {
        let options = ConnectOptions::from_uri(&self.url)?;
        let Some(path) = &self.cacertfile else { return Ok(options) };
        let fault = |reason: String| Error::TlsSettings(format!("{}: {reason}", path.display()));
        let scheme = self.url.get(.."amqps:".len()).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("amqps:") {
            return Err(fault("has no meaning with amqp://, write amqps://".to_owned()));
        }
        let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
        Ok(options.tls_authorities(&pem))
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
