//! Which broker a subcommand talks to, and how it reports that it can't.

use super::printable::{json_line, printable, printable_lines};
use clap::Args;
use forebay_client::{ConnectOptions, Connection, ConnectionState, Error};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
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

/// Exit code when a signal ended the command before it was done: 128 and the number of SIGINT, as shells say.
const INTERRUPTED: u8 = 130;

/// A signal ended the command before it was done.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) String);

impl Display for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "interrupted; {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// How long a command tries to restore a lost connection before it fails.
pub(crate) const RECONNECT_FOR: Duration = Duration::from_secs(60);

/// A shorter loss or alarm is not told: it is not noticed, and a command that ends meanwhile says itself why.
const TROUBLE_TOLD_AFTER: Duration = Duration::from_millis(500);

/// The broker.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// The broker, as an AMQP URI: `amqp://user:password@host:port/vhost` [default: amqp://127.0.0.1]
    #[arg(long, short, env = "AMQP_URL", hide_env_values = true)]
    url: Option<String>,

    /// A file whose first line is that URI, so that its password is no argument; goes before --url
    /// [env: AMQP_URL_FILE, which counts without --url and AMQP_URL]
    #[arg(long, value_name = "FILE")]
    url_file: Option<PathBuf>,

    /// For amqps: trust the authorities in this PEM file instead of the system's
    /// [env: AMQP_CACERTFILE]
    #[arg(long, value_name = "FILE")]
    cacertfile: Option<PathBuf>,

    /// For amqps: the certificate (PEM) to show to a broker that asks clients for one
    /// [env: AMQP_CERTFILE]
    #[arg(long, value_name = "FILE")]
    certfile: Option<PathBuf>,

    /// For amqps: the private key (PEM) of --certfile [env: AMQP_KEYFILE]
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
}

/// The default of `--url`.
const URL_DEFAULT: &str = "amqp://127.0.0.1";

impl Target {
    fn uri(&self) -> Result<String, Fault> {
        let named = || std::env::var_os("AMQP_URL_FILE").filter(|path| !path.is_empty());
        let (place, path) = match (&self.url_file, &self.url) {
            (Some(path), _) => ("--url-file", path.clone()),
            (None, Some(url)) => return Ok(url.clone()),
            (None, None) => match named() {
                Some(path) => ("AMQP_URL_FILE", PathBuf::from(path)),
                None => return Ok(URL_DEFAULT.to_owned()),
            },
        };
        let fault = |reason: String| format!("{place} {}: {reason}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|error| fault(error.to_string()))?;
        match text.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
            Some(line) => Ok(line.to_owned()),
            None => Err(fault("the file is empty, expected an AMQP URI".to_owned()).into()),
        }
    }

    /// A connection that tells on standard error when it is lost, and when it is there again.
    pub(crate) async fn connect(&self) -> Result<Connection, Fault> {
        let connection = self.connect_quietly().await?;
        tokio::spawn(tell_of_losses(connection.state()));
        tokio::spawn(tell_of_alarms(connection.blocked()));
        Ok(connection)
    }

    /// One more of several.
    pub(crate) async fn connect_quietly(&self) -> Result<Connection, Fault> {
        let options = self.options()?.name("forebay command line").reconnect_for(RECONNECT_FOR);
        Ok(Connection::connect(options).await?)
    }

    /// The URI with the certificate files as its parameters. Those that the environment names count for
    /// `amqps://` only, so that one environment serves both kinds of address.
    fn options(&self) -> Result<ConnectOptions, Fault> {
        let mut uri = self.uri()?;
        let scheme = uri.get(.."amqps:".len()).unwrap_or_default();
        let is_tls = scheme.eq_ignore_ascii_case("amqps:");
        for (parameter, option, variable) in [
            ("cacertfile", &self.cacertfile, "AMQP_CACERTFILE"),
            ("certfile", &self.certfile, "AMQP_CERTFILE"),
            ("keyfile", &self.keyfile, "AMQP_KEYFILE"),
        ] {
            if option.is_some() && !is_tls {
                let reason = format!("--{parameter} has no meaning with amqp://, write amqps://");
                return Err(Error::TlsSettings(reason).into());
            }
            let variable = || std::env::var_os(variable).filter(|path| is_tls && !path.is_empty());
            let Some(path) = option.clone().or_else(|| variable().map(PathBuf::from)) else {
                continue;
            };
            let path = path.as_os_str().as_encoded_bytes();
            let separator = if uri.contains('?') { '&' } else { '?' };
            let path = percent_encode(path, NON_ALPHANUMERIC);
            uri.push_str(&format!("{separator}{parameter}={path}"));
        }
        Ok(ConnectOptions::from_uri(&uri)?)
    }
}

/// The command stands still meanwhile, and says why. Ends with the connection.
async fn tell_of_losses(mut state: watch::Receiver<ConnectionState>) {
    let mut is_told = false;
    while state.changed().await.is_ok() {
        if matches!(&*state.borrow_and_update(), ConnectionState::Down(_)) {
            tokio::time::sleep(TROUBLE_TOLD_AFTER).await;
        }
        match &*state.borrow_and_update() {
            ConnectionState::Down(loss) => {
                is_told = true;
                tell(format_args!("the connection was lost ({loss}); connecting again"));
            }
            ConnectionState::Up(address) if is_told => {
                is_told = false;
                tell(format_args!("connected again, to {address}"));
            }
            _ => {}
        }
    }
}

/// A publisher waits meanwhile, for as long as the alarm lasts.
async fn tell_of_alarms(mut blocked: watch::Receiver<Option<String>>) {
    let mut is_told = false;
    loop {
        if blocked.borrow_and_update().is_some() {
            tokio::time::sleep(TROUBLE_TOLD_AFTER).await;
        }
        let reason = blocked.borrow_and_update().clone();
        match reason {
            Some(reason) => {
                is_told = true;
                tell(format_args!("the broker takes no messages at present ({reason}); waiting"));
            }
            None if is_told => {
                is_told = false;
                tell("the broker takes messages again");
            }
            None => {}
        }
        if blocked.changed().await.is_err() {
            return;
        }
    }
}

/// One line on standard error.
pub(crate) fn tell(text: impl Display) {
    eprintln!("forebay: {}", printable(&text.to_string()));
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

/// What the shell sees: a failure is one line on standard error. A program that reads our output may
/// stop doing so (`| head`), which is no failure.
pub(crate) fn end(result: Result<ExitCode, Fault>) -> ExitCode {
    result.unwrap_or_else(|error| {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        tell(&error);
        ExitCode::from(if error.is::<Interrupted>() { INTERRUPTED } else { FAILED })
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

/// Why a queue or exchange is still there. A broker that drops the connection instead of an answer leaves
/// that open, and the error says so itself.
pub(crate) fn not_deleted(kind: &str, name: &str, error: Error) -> Fault {
    match error.fault() {
        Some(fault) => format!("{kind} `{name}` is not deleted: {fault}").into(),
        None => error.into(),
    }
}

impl Answer {
    /// Prints it in the one way or the other.
    pub(crate) fn print(&self, is_json: bool) -> io::Result<()> {
        if is_json { print(json_line(&self.json)) } else { print(printable_lines(&self.text)) }
    }
}
