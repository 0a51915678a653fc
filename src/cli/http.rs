//! One HTTP request to a listener of a broker, over TLS when its address begins with `https://`.

use super::http_tls::{self, TlsFiles};
use std::io;
use std::time::Duration;
use ureq::http::{Method, Request, Uri};
use ureq::{Agent, Error};

/// Bytes of an answer: the definitions of a very large broker.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How long the broker may be silent.
const SILENCE_DURATION_MAX: Duration = Duration::from_secs(60);

/// Host and port, and whether over TLS.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Address {
    place: String,
    is_tls: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum HttpError {
    /// A file can't be used; the option is named.
    File(String),
    /// The listener can't be reached, or what answers is none.
    Unreachable(String),
}

impl Address {
    /// HOST, HOST:PORT, or a URL as browsers show it.
    pub(super) fn parse(text: &str, default_port: u16) -> Result<Self, String> {
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
            Some("") => default_port,
            _ => authority.port_u16().filter(|port| *port > 0).ok_or_else(expected)?,
        };
        Ok(Self { place: format!("{}:{port}", authority.host()), is_tls })
    }

    /// Without TLS.
    pub(super) fn plain(place: String) -> Self {
        Self { place, is_tls: false }
    }

    /// HOST:PORT.
    pub(super) fn place(&self) -> &str {
        &self.place
    }
}

/// What is asked of a listener.
#[derive(Clone, Copy, Default)]
pub(super) struct HttpRequest<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Headers beside `content-type: application/json`.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// Status and body of the answer. Redirects are not followed, and proxies that the environment names are not
/// used: a listener is asked directly.
///
/// # Errors
/// When a file can't be used, the listener can't be reached, is silent for [`SILENCE_DURATION_MAX`], or
/// answers more than [`ANSWER_BYTES_MAX`].
pub(super) fn exchange(
    address: &Address,
    files: &TlsFiles<'_>,
    request: HttpRequest<'_>,
) -> Result<(u16, Vec<u8>), HttpError> {
    let prefix = files.option_prefix;
    let fault = |error: &Error| HttpError::Unreachable(reason(address, prefix, error));
    let scheme = if address.is_tls { "https" } else { "http" };
    let HttpRequest { method, path, headers, body } = request;
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap_or_default())
        .uri(format!("{scheme}://{}{path}", address.place))
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body).map_err(|error| fault(&error.into()))?;
    let config = Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(SILENCE_DURATION_MAX))
        .timeout_per_read(Some(SILENCE_DURATION_MAX))
        .timeout_per_write(Some(SILENCE_DURATION_MAX))
        .user_agent("forebay");
    let config = if address.is_tls {
        config.tls_config(http_tls::config(files).map_err(HttpError::File)?)
    } else {
        config
    };
    let agent: Agent = config.build().into();
    let answer = agent.run(request).map_err(|error| fault(&error))?;
    let status = answer.status().as_u16();
    let body = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    Ok((status, body.map_err(|error| fault(&error))?))
}

/// What went wrong, and what to do about it.
fn reason(address: &Address, option_prefix: &str, error: &Error) -> String {
    match error {
        Error::Io(error) => match tls_error(error) {
            Some(error) => http_tls::reason(option_prefix, error),
            None => format!("{error}; check the address and that the broker runs"),
        },
        Error::Rustls(error) => http_tls::reason(option_prefix, error),
        Error::HostNotFound => "the name has no address; check it".to_owned(),
        Error::Protocol(_) if !address.is_tls => {
            "what answers speaks no HTTP; if it speaks TLS, write https:// before the address"
                .to_owned()
        }
        error => format!("{error}; check the address and that the broker runs"),
    }
}

/// The fault of a TLS session, which reads and writes hide in theirs.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_of_its_own_or_the_usual_one() {
        let place = |text: &str| {
            Address::parse(text, 15_672).map(|address| (address.place, address.is_tls))
        };
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
}
