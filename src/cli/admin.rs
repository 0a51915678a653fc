//! Requests to a broker's admin listener.

use super::http::{self, Address, HttpError};
use super::http_tls::TlsFiles;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::path::PathBuf;

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
    admin: Address,

    /// Authorities of the listener's certificate (PEM) [default: those of the system]
    #[arg(long, value_name = "FILE", env = "FOREBAY_ADMIN_CACERTFILE")]
    admin_cacertfile: Option<PathBuf>,

    /// Certificate (PEM) to show to a listener that asks clients for one
    #[arg(long, value_name = "FILE", env = "FOREBAY_ADMIN_CERTFILE", requires = "admin_keyfile")]
    admin_certfile: Option<PathBuf>,

    /// Private key (PEM) of --admin-certfile
    #[arg(long, value_name = "FILE", env = "FOREBAY_ADMIN_KEYFILE", requires = "admin_certfile")]
    admin_keyfile: Option<PathBuf>,

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

fn listener(text: &str) -> Result<Address, String> {
    Address::parse(text, PORT)
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum AdminError {
    /// The broker can't be reached, or what answers is none.
    Unreachable { admin: String, reason: String },
    /// It refused.
    Refused { status: u16, reason: String },
    /// A file named on the command line can't be used.
    File(String),
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
            Self::File(reason) => formatter.write_str(reason),
        }
    }
}

impl std::error::Error for AdminError {}

impl AdminTarget {
    /// A fresh broker, with the user that it makes at its first start.
    pub(crate) fn of_fresh_broker(admin: String) -> Self {
        Self {
            admin: Address::plain(admin),
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
    /// When the listener can't be reached, is silent, answers too much, or refuses.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, AdminError> {
        let credentials = STANDARD.encode(format!("{}:{}", self.user, self.password()?));
        let files = TlsFiles {
            option_prefix: "--admin-",
            cacertfile: self.admin_cacertfile.as_deref(),
            certfile: self.admin_certfile.as_deref(),
            keyfile: self.admin_keyfile.as_deref(),
        };
        let authorization = Some(format!("Basic {credentials}"));
        let answer = http::exchange(&self.admin, &files, method, path, authorization, body);
        let (status, body) = answer.map_err(|error| match error {
            HttpError::File(reason) => AdminError::File(reason),
            HttpError::Unreachable(reason) => {
                AdminError::Unreachable { admin: self.address().to_owned(), reason }
            }
        })?;
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
        self.admin.place()
    }

    fn password(&self) -> Result<String, AdminError> {
        let Some(path) = &self.password_file else { return Ok(self.password.clone()) };
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.lines().next().unwrap_or_default().to_owned()),
            Err(error) => {
                Err(AdminError::File(format!("--password-file {}: {error}", path.display())))
            }
        }
    }
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_path_is_escaped() {
        assert_eq!(segment("/"), "%2F");
        assert_eq!(segment("a b.c-d_e~é"), "a%20b.c-d_e~%C3%A9");
    }
}
