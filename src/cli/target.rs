//! Which broker a subcommand talks to, and how it reports that it can't.

use clap::Args;
use forebay_client::{ConnectOptions, Connection, Error};
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command failed, in one line.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

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

/// Runs a subcommand on a runtime of its own.
pub(crate) fn run(command: impl Future<Output = Result<ExitCode, Fault>>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => end(runtime.block_on(command)),
        Err(error) => end(Err(format!("the runtime can't be started: {error}").into())),
    }
}

/// What the shell sees: a failure is one line on standard error. Whoever reads our output may stop
/// doing so (`| head`), which is no failure.
pub(crate) fn end(result: Result<ExitCode, Fault>) -> ExitCode {
    result.unwrap_or_else(|error| {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        eprintln!("forebay: {error}");
        ExitCode::from(FAILED)
    })
}

/// Prints a result.
pub(crate) fn print(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// What a subcommand did, for people and for scripts.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) json: Value,
}

/// A binding was made or taken away.
pub(crate) fn binding(source: &str, key: &str, destination: &str, is_bound: bool) -> Answer {
    let done = if is_bound { "" } else { ": taken away" };
    Answer {
        text: format!("{source} --{key}--> {destination}{done}"),
        json: json!({
            "source": source,
            "routing_key": key,
            "destination": destination,
            "bound": is_bound,
        }),
    }
}

impl Answer {
    /// Prints it in the one way or the other.
    pub(crate) fn print(&self, is_json: bool) -> io::Result<()> {
        if is_json { print(&self.json) } else { print(&self.text) }
    }
}
