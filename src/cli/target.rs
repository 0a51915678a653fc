//! Which broker a subcommand talks to, and how it reports that it can't.

use super::context::choice::{ContextChoice, Sources, variable};
use super::context::context_file::Context;
pub(crate) use super::fault::Fault;
use super::output::{Format, Output, csv_of};
use super::password;
use super::printable::{json_line, printable, printable_lines};
use clap::Args;
use forebay_client::{ConnectOptions, Connection, ConnectionState, Error};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

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
    /// The broker, as an AMQP URI: `amqp://user:password@host:port/vhost`; a password that is left out is asked for in
    /// a terminal [env: AMQP_URL] [default: amqp://127.0.0.1]
    #[arg(long, short)]
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

    #[command(flatten)]
    context: ContextChoice,

    /// What all of this comes to; several connections of a command ask for a password once.
    #[arg(skip)]
    resolved: Arc<OnceLock<Resolved>>,
}

/// A URI with the parameters that flags and the environment add, and who logs in where it does not say.
#[derive(Debug)]
struct Resolved {
    uri: String,
    credentials: Option<(String, String)>,
}

/// The default of `--url`.
const URL_DEFAULT: &str = "amqp://127.0.0.1";

impl Target {
    fn uri(&self, sources: &Sources) -> Result<String, Fault> {
        if let Some(path) = &self.url_file {
            return uri_in("--url-file", path);
        }
        if let Some(uri) = sources.address(self.url.as_deref(), "url", "AMQP_URL")? {
            return Ok(uri);
        }
        match variable("AMQP_URL_FILE") {
            Some(path) => uri_in("AMQP_URL_FILE", path.as_ref()),
            None => Ok(URL_DEFAULT.to_owned()),
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

    fn options(&self) -> Result<ConnectOptions, Fault> {
        let resolved = match self.resolved.get() {
            Some(resolved) => resolved,
            None => {
                let resolved = self.resolve()?;
                self.resolved.get_or_init(|| resolved)
            }
        };
        let options = ConnectOptions::from_uri(&resolved.uri)?;
        Ok(match &resolved.credentials {
            Some((user, password)) => options.credentials(user, password),
            None => options,
        })
    }

    /// The certificate files become parameters of the URI. Those that the environment or a context names count for
    /// `amqps://` only, so that one environment serves both kinds of address.
    fn resolve(&self) -> Result<Resolved, Fault> {
        let has_flag = self.url.is_some() || self.url_file.is_some();
        let sources = self.context.sources(has_flag, &["AMQP_URL", "AMQP_URL_FILE"])?;
        let mut uri = self.uri(&sources)?;
        let credentials = credentials(&uri, &sources)?;
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
            let path = sources.path(option.as_ref(), parameter, variable);
            let Some(path) = path.filter(|_| is_tls) else { continue };
            let path = path.as_os_str().as_encoded_bytes();
            let separator = if uri.contains('?') { '&' } else { '?' };
            let path = percent_encode(path, NON_ALPHANUMERIC);
            uri.push_str(&format!("{separator}{parameter}={path}"));
        }
        Ok(Resolved { uri, credentials })
    }
}

/// The first line of a file.
fn uri_in(place: &str, path: &Path) -> Result<String, Fault> {
    let fault = |reason: String| format!("{place} {}: {reason}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    match text.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => Ok(line.to_owned()),
        None => Err(fault("the file is empty, expected an AMQP URI".to_owned()).into()),
    }
}

/// Who logs in where the URI names nobody, or a user without a password; `None` when the URI says it all, or when the
/// client's default is meant.
fn credentials(uri: &str, sources: &Sources) -> Result<Option<(String, String)>, Fault> {
    let authority = uri.split_once("://").map_or(uri, |(_, rest)| rest).split(['/', '?']).next();
    let login = authority.and_then(|authority| Some(authority.rsplit_once('@')?.0));
    let context = sources.context();
    let (user, kept) = match login {
        Some(login) if login.contains(':') => return Ok(None),
        Some(user) => {
            let user = percent_decode_str(user).decode_utf8_lossy().into_owned();
            let is_kept = context.is_some_and(|context| context.get("user") == Some(&user));
            (user, context.filter(|_| is_kept))
        }
        None => match context.and_then(|context| context.get("user")) {
            Some(user) => (user.to_owned(), context),
            None => return Ok(None),
        },
    };
    if let Some(password) = kept.map(Context::password).transpose()?.flatten() {
        return Ok(Some((user, password)));
    }
    // A certificate may be all that it takes, or the user is `guest`.
    let is_enough = uri.contains("auth_mechanism=") || user == GUEST;
    if is_enough {
        return Ok(None);
    }
    let asked = password::ask(&format!("Password of {}: ", printable(&user)))?;
    Ok(asked.map(|password| (user, password)))
}

/// The user that has its name for a password.
pub(crate) const GUEST: &str = "guest";

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
    /// Prints it in the form that was asked for.
    pub(crate) fn print(&self, output: &Output) -> io::Result<()> {
        match output.format() {
            Format::Table => print(printable_lines(&self.text)),
            Format::Json => print(json_line(&self.json)),
            Format::Csv => print(csv_of(&self.json)),
        }
    }
}
