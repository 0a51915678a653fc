//! Requests to a broker's admin listener, over TLS when the address begins with `https://`.

use super::admin_tls;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use ureq::http::{Method, Request, Uri};
use ureq::{Agent, Error};

/// Bytes of an answer: the definitions of a very large broker.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How long the broker may be silent.
const SILENCE_DURATION_MAX: Duration = Duration::from_secs(60);

/// Where the admin listener is unless the address says otherwise.
const PORT: u16 = 15_672;

/// What stays as it is in a segment of a path (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which broker, and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdminTarget {
    /// Admin listener of the broker: HOST, HOST:PORT or https://HOST:PORT; the port is 15672 by default
    #[arg(
        long,
        value_name = "ADDR",
        env = "FOREBAY_ADMIN",
        default_value = "127.0.0.1:15672",
        value_parser = listener
    )]
    admin: AdminAddress,

    /// Authorities of the listener's certificate (PEM) [default: those of the system]
    #[arg(long, value_name = "FILE", env = "FOREBAY_ADMIN_CACERTFILE")]
    pub(super) admin_cacertfile: Option<PathBuf>,

    /// Certificate (PEM) to show to a listener that asks clients for one
    #[arg(long, value_name = "FILE", env = "FOREBAY_ADMIN_CERTFILE", requires = "admin_keyfile")]
    pub(super) admin_certfile: Option<PathBuf>,

    /// Private key (PEM) of --admin-certfile
    #[arg(long, value_name = "FILE", env = "FOREBAY_ADMIN_KEYFILE", requires = "admin_certfile")]
    pub(super) admin_keyfile: Option<PathBuf>,

    /// User of the admin listener: the tag `management` or `monitoring` is enough to look, changes to users
    /// and definitions need `administrator`
    #[arg(long, env = "FOREBAY_ADMIN_USER", default_value = "guest")]
    user: String,

    /// Its password; everybody on this machine can read arguments, so better in the environment
    #[arg(long, env = "FOREBAY_ADMIN_PASSWORD", default_value = "guest", hide_env_values = true)]
    password: String,

    /// A file whose first line is the password
    #[arg(long, value_name = "FILE", env = "FOREBAY_ADMIN_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
}

/// Host and port, and whether over TLS.
#[derive(Clone, Debug, PartialEq)]
struct AdminAddress {
    place: String,
    is_tls: bool,
}

/// A URL as browsers show it, or what stands in it.
fn listener(text: &str) -> Result<AdminAddress, String> {
    let (is_tls, place) = match text.split_once("://") {
        Some(("https", place)) => (true, place),
        Some(("http", place)) => (false, place),
        Some((scheme, _)) => return Err(format!("`{scheme}://` is not http:// or https://")),
        None => (false, text),
    };
    let expected = || format!("`{text}` is no HOST, HOST:PORT or https://HOST:PORT");
    let place = place.trim_end_matches('/');
    let uri: Uri = format!("http://{place}").parse().map_err(|_| expected())?;
    let authority = uri.authority().ok_or_else(expected)?;
    if uri.path() != "/" || authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(expected());
    }
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => PORT,
        _ => authority.port_u16().filter(|port| *port > 0).ok_or_else(expected)?,
    };
    Ok(AdminAddress { place: format!("{}:{port}", authority.host()), is_tls })
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum AdminError {
    /// The broker can't be reached, or what answers is none.
    Unreachable { admin: String, reason: String },
    /// It refused.
    Refused { status: u16, reason: String },
    /// A file named on the command line can't be used.
    File { option: &'static str, path: PathBuf, reason: String },
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
            Self::File { option, path, reason } => {
                write!(formatter, "{option} {}: {reason}", path.display())
            }
        }
    }
}

impl std::error::Error for AdminError {}

impl AdminTarget {
    /// A fresh broker, with the user that it makes at its first start.
    pub(crate) fn of_fresh_broker(admin: String) -> Self {
        Self {
            admin: AdminAddress { place: admin, is_tls: false },
            admin_cacertfile: None,
            admin_certfile: None,
            admin_keyfile: None,
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            password_file: None,
        }
    }

    /// The body of the answer to a request that was not refused.
    ///
    /// # Errors
    /// When the listener can't be reached within [`SILENCE_DURATION_MAX`], answers more than
    /// [`ANSWER_BYTES_MAX`], or refuses.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, AdminError> {
        let unreachable =
            |reason: String| AdminError::Unreachable { admin: self.address().to_owned(), reason };
        let credentials = STANDARD.encode(format!("{}:{}", self.user, self.password()?));
        let scheme = if self.admin.is_tls { "https" } else { "http" };
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap_or_default())
            .uri(format!("{scheme}://{}{path}", self.address()))
            .header("authorization", format!("Basic {credentials}"))
            .header("content-type", "application/json")
            .body(body)
            .map_err(|error| unreachable(error.to_string()))?;
        let answer = self.agent()?.run(request);
        let answer = answer.map_err(|error| unreachable(self.reason(&error)))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| unreachable(self.reason(&error)))?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let reason = serde_json::from_slice::<Value>(&body).ok();
        let reason = reason.as_ref().and_then(|value| value.get("reason")?.as_str());
        let reason = reason.map_or_else(
            || format!("{} answers {method} {path} with HTTP status {status}", self.address()),
            str::to_owned,
        );
        Err(AdminError::Refused { status, reason })
    }

    /// The JSON of an answer.
    pub(crate) fn get(&self, path: &str) -> Result<Value, AdminError> {
        let body = self.request("GET", path, &[])?;
        serde_json::from_slice(&body).map_err(|_| self.nonsense(path))
    }

    /// The answer is not what an admin listener says there.
    pub(crate) fn nonsense(&self, path: &str) -> AdminError {
        let reason = format!("what it answers to {path} is not what an admin listener answers");
        AdminError::Unreachable { admin: self.address().to_owned(), reason }
    }

    /// The address that was asked.
    pub(crate) fn address(&self) -> &str {
        &self.admin.place
    }

    fn password(&self) -> Result<String, AdminError> {
        let Some(path) = &self.password_file else { return Ok(self.password.clone()) };
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.lines().next().unwrap_or_default().to_owned()),
            Err(error) => Err(AdminError::File {
                option: "--password-file",
                path: path.clone(),
                reason: error.to_string(),
            }),
        }
    }

    /// The listener's own proxy settings count, not those of the environment: brokers are near.
    fn agent(&self) -> Result<Agent, AdminError> {
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(SILENCE_DURATION_MAX))
            .timeout_per_read(Some(SILENCE_DURATION_MAX))
            .timeout_per_write(Some(SILENCE_DURATION_MAX))
            .user_agent("forebay");
        let config =
            if self.admin.is_tls { config.tls_config(admin_tls::config(self)?) } else { config };
        Ok(config.build().into())
    }

    /// What went wrong, and what to do about it.
    fn reason(&self, error: &Error) -> String {
        match error {
            Error::Io(error) => match tls_error(error) {
                Some(error) => admin_tls::reason(error),
                None => format!("{error}; check --admin and that the broker runs"),
            },
            Error::Rustls(error) => admin_tls::reason(error),
            Error::HostNotFound => "the name has no address; check --admin".to_owned(),
            Error::Protocol(_) if !self.admin.is_tls => {
                "what answers speaks no HTTP; if it speaks TLS, write https:// before the address"
                    .to_owned()
            }
            error => format!("{error}; check --admin and that the broker runs"),
        }
    }
}

/// The fault of a TLS session, which reads and writes hide in theirs.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_of_its_own_or_the_usual_one() {
        let place = |text: &str| listener(text).map(|address| (address.place, address.is_tls));
        assert_eq!(place("broker"), Ok(("broker:15672".to_owned(), false)));
        assert_eq!(place("http://10.0.0.1:80/"), Ok(("10.0.0.1:80".to_owned(), false)));
        assert_eq!(place("https://[::1]:443"), Ok(("[::1]:443".to_owned(), true)));
        assert_eq!(place("[::1]"), Ok(("[::1]:15672".to_owned(), false)));
        for wrong in
            ["", ":80", "amqp://broker", "broker:", "broker:0", "broker:99999", "a/b", "a@b"]
        {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_in_a_path_is_escaped() {
        assert_eq!(segment("/"), "%2F");
        assert_eq!(segment("a b.c-d_e~é"), "a%20b.c-d_e~%C3%A9");
    }
}
