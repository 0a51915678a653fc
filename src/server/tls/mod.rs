//! TLS 1.2 and 1.3, by rustls: certificates, handshakes, and the bytes of a session of AMQP. The HTTP
//! listeners take the certificates from here and leave the bytes to tokio-rustls.
//!
//! The listener shakes hands before anything of AMQP is read; from then on [`TlsSession`] stands
//! between a [`crate::net::socket::Socket`] and its bytes. Listeners without TLS pass through none of
//! this.

mod acceptor;
mod details;
mod error;
mod files;
mod identity;
mod session;
mod settings;

pub use acceptor::{HandshakeError, Handshaken, TlsAcceptor};
pub use details::{PeerCertificate, TlsDetails};
pub use error::TlsError;
pub use files::TlsFiles;
pub use identity::{LoginFrom, SanType};
pub use session::TlsSession;
pub use settings::{ConfigLoginFrom, ConfigTls, TLS_LISTEN_DEFAULT, TlsSettings, TlsSettingsError};
pub(crate) use settings::{UnresolvedTls, resolve};
