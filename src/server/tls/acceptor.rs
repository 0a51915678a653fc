//! Handshakes, with the certificates that were read last.

use super::error::TlsError;
use super::files::{Loaded, TlsFiles};
use super::identity::user;
use super::session::TlsSession;
use crate::limits::TLS_HANDSHAKE_DURATION_MAX;
use arc_swap::ArcSwap;
use forebay_wire::ShortStr;
use rustls::{Error as RustlsError, InvalidMessage, ServerConfig, ServerConnection};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How a client begins that speaks AMQP without TLS.
const AMQP: &[u8] = b"AMQP";

/// Accepts clients with TLS. Clones share the certificates.
#[derive(Clone, Debug)]
pub struct TlsAcceptor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: TlsFiles,
    loaded: ArcSwap<Loaded>,
}

/// What came of a handshake.
#[derive(Debug)]
pub struct Handshaken {
    /// What the client is spoken to through.
    pub session: TlsSession,
    /// Whom its certificate names, if it has shown one.
    pub certificate_user: Option<ShortStr>,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client ended it without a word: a port scan or a health check, mostly.
    #[error("the client ended it")]
    Ended,
    /// The client speaks AMQP in the clear.
    #[error("the client speaks AMQP without TLS: it should use amqps, or the port without TLS")]
    NoTls,
    /// It took too long.
    #[error("not done within {} s", TLS_HANDSHAKE_DURATION_MAX.as_secs())]
    Overdue,
    /// The socket failed, or the two do not get together.
    #[error(transparent)]
    Failed(io::Error),
}

impl TlsAcceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let loaded = ArcSwap::from_pointee(files.load()?);
        Ok(Self { inner: Arc::new(Inner { files, loaded }) })
    }

    /// Reads the files again, for clients to come; those that are there keep their sessions.
    ///
    /// # Errors
    /// Names the file and what is wrong with it; the certificates stay as they were.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.inner.loaded.store(Arc::new(self.inner.files.load()?));
        Ok(())
    }

    /// What a session that begins now is served with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.inner.loaded.load().config)
    }

    /// When the certificate that is served expires, as far as it says so.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.inner.loaded.load().expires_at
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// Why it did not work out; the client has been sent an alert where there is one for it.
    pub async fn accept(&self, stream: &TcpStream) -> Result<Handshaken, HandshakeError> {
        let handshake = timeout(TLS_HANDSHAKE_DURATION_MAX, self.shake_hands(stream)).await;
        let session = handshake.map_err(|_| HandshakeError::Overdue)??;
        let certificate = session.session().peer_certificates().and_then(<[_]>::first);
        let certificate_user = certificate.and_then(|it| user(it, self.inner.files.login_from));
        Ok(Handshaken { certificate_user, session })
    }

    async fn shake_hands(&self, stream: &TcpStream) -> Result<TlsSession, HandshakeError> {
        let failed = |error| HandshakeError::Failed(io::Error::other(error));
        let connection = ServerConnection::new(self.config()).map_err(failed)?;
        let mut session = TlsSession::new(connection);
        let mut first = [0; AMQP.len()];
        let count = stream.peek(&mut first).await.map_err(HandshakeError::Failed)?;
        let is_amqp = count > 0 && AMQP.starts_with(first.get(..count).unwrap_or_default());
        while session.session().is_handshaking() || session.holds_output() {
            match session.shake_hands(stream) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let waits_to_write = session.holds_output();
                    let interest =
                        if waits_to_write { Interest::WRITABLE } else { Interest::READABLE };
                    stream.ready(interest).await.map_err(HandshakeError::Failed)?;
                }
                Err(error) => return Err(explained(error, is_amqp)),
            }
        }
        Ok(session)
    }
}

fn explained(error: io::Error, is_amqp: bool) -> HandshakeError {
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>());
    match (error.kind(), reason) {
        (ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset, _) => HandshakeError::Ended,
        (_, Some(RustlsError::InvalidMessage(InvalidMessage::InvalidContentType))) if is_amqp => {
            HandshakeError::NoTls
        }
        _ => HandshakeError::Failed(error),
    }
}
