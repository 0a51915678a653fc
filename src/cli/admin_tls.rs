//! TLS to an admin listener.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// A session over this socket with the listener at `place` (host and port), whose certificate must
/// come from one of the authorities in this file, or else of the system.
///
/// # Errors
/// What is wrong with the file; what the handshake says follows with the first octets.
pub(super) fn wrap(
    stream: TcpStream,
    place: &str,
    authorities: Option<&Path>,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots(authorities)?)
        .with_no_client_auth();
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(session, stream))
}

fn roots(authorities: Option<&Path>) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(path) = authorities else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let text = "the system trusts no authorities; name yours with --admin-cacertfile";
            return Err(io::Error::other(text));
        }
        return Ok(roots);
    };
    let fault =
        |error: String| io::Error::other(format!("--admin-cacertfile {}: {error}", path.display()));
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(fault("no certificate in it, expected PEM".to_owned()));
    }
    Ok(roots)
}
