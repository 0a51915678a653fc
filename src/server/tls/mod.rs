//! TLS 1.2 and 1.3 for AMQP, by rustls: certificates, handshakes, and the octets of a session.
//!
//! The listener shakes hands before anything of AMQP is read; from then on [`TlsSession`] stands
//! between a [`crate::socket::Socket`] and its octets. Listeners without TLS pass through none of
//! this.

mod acceptor;
mod error;
mod files;
mod identity;
mod session;
mod settings;

pub use acceptor::{HandshakeError, Handshaken, TlsAcceptor};
pub use error::TlsError;
pub use files::TlsFiles;
pub use identity::{LoginFrom, SanType};
pub use session::TlsSession;
pub(crate) use settings::resolve;
pub use settings::{ConfigTls, TLS_LISTEN_DEFAULT, TlsOverrides, TlsSettings, TlsSettingsError};
