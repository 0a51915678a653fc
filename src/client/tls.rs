//! TLS for `amqps` addresses: rustls with the ring provider, compiled in with the feature `tls`.
//!
//! Called by [`crate::ConnectOptions`] once per connection to make the connector, and by the
//! supervisor for each attempt to wrap a TCP stream.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    },
};

/// What the client trusts, and how it proves who it is. All in PEM.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsSettings {
    /// Certificates to trust instead of those of the operating system.
    pub(crate) authorities: Option<Vec<u8>>,
    /// The client's certificate chain and key.
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) is_peer_unverified: bool,
}

impl TlsSettings {
    pub(crate) fn connector(&self) -> Result<TlsConnector, String> {
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions();
        let builder = versions.map_err(|error| error.to_string())?;
        let builder = if self.is_peer_unverified {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyPeer(provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| format!("the private key: {error}"))?;
                builder
                    .with_client_auth_cert(certificates(chain)?, key)
                    .map_err(|error| format!("the client certificate: {error}"))?
            }
        };
        Ok(TlsConnector::from(Arc::new(config)))
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

pub(crate) async fn wrap(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("`{host}` is no valid server name"))?;
    connector.connect(name, stream).await.map_err(|error| error.to_string())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("a PEM certificate cannot be read: {error}"))?;
    if found.is_empty() { Err("the PEM file holds no certificate".into()) } else { Ok(found) }
}

/// `verify=verify_none`: encrypted, but to whomever.
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
