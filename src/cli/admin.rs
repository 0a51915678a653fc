//! Asks a broker's admin listener: one HTTP request per connection, over TLS when the address begins
//! with `https://`, answers of bounded size.

use super::admin_tls;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// Octets of an answer: the definitions of a very large broker.
const ANSWER_OCTETS_MAX: u64 = 256 * 1024 * 1024;

/// How long the broker may be silent.
const SILENCE_DURATION_MAX: Duration = Duration::from_secs(60);

/// Which broker, and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdminTarget {
    /// Admin listener of the broker, as HOST:PORT or https://HOST:PORT
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
    admin_cacertfile: Option<PathBuf>,

    /// User with the tag `administrator`
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
#[derive(Clone, Debug)]
struct AdminAddress {
    place: String,
    is_tls: bool,
}

/// A URL as browsers show it, or what stands in it.
fn listener(text: &str) -> Result<AdminAddress, std::convert::Infallible> {
    let (is_tls, place) = match text.strip_prefix("https://") {
        Some(place) => (true, place),
        None => (false, text.strip_prefix("http://").unwrap_or(text)),
    };
    Ok(AdminAddress { place: place.trim_end_matches('/').to_owned(), is_tls })
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum AdminError {
    /// The broker can't be reached, or what answers is none.
    Unreachable { admin: String, reason: String },
    /// It refused.
    Refused { status: u16, reason: String },
    /// The file with the password can't be read.
    PasswordFile { path: PathBuf, error: io::Error },
}

impl std::fmt::Display for AdminError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable { admin, reason } => write!(
                formatter,
                "no admin listener answers at {admin}: {reason}; check --admin and that the \
                 broker runs"
            ),
            Self::Refused { status: 401, reason } => write!(
                formatter,
                "{reason}; check --user and --password: the user needs the tag administrator"
            ),
            Self::Refused { reason, .. } => formatter.write_str(reason),
            Self::PasswordFile { path, error } => write!(
                formatter,
                "cannot read the password from {}: {error}; check --password-file",
                path.display()
            ),
        }
    }
}

impl std::error::Error for AdminError {}

impl AdminTarget {
    /// A fresh broker, with the user that it makes at its first start.
    pub(crate) fn of_fresh_broker(admin: String) -> Self {
        let guest = || "guest".to_owned();
        let admin = AdminAddress { place: admin, is_tls: false };
        let (admin_cacertfile, password_file) = (None, None);
        Self { admin, admin_cacertfile, user: guest(), password: guest(), password_file }
    }

    /// The body of the answer to a request that was not refused.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, AdminError> {
        let unreachable =
            |reason: String| AdminError::Unreachable { admin: self.address().to_owned(), reason };
        let password = self.password()?;
        let answer = self.exchange(&password, method, path, body);
        let answer = answer.map_err(|error| unreachable(error.to_string()))?;
        let (status, body) =
            parse(&answer).ok_or_else(|| unreachable("what answers speaks no HTTP".to_owned()))?;
        if (200..300).contains(&status) {
            return Ok(body.to_vec());
        }
        let reason = serde_json::from_slice::<Value>(body).ok();
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
            Err(error) => Err(AdminError::PasswordFile { path: path.clone(), error }),
        }
    }

    fn exchange(
        &self,
        password: &str,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> io::Result<Vec<u8>> {
        let mut last = io::Error::other("the name has no address");
        for address in self.address().to_socket_addrs()? {
            let stream = match TcpStream::connect_timeout(&address, SILENCE_DURATION_MAX) {
                Ok(stream) => stream,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            stream.set_read_timeout(Some(SILENCE_DURATION_MAX))?;
            stream.set_write_timeout(Some(SILENCE_DURATION_MAX))?;
            let credentials = STANDARD.encode(format!("{}:{password}", self.user));
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {credentials}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                self.address(),
                body.len()
            );
            if !self.admin.is_tls {
                return converse(stream, &head, body);
            }
            let authorities = self.admin_cacertfile.as_deref();
            return converse(admin_tls::wrap(stream, self.address(), authorities)?, &head, body);
        }
        Err(last)
    }
}

fn converse(mut stream: impl Read + Write, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_OCTETS_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~".contains(octet);
    let encode = |octet: u8| match is_plain(&octet) {
        true => char::from(octet).to_string(),
        false => format!("%{octet:02X}"),
    };
    name.bytes().map(encode).collect()
}

/// Status and body. The body is whole: our listener always says its length, and the connection
/// ends with it.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|octets| octets == b"\r\n\r\n")?;
    let (head, body) = answer.split_at_checked(end + 4)?;
    let head = std::str::from_utf8(head).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    match length {
        Some(length) => Some((status, body.get(..length)?)),
        None => Some((status, body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_none() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(parse(answer), Some((200, &b"{}"[..])));
        for length in 0..answer.len() {
            assert_eq!(parse(&answer[..length]), None, "{length}");
        }
        assert_eq!(parse(b"AMQP\0\0\x09\x01\r\n\r\n"), None);
    }
}
