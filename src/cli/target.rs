//! Which broker a subcommand talks to, and how it reports that it can't.

use clap::Args;
use forebay_client::{ConnectOptions, Connection, ConnectionState, Error};
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;

/// Why a command failed, in one line.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Exit code when the command failed.
pub(crate) const FAILED: u8 = 1;

/// How long a command tries to restore a lost connection before it fails.
const RECONNECT_FOR: Duration = Duration::from_secs(60);

/// Nobody notices a shorter loss, and a command that ends meanwhile says itself why.
const LOSS_TOLD_AFTER: Duration = Duration::from_millis(500);

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
    /// A connection that tells on standard error when it is lost, and when it is there again.
    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        let connection = self.connect_quietly().await?;
        tokio::spawn(tell_of_losses(connection.state()));
        Ok(connection)
    }

    /// One more of several.
    pub(crate) async fn connect_quietly(&self) -> Result<Connection, Error> {
        let options = self.options()?.name("forebay command line").reconnect_for(RECONNECT_FOR);
        Connection::connect(options).await
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

/// Nothing moves meanwhile: somebody may wonder why. Ends with the connection.
async fn tell_of_losses(mut state: watch::Receiver<ConnectionState>) {
    let mut is_told = false;
    while state.changed().await.is_ok() {
        if matches!(&*state.borrow_and_update(), ConnectionState::Down(_)) {
            tokio::time::sleep(LOSS_TOLD_AFTER).await;
        }
        match &*state.borrow_and_update() {
            ConnectionState::Down(loss) => {
                is_told = true;
                eprintln!("forebay: the connection was lost ({loss}); connecting again");
            }
            ConnectionState::Up(address) if is_told => {
                is_told = false;
                eprintln!("forebay: connected again, to {address}");
            }
            ConnectionState::Up(_) | ConnectionState::Closed => {}
        }
    }
}

/// Runs a subcommand on a runtime of its own.
pub(crate) fn run(command: impl Future<Output = Result<ExitCode, Fault>>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(command);
            // A read of standard input that is under way would hold us up until its next line.
            runtime.shutdown_background();
            end(result)
        }
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
