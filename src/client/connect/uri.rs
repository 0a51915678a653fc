//! AMQP URIs: `amqp://user:password@host:port/vhost?heartbeat=30`, and `amqps://` for TLS.
//!
//! Follows the AMQP URI specification of RabbitMQ: percent-encoding everywhere, an absent vhost
//! means `/`, an empty one (`amqp://host/`) means the vhost with the empty name. Several addresses
//! stand in one URI, separated by commas. Called by [`crate::ConnectOptions`] only.

use std::{borrow::Cow, fmt, time::Duration};

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// Port of `amqp`, 5672.
pub(crate) const PORT: u16 = 5_672;
/// Port of `amqps`, 5671.
pub(crate) const PORT_TLS: u16 = 5_671;

/// One place where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What is wrong with an AMQP URI, and what it should look like.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UriError {
    /// The scheme is neither `amqp` nor `amqps`.
    #[error("an AMQP URI begins with amqp:// or amqps://, this one with `{0}`")]
    Scheme(String),
    /// No host before the path.
    #[error("the AMQP URI names no host; write amqp://host:port/vhost")]
    NoHost,
    /// The port is not a number from 1 to 65535.
    #[error("`{0}` is no TCP port; write a number from 1 to 65535 after the host")]
    Port(String),
    /// The path has more than one segment.
    #[error("the vhost `{0}` holds a slash; write it as %2F")]
    Vhost(String),
    /// A percent sign without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("`{0}` is not percent-encoded UTF-8; write a literal % as %25")]
    Encoding(String),
    /// User name or password are not percent-encoded. The text shows no part of them.
    #[error(
        "user name and password of an AMQP URI are percent-encoded UTF-8; write / as %2F, ? as %3F, \
         @ as %40 and a literal % as %25"
    )]
    Credentials,
    /// An unknown query parameter.
    #[error("`{0}` is no parameter of an AMQP URI; known are {KNOWN_PARAMETERS}")]
    UnknownParameter(String),
    /// A query parameter with a value that it can't have.
    #[error("parameter {name} is `{value}`; expected {expected}")]
    Parameter {
        /// Name of the parameter.
        name: String,
        /// The value found.
        value: String,
        /// What would have been right.
        expected: &'static str,
    },
}

const KNOWN_PARAMETERS: &str = "heartbeat (seconds), connection_timeout (ms), channel_max, frame_max, \
     connection_name, auth_mechanism, cacertfile, certfile, keyfile, verify, \
     server_name_indication";

/// A parsed URI.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Uri {
    pub(crate) is_tls: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) vhost: Option<String>,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) channels_max: Option<u16>,
    pub(crate) frame_size_max: Option<u32>,
    pub(crate) connection_name: Option<String>,
    pub(crate) ca_file: Option<String>,
    pub(crate) certificate_file: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) is_peer_unverified: bool,
    pub(crate) server_name: Option<String>,
    pub(crate) is_external: bool,
}

impl Uri {
    pub(crate) fn parse(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| UriError::Scheme(scheme_of(text)))?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "amqp" => false,
            "amqps" => true,
            _ => return Err(UriError::Scheme(scheme_of(text))),
        };
        let mut uri = Self { is_tls, ..Self::default() };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        // A password with one of the separators in it is cut there: none of its parts may be shown.
        let may_be_cut = !authority.contains('@') && text.contains('@');
        uri.take_authority(authority)
            .map_err(|error| if may_be_cut { UriError::Credentials } else { error })?;
        if let Some(path) = path {
            if path.contains('/') {
                if may_be_cut {
                    return Err(UriError::Credentials);
                }
                return Err(UriError::Vhost(path.to_owned()));
            }
            uri.vhost = Some(decoded(path)?);
        }
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            uri.take_parameter(&decoded(name)?, decoded(value)?)?;
        }
        Ok(uri)
    }

    fn take_authority(&mut self, authority: &str) -> Result<(), UriError> {
        let hosts = match authority.rsplit_once('@') {
            None => authority,
            Some((credentials, hosts)) => {
                let (user, password) = match credentials.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (credentials, None),
                };
                let credential = |text| decoded(text).map_err(|_| UriError::Credentials);
                self.user = Some(credential(user)?);
                self.password = password.map(credential).transpose()?;
                hosts
            }
        };
        let port = if self.is_tls { PORT_TLS } else { PORT };
        for host in hosts.split(',') {
            self.addresses.push(address(host, port)?);
        }
        Ok(())
    }

    fn take_parameter(&mut self, name: &str, value: String) -> Result<(), UriError> {
        let number = |expected| {
            value.parse::<u64>().map_err(|_| UriError::Parameter {
                name: name.to_owned(),
                value: value.clone(),
                expected,
            })
        };
        let wrong = |expected| UriError::Parameter {
            name: name.to_owned(),
            value: value.clone(),
            expected,
        };
        match name {
            "heartbeat" => {
                let seconds = number("seconds from 0 (none) to 65535")?;
                let seconds =
                    u16::try_from(seconds).map_err(|_| wrong("seconds from 0 (none) to 65535"))?;
                self.heartbeat = Some(Duration::from_secs(seconds.into()));
            }
            "connection_timeout" => {
                self.connect_timeout = Some(Duration::from_millis(number("milliseconds")?.max(1)));
            }
            "channel_max" => {
                let channels = number("a number from 1 to 65535")?;
                let channels = u16::try_from(channels).ok().filter(|channels| *channels > 0);
                self.channels_max =
                    Some(channels.ok_or_else(|| wrong("a number from 1 to 65535"))?);
            }
            "frame_max" => {
                let bytes = u32::try_from(number("bytes, at least 4096")?).ok();
                let bytes = bytes.filter(|bytes| *bytes >= 4_096);
                self.frame_size_max = Some(bytes.ok_or_else(|| wrong("bytes, at least 4096"))?);
            }
            "connection_name" => self.connection_name = Some(value),
            "cacertfile" => self.ca_file = Some(value),
            "certfile" => self.certificate_file = Some(value),
            "keyfile" => self.key_file = Some(value),
            "server_name_indication" => self.server_name = Some(value),
            "auth_mechanism" => match value.to_ascii_lowercase().as_str() {
                "plain" => self.is_external = false,
                "external" => self.is_external = true,
                _ => return Err(wrong("plain or external")),
            },
            "verify" => match value.as_str() {
                "verify_peer" => self.is_peer_unverified = false,
                "verify_none" => self.is_peer_unverified = true,
                _ => return Err(wrong("verify_peer or verify_none")),
            },
            _ => return Err(UriError::UnknownParameter(name.to_owned())),
        }
        Ok(())
    }
}

/// What stands where a scheme should, without anything that might be a password.
fn scheme_of(text: &str) -> String {
    text.split(['@', '?', '/', ':']).next().unwrap_or_default().chars().take(16).collect()
}

fn address(text: &str, default_port: u16) -> Result<Address, UriError> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(UriError::NoHost)?;
        (host, port.strip_prefix(':'))
    } else {
        match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err(UriError::NoHost);
    }
    let port = match port {
        None | Some("") => default_port,
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 => number,
            _ => return Err(UriError::Port(port.to_owned())),
        },
    };
    Ok(Address { host: decoded(host)?, port })
}

fn decoded(text: &str) -> Result<String, UriError> {
    let fault = || UriError::Encoding(text.to_owned());
    // The decoder leaves a percent sign without two digits as it is; here it is a slip, such as a password
    // that was not encoded.
    let is_escape = |rest: &str| {
        rest.get(..2).is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return Err(fault());
    }
    percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read() {
        let uri = Uri::parse(
            "amqps://us%40er:p%3Ass@one:5673,[::1],two/my%2Fvhost?heartbeat=10&channel_max=7",
        )
        .unwrap();
        assert!(uri.is_tls);
        assert_eq!(uri.user.as_deref(), Some("us@er"));
        assert_eq!(uri.password.as_deref(), Some("p:ss"));
        let addresses: Vec<String> = uri.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["one:5673", "[::1]:5671", "two:5671"]);
        assert_eq!(uri.vhost.as_deref(), Some("my/vhost"));
        assert_eq!(uri.heartbeat, Some(Duration::from_secs(10)));
        assert_eq!(uri.channels_max, Some(7));
    }

    #[test]
    fn an_absent_vhost_is_not_an_empty_one() {
        assert_eq!(Uri::parse("amqp://host").unwrap().vhost, None);
        assert_eq!(Uri::parse("amqp://host/").unwrap().vhost.as_deref(), Some(""));
        assert_eq!(Uri::parse("amqp://host/%2f").unwrap().vhost.as_deref(), Some("/"));
    }

    #[test]
    fn each_fault_says_what_to_write() {
        let fault = |text: &str| Uri::parse(text).unwrap_err().to_string();
        assert!(fault("localhost:5672").contains("amqp:// or amqps://"));
        assert!(fault("http://host").contains("`http`"));
        assert!(fault("amqp:///vhost").contains("names no host"));
        assert!(fault("amqp://host:99999").contains("`99999` is no TCP port"));
        assert!(fault("amqp://host/a/b").contains("%2F"));
        for wrong in ["us%zzer", "us%", "us%2", "us%é", "us%ff"] {
            assert!(fault(&format!("amqp://{wrong}@host")).contains("%25"), "{wrong}");
        }
        assert!(fault("amqp://host?heart=1").contains("heartbeat (seconds)"));
        assert!(fault("amqp://host?heartbeat=soon").contains("expected seconds"));
    }

    #[test]
    fn a_scheme_fault_shows_no_password() {
        assert!(
            !Uri::parse("user:secret-of-mine-that-is-long@host")
                .unwrap_err()
                .to_string()
                .contains("is-long")
        );
    }

    /// An error text shows no part of a password, whichever part of the URI was not encoded.
    #[test]
    fn no_error_shows_a_part_of_a_password() {
        for text in [
            "amqp://app:s3cr/et@host/vhost",
            "amqp://app:s3cr?et@host/vhost",
            "amqp://app:s3cr%et@host/vhost",
            "amqp://app:s3cr/e/t@host",
            "amqp:/app:s3cret@host",
            "app:s3cret@host",
        ] {
            let error = Uri::parse(text).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3cr") && !shown.contains("et@"), "{text}: {shown}");
        }
    }
}
