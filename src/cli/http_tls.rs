//! TLS to a listener of a broker: trusted authorities, the client's certificate, and what a failed handshake
//! means.

use rustls::AlertDescription;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

/// Files in PEM for a session over TLS, as options name them.
pub(super) struct TlsFiles<'a> {
    /// What stands before `cacertfile` on the command line.
    pub(super) option_prefix: &'static str,
    /// Authorities to trust; those of the system when there is no file.
    pub(super) cacertfile: Option<&'a Path>,
    pub(super) certfile: Option<&'a Path>,
    pub(super) keyfile: Option<&'a Path>,
}

/// Trust in the authorities of the file, or else of the system, and the client certificate.
///
/// # Errors
/// What is wrong with one of the files.
pub(super) fn config(files: &TlsFiles<'_>) -> Result<TlsConfig, String> {
    let prefix = files.option_prefix;
    let roots = match files.cacertfile {
        Some(path) => certificates(&format!("{prefix}cacertfile"), path)?,
        None => {
            let system = rustls_native_certs::load_native_certs().certs;
            system.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
        }
    };
    if roots.is_empty() {
        return Err(format!(
            "the system trusts no authorities; name yours with {prefix}cacertfile"
        ));
    }
    let identity = match (files.certfile, files.keyfile) {
        (Some(certificate), Some(key)) => Some(ClientCert::new_with_certs(
            &certificates(&format!("{prefix}certfile"), certificate)?,
            private_key(&format!("{prefix}keyfile"), key)?,
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
pub(super) fn reason(option_prefix: &str, error: &rustls::Error) -> String {
    match error {
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => format!(
            "the listener asks for a client certificate; show one with {option_prefix}certfile and \
             {option_prefix}keyfile"
        ),
        rustls::Error::InvalidMessage(_) => {
            "what answers speaks no TLS; write http:// before the address".to_owned()
        }
        rustls::Error::InvalidCertificate(error) => format!(
            "its certificate is not accepted: {error}; check the name in the address, and name the \
             certificate's authority with {option_prefix}cacertfile"
        ),
        error => format!("TLS: {error}"),
    }
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| fault(option, path, error))
}

fn fault(option: &str, path: &Path, reason: impl std::fmt::Display) -> String {
    format!("{option} {}: {reason}", path.display())
}

fn certificates(option: &str, path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = read(option, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| fault(option, path, error))?;
    if found.is_empty() {
        return Err(fault(option, path, "no certificate in it, expected PEM"));
    }
    Ok(found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}

fn private_key(option: &str, path: &Path) -> Result<PrivateKey<'static>, String> {
    PrivateKey::from_pem(&read(option, path)?)
        .map_err(|_| fault(option, path, "no private key in it, expected PEM without a passphrase"))
}
