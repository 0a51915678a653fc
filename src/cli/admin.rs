//! Requests to a broker's admin listener.

use super::context::choice::{ContextChoice, Sources, variable};
use super::context::context_file::Context;
use super::http::{self, Address, HttpError, HttpRequest};
use super::http_tls::TlsFiles;
use super::password;
use super::printable::printable;
use super::target::GUEST;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Where the admin listener is unless the address says otherwise.
const PORT: u16 = 15_672;
const HOST: &str = "127.0.0.1";

/// Where paths begin that RabbitMQ does not have.
const OURS: &str = "/api/forebay/";

/// What stays as it is in a segment of a path (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which broker, and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdminTarget {
    /// Admin listener of the broker: HOST, HOST:PORT or https://HOST:PORT; the port is 15672 by default
    /// [env: FOREBAY_ADMIN] [default: 127.0.0.1:15672]
    #[arg(long, value_name = "ADDR", value_parser = listener)]
    admin: Option<String>,

    /// Authorities of the listener's certificate (PEM) [env: FOREBAY_ADMIN_CACERTFILE] [default: those of the system]
    #[arg(long, value_name = "FILE")]
    admin_cacertfile: Option<PathBuf>,

    /// Certificate (PEM) to show to a listener that asks clients for one [env: FOREBAY_ADMIN_CERTFILE]
    #[arg(long, value_name = "FILE", requires = "admin_keyfile")]
    admin_certfile: Option<PathBuf>,

    /// Private key (PEM) of --admin-certfile [env: FOREBAY_ADMIN_KEYFILE]
    #[arg(long, value_name = "FILE", requires = "admin_certfile")]
    admin_keyfile: Option<PathBuf>,

    /// User of the admin listener: the tag `management` or `monitoring` is enough to look, changes to users
    /// and definitions need `administrator` [env: FOREBAY_ADMIN_USER] [default: guest]
    #[arg(long)]
    user: Option<String>,

    /// Its password; everybody on this machine can read arguments, so better in a file, in the environment, or typed in
    /// when a terminal asks [env: FOREBAY_ADMIN_PASSWORD] [default for guest: guest]
    #[arg(long)]
    password: Option<String>,

    /// A file whose first line is the password [env: FOREBAY_ADMIN_PASSWORD_FILE]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    #[command(flatten)]
    context: ContextChoice,

    /// What all of this comes to; the requests of a command ask for a password once.
    #[arg(skip)]
    resolved: Arc<OnceLock<Resolved>>,
}

/// Where requests go, and as whom.
#[derive(Clone, Debug)]
struct Resolved {
    address: Address,
    cacertfile: Option<PathBuf>,
    certfile: Option<PathBuf>,
    keyfile: Option<PathBuf>,
    user: String,
    password: String,
}

fn listener(text: &str) -> Result<String, String> {
    Address::parse(text, PORT).map(|_| text.to_owned())
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum AdminError {
    /// The broker can't be reached, or what answers is none.
    Unreachable { admin: String, reason: String },
    /// It refused.
    Refused { status: u16, reason: String },
    /// A file, a context or a setting can't be used.
    Settings(String),
}

impl std::fmt::Display for AdminError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable { admin, reason } => {
                write!(formatter, "no admin listener answers at {admin}: {reason}")
            }
            Self::Refused { status: 401, reason } => {
                write!(formatter, "{reason}; check --user and --password, and the tags of the user")
            }
            Self::Refused { reason, .. } => formatter.write_str(reason),
            Self::Settings(reason) => formatter.write_str(reason),
        }
    }
}

impl std::error::Error for AdminError {}

impl AdminTarget {
    /// A fresh broker, with the user that it makes at its first start.
    pub(crate) fn of_fresh_broker(admin: String) -> Self {
        let resolved = Resolved {
            address: Address::plain(admin.clone()),
            cacertfile: None,
            certfile: None,
            keyfile: None,
            user: GUEST.to_owned(),
            password: GUEST.to_owned(),
        };
        Self {
            admin: Some(admin),
            admin_cacertfile: None,
            admin_certfile: None,
            admin_keyfile: None,
            user: None,
            password: None,
            password_file: None,
            context: ContextChoice::default(),
            resolved: Arc::new(OnceLock::from(resolved)),
        }
    }

    /// The body of the answer to a request that was not refused.
    ///
    /// # Errors
    /// When the listener can't be reached, is silent, answers too much, or refuses.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, AdminError> {
        self.request_with(HttpRequest { method, path, headers: &[], body })
    }

    /// The same with headers of the command's own.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) fn request_with(&self, request: HttpRequest<'_>) -> Result<Vec<u8>, AdminError> {
        let resolved = self.resolved()?;
        let Resolved { address, cacertfile, certfile, keyfile, user, password } = resolved;
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        let authorization = format!("Basic {credentials}");
        let headers = [request.headers, &[("authorization", &*authorization)]].concat();
        let files = TlsFiles {
            option_prefix: "--admin-",
            cacertfile: cacertfile.as_deref(),
            certfile: certfile.as_deref(),
            keyfile: keyfile.as_deref(),
        };
        let HttpRequest { method, path, .. } = request;
        let answer = http::exchange(address, &files, HttpRequest { headers: &headers, ..request });
        let (status, body) = answer.map_err(|error| match error {
            HttpError::File(reason) => AdminError::Settings(reason),
            HttpError::Unreachable(reason) => {
                AdminError::Unreachable { admin: address.place().to_owned(), reason }
            }
        })?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let reason = serde_json::from_slice::<Value>(&body).ok();
        let is_unknown = matches!(status, 404 | 405) && !reason.as_ref().is_some_and(names_object);
        if is_unknown && path.starts_with(OURS) {
            let reason =
                format!("{} has no call for this, which only Forebay has", address.place());
            return Err(AdminError::Refused { status, reason });
        }
        let reason = reason.as_ref().and_then(|value| value.get("reason")?.as_str());
        let reason = reason.map_or_else(
            || format!("{} answers {method} {path} with HTTP status {status}", address.place()),
            one_line,
        );
        Err(AdminError::Refused { status, reason })
    }

    /// The JSON of an answer.
    pub(crate) fn get(&self, path: &str) -> Result<Value, AdminError> {
        let body = self.request("GET", path, &[])?;
        serde_json::from_slice(&body).map_err(|_| self.nonsense(path))
    }

    /// The items of a list.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Value>, AdminError> {
        match self.get(path)? {
            Value::Array(items) => Ok(items),
            _ => Err(self.nonsense(path)),
        }
    }

    /// The JSON of an answer; `None` when what the path names does not exist.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Value>, AdminError> {
        match self.get(path) {
            Ok(value) => Ok(Some(value)),
            Err(AdminError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes or replaces what the path names.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<(), AdminError> {
        self.request("PUT", path, body.to_string().as_bytes()).map(drop)
    }

    /// The answer is not what an admin listener says there.
    pub(crate) fn nonsense(&self, path: &str) -> AdminError {
        let reason = format!("what it answers to {path} is not what an admin listener answers");
        AdminError::Unreachable { admin: self.address().to_owned(), reason }
    }

    /// The address that was asked.
    pub(crate) fn address(&self) -> &str {
        self.resolved().map_or("the admin listener", |resolved| resolved.address.place())
    }

    fn resolved(&self) -> Result<&Resolved, AdminError> {
        if let Some(resolved) = self.resolved.get() {
            return Ok(resolved);
        }
        let resolved = self.resolve().map_err(AdminError::Settings)?;
        Ok(self.resolved.get_or_init(|| resolved))
    }

    fn resolve(&self) -> Result<Resolved, String> {
        let sources = self.context.sources(self.admin.is_some(), &["FOREBAY_ADMIN"])?;
        let address = sources.address(self.admin.as_deref(), "admin", "FOREBAY_ADMIN")?;
        let address = Address::parse(address.as_deref().unwrap_or(HOST), PORT)
            .map_err(|reason| format!("the address of the admin listener: {reason}"))?;
        let user = sources.text(self.user.as_deref(), "user", "FOREBAY_ADMIN_USER");
        let user = user.unwrap_or_else(|| GUEST.to_owned());
        let password = match self.password(&user, &sources)? {
            Some(password) => password,
            None if user == GUEST => GUEST.to_owned(),
            None => {
                let prompt = format!("Password of {} at {}: ", printable(&user), address.place());
                let asked = password::ask(&prompt).map_err(|error| error.to_string())?;
                asked.ok_or_else(|| {
                    format!(
                        "no password for user `{user}`, and no terminal to ask in; name a file with --password-file,                          or set FOREBAY_ADMIN_PASSWORD"
                    )
                })?
            }
        };
        let file = |flag: &Option<PathBuf>, setting: &str, variable| {
            sources.path(flag.as_ref(), setting, variable)
        };
        Ok(Resolved {
            address,
            cacertfile: file(
                &self.admin_cacertfile,
                "admin_cacertfile",
                "FOREBAY_ADMIN_CACERTFILE",
            ),
            certfile: file(&self.admin_certfile, "admin_certfile", "FOREBAY_ADMIN_CERTFILE"),
            keyfile: file(&self.admin_keyfile, "admin_keyfile", "FOREBAY_ADMIN_KEYFILE"),
            user,
            password,
        })
    }

    /// A password from flags, from the context when it keeps this user's, or from the environment.
    fn password(&self, user: &str, sources: &Sources) -> Result<Option<String>, String> {
        if let Some(path) = &self.password_file {
            return password::first_line("--password-file", path).map(Some);
        }
        if self.password.is_some() {
            return Ok(self.password.clone());
        }
        let context = sources.context().filter(|context| context.get("user") == Some(user));
        if let Some(password) = context.map(Context::password).transpose()?.flatten() {
            return Ok(Some(password));
        }
        match variable("FOREBAY_ADMIN_PASSWORD_FILE") {
            Some(path) => {
                password::first_line("FOREBAY_ADMIN_PASSWORD_FILE", path.as_ref()).map(Some)
            }
            None => Ok(variable("FOREBAY_ADMIN_PASSWORD")),
        }
    }
}

/// Whether a refusal says what is not there, and not only that the path is unknown.
fn names_object(refusal: &Value) -> bool {
    refusal.get("reason").and_then(Value::as_str).is_some_and(|reason| reason != "Not Found")
}

/// RabbitMQ's reasons have several lines, and terms of Erlang with the escapes of HTML.
fn one_line(reason: &str) -> String {
    let lines = reason.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(": ");
    line.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// A path, or the path of what a name restricts it to.
pub(crate) fn within(path: &str, name: Option<&str>) -> String {
    name.map_or_else(|| path.to_owned(), |name| format!("{path}/{}", segment(name)))
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line() {
        let reason = "Validation failed\n\n[{&lt;&lt;\"max\"&gt;&gt;,3}] are not recognised\n";
        assert_eq!(one_line(reason), "Validation failed: [{<<\"max\">>,3}] are not recognised");
        assert_eq!(one_line("no user 'x'"), "no user 'x'");
    }

    #[test]
    fn a_name_in_a_path_is_escaped() {
        assert_eq!(segment("/"), "%2F");
        assert_eq!(segment("a b.c-d_e~é"), "a%20b.c-d_e~%C3%A9");
    }
}
