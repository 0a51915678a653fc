//! How to connect: addresses, credentials, limits, TLS, reconnection.
//!
//! Built from a URI or field by field, read by the supervisor for every attempt.

#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::{convert::Infallible, str::FromStr, time::Duration};

#[cfg(feature = "tls")]
use crate::connect::tls::{Pem, TlsSettings};
use crate::{
    Error,
    connect::uri::{Address, PORT, Uri},
    limits::{
        BACKOFF_FIRST, BACKOFF_MAX, CONNECT_TIMEOUT_DEFAULT, FRAME_SIZE_MAX, HEARTBEAT_DEFAULT,
    },
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
    pub(crate) connect_for: Option<Duration>,
    pub(crate) is_external: bool,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsSettings>,
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
            connect_for: None,
            is_external: false,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl ConnectOptions {
    /// Reads an AMQP URI. The certificate files that it names are read at each attempt to connect.
    ///
    /// # Errors
    /// [`Error::Uri`] says what to write instead; [`Error::TlsSettings`] when a certificate is named
    /// without its key or the crate was built without the feature `tls`.
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
            is_external: uri.is_external,
            ..default
        };
        options.with_tls_of(&uri)
    }

    #[cfg(feature = "tls")]
    fn with_tls_of(mut self, uri: &Uri) -> Result<Self, Error> {
        if !uri.is_tls {
            return Ok(self);
        }
        let file = |path: &String| Pem::File(path.into());
        let identity = match (&uri.certificate_file, &uri.key_file) {
            (Some(certificate), Some(key)) => Some((file(certificate), file(key))),
            (None, None) => None,
            _ => {
                return Err(Error::TlsSettings(
                    "certfile and keyfile are needed both, or neither".into(),
                ));
            }
        };
        self.tls = Some(TlsSettings {
            authorities: uri.ca_file.as_ref().map(file),
            identity,
            is_peer_unverified: uri.is_peer_unverified,
            server_name: uri.server_name.clone(),
            config: None,
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

    /// The vhost, instead of that of the URI. Default: `/`.
    #[must_use]
    pub fn vhost(mut self, name: &str) -> Self {
        name.clone_into(&mut self.vhost);
        self
    }

    /// Logs in as the user whom the client certificate names (SASL EXTERNAL) instead of with a
    /// password. Needs `amqps://` with a client certificate, and a broker that is set up for it. In a
    /// URI: `auth_mechanism=external`.
    #[must_use]
    pub fn external(mut self) -> Self {
        self.is_external = true;
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

    /// Tries the first connection again for this long, with the waits of
    /// [`ConnectOptions::backoff`], while no program listens there or the broker is starting
    /// ([`crate::ConnectError::is_transient`]). Default: one attempt for each address.
    #[must_use]
    pub fn connect_for(mut self, limit: Duration) -> Self {
        self.connect_for = Some(limit);
        self
    }

    /// Connects by TLS and trusts only the authorities in this PEM text.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_authorities(mut self, pem: &[u8]) -> Self {
        self.tls.get_or_insert_default().authorities = Some(Pem::Text(pem.to_vec()));
        self
    }

    /// Connects by TLS and trusts only the authorities in this PEM file, which is read at each
    /// attempt to connect.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_authorities_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.get_or_insert_default().authorities = Some(Pem::File(path.into()));
        self
    }

    /// Connects by TLS and shows this certificate chain, with its unencrypted key; both PEM texts.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_identity(mut self, chain: &[u8], key: &[u8]) -> Self {
        let identity = (Pem::Text(chain.to_vec()), Pem::Text(key.to_vec()));
        self.tls.get_or_insert_default().identity = Some(identity);
        self
    }

    /// As [`ConnectOptions::tls_identity`], from files that are read at each attempt to connect: a
    /// certificate that was renewed counts from the next connection on.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_identity_files(
        mut self,
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        let identity = (Pem::File(chain.into()), Pem::File(key.into()));
        self.tls.get_or_insert_default().identity = Some(identity);
        self
    }

    /// Connects by TLS and expects this name in the broker's certificate instead of the host's. In a
    /// URI: `server_name_indication`.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_server_name(mut self, name: &str) -> Self {
        self.tls.get_or_insert_default().server_name = Some(name.to_owned());
        self
    }

    /// Connects by TLS with a configuration of the program's own, which replaces authorities and
    /// identity.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_config(mut self, config: std::sync::Arc<crate::rustls::ClientConfig>) -> Self {
        self.tls.get_or_insert_default().config = Some(config);
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

impl TryFrom<String> for ConnectOptions {
    type Error = Error;

    fn try_from(uri: String) -> Result<Self, Error> {
        Self::from_uri(&uri)
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
