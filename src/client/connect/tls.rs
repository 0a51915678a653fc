//! TLS for `amqps` addresses: rustls with the ring provider, compiled in with the feature `tls`.
//!
//! Settings are kept by [`crate::ConnectOptions`]; the supervisor makes a connector of them for each
//! attempt to connect, so a certificate that was renewed on disk counts from the next connection on.

use std::{io, path::PathBuf, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
        SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    },
};

use crate::{ConnectError, connect::uri::Address};

/// PEM, or where it is read from at each attempt to connect.
#[derive(Clone)]
pub(crate) enum Pem {
    Text(Vec<u8>),
    File(PathBuf),
}

impl Pem {
    fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => {
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
            }
        }
    }

    /// Where it came from, for messages.
    fn origin(&self) -> String {
        match self {
            Self::Text(_) => "the PEM text".into(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// What the client trusts, and how it proves who it is.
#[derive(Clone, Default)]
pub(crate) struct TlsSettings {
    /// Certificates to trust instead of those of the operating system.
    pub(crate) authorities: Option<Pem>,
    /// The client's certificate chain and key.
    pub(crate) identity: Option<(Pem, Pem)>,
    pub(crate) is_peer_unverified: bool,
    /// The name that the broker's certificate must carry, instead of the host's.
    pub(crate) server_name: Option<String>,
    /// Used as it is, instead of all of the above but the server's name.
    pub(crate) config: Option<Arc<ClientConfig>>,
}

/// Wraps TCP streams of one attempt to connect.
pub(crate) struct Connector {
    connector: TlsConnector,
    server_name: Option<String>,
}

impl Connector {
    pub(crate) async fn wrap(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let invalid = format!("`{name}` is no valid server name");
        let name = ServerName::try_from(name)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, invalid))?;
        self.connector.connect(name, stream).await
    }
}

impl TlsSettings {
    pub(crate) fn connector(&self) -> Result<Connector, String> {
        let config = match &self.config {
            Some(config) => Arc::clone(config),
            None => Arc::new(self.client_config()?),
        };
        let server_name = self.server_name.clone();
        Ok(Connector { connector: TlsConnector::from(config), server_name })
    }

    fn client_config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions();
        let builder = versions.map_err(|error| error.to_string())?;
        let builder = if self.is_peer_unverified {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyPeer(provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder
                .with_client_auth_cert(certificates(chain)?, private_key(key)?)
                .map_err(|error| format!("the client certificate: {error}")),
        }
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(pem) => {
                for certificate in certificates(pem)? {
                    roots
                        .add(certificate)
                        .map_err(|error| format!("the certificate authority: {error}"))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err("the operating system has no trusted certificates; name yours with cacertfile".into());
                }
            }
        }
        Ok(roots)
    }
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, String> {
    let (text, origin) = (pem.read()?, pem.origin());
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        if text.windows(9).any(|word| word == b"ENCRYPTED") {
            format!(
                "the private key in {origin} is encrypted; decrypt it (openssl pkey -in KEY -out PLAIN_KEY)"
            )
        } else {
            format!("no private key can be read from {origin} (PEM is expected): {error}")
        }
    })
}

/// What a failed handshake means, and what to do about it.
pub(crate) fn refused(address: &Address, error: io::Error) -> ConnectError {
    let tls_error = error.get_ref().and_then(|inner| inner.downcast_ref());
    let hint = tls_error.map_or(HINT_NO_TLS, hint);
    let text = error.to_string();
    ConnectError::Tls { address: address.clone(), text, hint, source: Arc::new(error) }
}

/// Whether reading or writing failed because of TLS. With TLS 1.3 a broker refuses the client's
/// certificate only after the client took the handshake for complete.
pub(crate) fn is_tls_error(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(|inner| inner.is::<tokio_rustls::rustls::Error>())
}

const HINT_NO_TLS: &str = "does it speak TLS there (the port is usually 5671)?";
const HINT_IDENTITY: &str =
    "the broker asks for a client certificate that it trusts; name yours with certfile and keyfile";

fn hint(error: &tokio_rustls::rustls::Error) -> &'static str {
    use tokio_rustls::rustls::Error;
    match error {
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure
            | AlertDescription::DecryptError,
        ) => HINT_IDENTITY,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the broker's certificate is for another host name",
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the broker's certificate is out of date",
        Error::InvalidCertificate(_) => {
            "is the broker's certificate signed by an authority that is trusted here (cacertfile)?"
        }
        _ => HINT_NO_TLS,
    }
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let (text, origin) = (pem.read()?, pem.origin());
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| format!("a certificate in {origin}: {error}"))?;
    if found.is_empty() { Err(format!("{origin} holds no certificate in PEM")) } else { Ok(found) }
}

/// `verify=verify_none`: encrypted, whatever certificate the peer shows.
#[derive(Debug)]
struct AnyPeer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyPeer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, tokio_rustls::rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, tokio_rustls::rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, tokio_rustls::rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
