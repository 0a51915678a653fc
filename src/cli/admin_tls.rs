//! TLS to an admin listener: whom we trust, who we are, and what a failed handshake means.

use super::admin::{AdminError, AdminTarget};
use rustls::AlertDescription;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

/// Trust in the authorities of `--admin-cacertfile`, or else of the system, and the client certificate.
///
/// # Errors
/// What is wrong with one of the files.
pub(super) fn config(target: &AdminTarget) -> Result<TlsConfig, AdminError> {
    let roots = match target.admin_cacertfile.as_deref() {
        Some(path) => certificates("--admin-cacertfile", path)?,
        None => {
            let system = rustls_native_certs::load_native_certs().certs;
            system.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
        }
    };
    if roots.is_empty() {
        let admin = target.address().to_owned();
        let reason = "the system trusts no authorities; name yours with --admin-cacertfile";
        return Err(AdminError::Unreachable { admin, reason: reason.to_owned() });
    }
    let identity = match (&target.admin_certfile, &target.admin_keyfile) {
        (Some(certificate), Some(key)) => Some(ClientCert::new_with_certs(
            &certificates("--admin-certfile", certificate)?,
            private_key(key)?,
        )),
        _ => None,
    };
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(identity)
        .build())
}

/// A handshake's failure in words that name the option to change.
pub(super) fn reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the listener asks for a client certificate; show one with --admin-certfile and \
              --admin-keyfile"
                .to_owned()
        }
        rustls::Error::InvalidMessage(_) => {
            "what answers speaks no TLS; write http:// before the address".to_owned()
        }
        rustls::Error::InvalidCertificate(error) => format!(
            "its certificate is not accepted: {error}; check the name in --admin, and name its \
             authority with --admin-cacertfile"
        ),
        error => format!("TLS: {error}"),
    }
}

fn certificates(
    option: &'static str,
    path: &Path,
) -> Result<Vec<Certificate<'static>>, AdminError> {
    let fault = |reason: String| AdminError::File { option, path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| fault(error.to_string()))?;
    if found.is_empty() {
        return Err(fault("no certificate in it, expected PEM".to_owned()));
    }
    Ok(found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>, AdminError> {
    let fault = |reason: String| AdminError::File {
        option: "--admin-keyfile",
        path: path.to_owned(),
        reason,
    };
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    PrivateKey::from_pem(&pem).map_err(|_| {
        fault("no private key in it that needs no passphrase, expected PEM".to_owned())
    })
}
