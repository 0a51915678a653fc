//! From PEM files to what rustls serves with. Read at the start and at every SIGHUP.

use super::error::TlsError;
use super::identity::{LoginFrom, validity};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

const CERTFILE: &str = "tls.certfile";
const KEYFILE: &str = "tls.keyfile";
const CACERTFILE: &str = "tls.cacertfile";

/// How a private key begins that a password protects.
const ENCRYPTED_KEY: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// Where certificates and key are, and what clients must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The broker's certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of client certificates; without them clients are not asked for one.
    pub authorities: Option<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub requires_certificate: bool,
    /// What of a certificate is a user's name.
    pub login_from: LoginFrom,
}

/// What was in the files.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// When the broker's certificate expires, as far as it says so.
    pub(super) expires_at: Option<SystemTime>,
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub(super) fn load(&self) -> Result<Loaded, TlsError> {
        let chain = certificates(CERTFILE, &self.certificate)?;
        self.warn_of_time(&chain);
        let expires_at = chain.first().and_then(validity).map(|(_, end)| end);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Provider)?;
        let builder = match &self.authorities {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider);
                let verifier = if self.requires_certificate {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                let verifier = verifier
                    .build()
                    .map_err(|error| TlsError::Verifier { path: path.clone(), error })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(chain, private_key(&self.key)?);
        let config = config.map_err(|error| TlsError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            error,
        })?;
        Ok(Loaded { config: Arc::new(config), expires_at })
    }

    /// Clients will refuse such a certificate, but the broker may still serve those who do not look.
    fn warn_of_time(&self, chain: &[CertificateDer<'_>]) {
        let Some((begin, end)) = chain.first().and_then(validity) else { return };
        let (now, path) = (SystemTime::now(), self.certificate.display());
        if now > end {
            tracing::warn!("the TLS certificate in {path} has expired: clients will refuse it");
        } else if now < begin {
            tracing::warn!(
                "the TLS certificate in {path} is not valid yet: clients will refuse it"
            );
        }
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CACERTFILE, path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Authority { path: path.to_owned(), error })?;
    }
    Ok(roots)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(key, path)?;
    let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| unreadable(key, path, &error))?;
    if chain.is_empty() {
        let expected = "certificate, expected -----BEGIN CERTIFICATE-----";
        return Err(TlsError::Empty { key, path: path.to_owned(), expected });
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(KEYFILE, path)?;
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if is_encrypted(&bytes) => {
            Err(TlsError::EncryptedKey { path: path.to_owned() })
        }
        Err(pem::Error::NoItemsFound) => {
            let expected = "private key, expected -----BEGIN PRIVATE KEY-----";
            Err(TlsError::Empty { key: KEYFILE, path: path.to_owned(), expected })
        }
        Err(error) => Err(unreadable(KEYFILE, path, &error)),
    }
}

fn is_encrypted(bytes: &[u8]) -> bool {
    bytes.windows(ENCRYPTED_KEY.len()).any(|window| window == ENCRYPTED_KEY.as_bytes())
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Read { key, path: path.to_owned(), error })
}

fn unreadable(key: &'static str, path: &Path, error: &pem::Error) -> TlsError {
    TlsError::Pem { key, path: path.to_owned(), reason: error.to_string() }
}
