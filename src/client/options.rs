//! How to connect: addresses, credentials, limits, TLS, reconnection.
//!
//! Built from a URI or field by field, read by the supervisor for every attempt.

use std::{convert::Infallible, str::FromStr, time::Duration};

use crate::{
    Error,
    limits::{
        BACKOFF_FIRST, BACKOFF_MAX, CONNECT_TIMEOUT_DEFAULT, FRAME_SIZE_MAX, HEARTBEAT_DEFAULT,
    },
    uri::{Address, PORT, Uri},
};

/// Everything [`crate::Connection::connect`] needs to know. A URI is enough for most programs:
///
/// ```
/// # use forebay_client::ConnectOptions;
/// # use std::time::Duration;
/// let options: ConnectOptions = "amqp://app:secret@one,two:5673/orders?heartbeat=10".parse()?;
/// let options = options.name("checkout").reconnect_for(Duration::from_secs(600));
/// # Ok::<(), forebay_client::Error>(())
/// ```
///
/// Without a URI the default is `amqp://guest:guest@127.0.0.1:5672/%2F`.
#[derive(Clone)]
pub struct ConnectOptions {
    pub(crate) addresses: Vec<Address>,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) vhost: String,
    pub(crate) name: Option<String>,
    pub(crate) heartbeat: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) channels_max: u16,
    pub(crate) frame_size_max: u32,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) reconnect_for: Option<Duration>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::TlsSettings>,
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("addresses", &self.addresses)
            .field("user", &self.user)
            .field("vhost", &self.vhost)
            .finish_non_exhaustive()
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            addresses: vec![Address { host: "127.0.0.1".into(), port: PORT }],
            user: "guest".into(),
            password: "guest".into(),
            vhost: "/".into(),
            name: None,
            heartbeat: HEARTBEAT_DEFAULT,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            channels_max: forebay_wire::limits::CHANNELS_MAX,
            frame_size_max: FRAME_SIZE_MAX,
            backoff: (BACKOFF_FIRST, BACKOFF_MAX),
            reconnect_for: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl ConnectOptions {
    /// Reads an AMQP URI, and the certificate files that it names.
    ///
    /// # Errors
    /// [`Error::Uri`] says what to write instead; [`Error::TlsSettings`] when a file can't be read
    /// or the crate was built without the feature `tls`.
    pub fn from_uri(uri: &str) -> Result<Self, Error> {
        let uri = Uri::parse(uri)?;
        let default = Self::default();
        let options = Self {
            user: uri.user.clone().unwrap_or(default.user),
            password: uri.password.clone().unwrap_or(default.password),
            vhost: uri.vhost.clone().unwrap_or(default.vhost),
            name: uri.connection_name.clone(),
            heartbeat: uri.heartbeat.unwrap_or(default.heartbeat),
            connect_timeout: uri.connect_timeout.unwrap_or(default.connect_timeout),
            channels_max: uri.channels_max.unwrap_or(default.channels_max),
            frame_size_max: uri.frame_size_max.unwrap_or(default.frame_size_max),
            addresses: uri.addresses.clone(),
            ..default
        };
        options.with_tls_of(&uri)
    }

    #[cfg(feature = "tls")]
    fn with_tls_of(mut self, uri: &Uri) -> Result<Self, Error> {
        if !uri.is_tls {
            return Ok(self);
        }
        let read = |path: &String| {
            std::fs::read(path).map_err(|error| Error::TlsSettings(format!("{path}: {error}")))
        };
        let identity = match (&uri.certificate_file, &uri.key_file) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            (None, None) => None,
            _ => {
                return Err(Error::TlsSettings(
                    "certfile and keyfile are needed both, or neither".into(),
                ));
            }
        };
        self.tls = Some(crate::tls::TlsSettings {
            authorities: uri.ca_file.as_ref().map(read).transpose()?,
            identity,
            is_peer_unverified: uri.is_peer_unverified,
        });
        Ok(self)
    }

    #[cfg(not(feature = "tls"))]
    fn with_tls_of(self, uri: &Uri) -> Result<Self, Error> {
        if uri.is_tls {
            return Err(Error::TlsSettings(
                "amqps needs forebay-client with its feature `tls`".into(),
            ));
        }
        Ok(self)
    }

    /// One more address, tried after those before it.
    #[must_use]
    pub fn address(mut self, host: &str, port: u16) -> Self {
        self.addresses.push(Address { host: host.to_owned(), port });
        self
    }

    /// User name and password, instead of those of the URI.
    #[must_use]
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        user.clone_into(&mut self.user);
        password.clone_into(&mut self.password);
        self
    }

    /// The name under which the connection shows in the broker's lists.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The heartbeat interval to propose; the shorter one of client and broker counts, zero turns
    /// heartbeats off. Whole seconds count, one at least. Default: 30 s.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// The time for one address: name look-up, TCP, TLS and handshake together. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// First and longest wait between attempts to reconnect; the wait doubles in between and has up
    /// to half of it taken away at random. Default: 100 ms to 15 s.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest.max(first));
        self
    }

    /// Gives up when a lost connection could not be restored for this long. Default: never.
    #[must_use]
    pub fn reconnect_for(mut self, limit: Duration) -> Self {
        self.reconnect_for = Some(limit);
        self
    }

    /// Connects by TLS and trusts only the authorities in this PEM text.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_authorities(mut self, pem: &[u8]) -> Self {
        self.tls.get_or_insert_default().authorities = Some(pem.to_vec());
        self
    }
}

impl FromStr for ConnectOptions {
    type Err = Error;

    fn from_str(uri: &str) -> Result<Self, Error> {
        Self::from_uri(uri)
    }
}

impl TryFrom<&str> for ConnectOptions {
    type Error = Error;

    fn try_from(uri: &str) -> Result<Self, Error> {
        Self::from_uri(uri)
    }
}

impl TryFrom<&String> for ConnectOptions {
    type Error = Error;

    fn try_from(uri: &String) -> Result<Self, Error> {
        Self::from_uri(uri)
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
