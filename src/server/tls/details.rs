//! What was agreed in a handshake and what the client showed, as RabbitMQ's management API names it.

use rustls::pki_types::CertificateDer;
use rustls::{ProtocolVersion, ServerConnection};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// The TLS side of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsDetails {
    /// As `tlsv1.3`.
    pub protocol: Option<&'static str>,
    /// As `aes_256_gcm`.
    pub cipher: Option<String>,
    /// As `ecdhe_rsa`; with TLS 1.3, where the suite does not say, `any`.
    pub key_exchange: Option<String>,
    /// As `sha384`.
    pub hash: Option<String>,
    /// The client's certificate, if it has shown one.
    pub peer: Option<PeerCertificate>,
}

/// A client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is, as RFC 4514 writes it.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// From when until when it is valid, as `2026-01-01T00:00:00Z - 2027-01-01T00:00:00Z`.
    pub validity: String,
}

impl TlsDetails {
    pub(super) fn of(session: &ServerConnection) -> Self {
        let protocol = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => Some("tlsv1.2"),
            Some(ProtocolVersion::TLSv1_3) => Some("tlsv1.3"),
            _ => None,
        };
        let suite = session.negotiated_cipher_suite();
        let suite = suite.and_then(|suite| suite.suite().as_str().map(Suite::named));
        let Suite { key_exchange, cipher, hash } = suite.unwrap_or_default();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let peer = certificate.and_then(peer_certificate);
        Self { protocol, cipher, key_exchange, hash, peer }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Suite {
    key_exchange: Option<String>,
    cipher: Option<String>,
    hash: Option<String>,
}

impl Suite {
    /// Takes `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384` or `TLS13_AES_256_GCM_SHA384` apart.
    fn named(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let name = name.trim_start_matches("tls13_").trim_start_matches("tls_");
        let (key_exchange, rest) = name.split_once("_with_").unwrap_or(("any", name));
        let (cipher, hash) = rest.rsplit_once('_').unwrap_or((rest, ""));
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self { key_exchange: some(key_exchange), cipher: some(cipher), hash: some(hash) }
    }
}

fn peer_certificate(bytes: &CertificateDer<'_>) -> Option<PeerCertificate> {
    let certificate = Certificate::from_der(bytes).ok()?.tbs_certificate;
    let [from, until] = [certificate.validity.not_before, certificate.validity.not_after];
    Some(PeerCertificate {
        subject: certificate.subject.to_string(),
        issuer: certificate.issuer.to_string(),
        validity: format!("{} - {}", from.to_date_time(), until.to_date_time()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_named_part_by_part() {
        let parts = |name: &str| {
            let Suite { key_exchange, cipher, hash } = Suite::named(name);
            [key_exchange, cipher, hash].map(Option::unwrap_or_default)
        };
        let expected = ["ecdhe_rsa", "aes_256_gcm", "sha384"].map(str::to_owned);
        assert_eq!(parts("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"), expected);
        let expected = ["any", "chacha20_poly1305", "sha256"].map(str::to_owned);
        assert_eq!(parts("TLS13_CHACHA20_POLY1305_SHA256"), expected);
    }
}
