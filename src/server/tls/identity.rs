//! Which user a client's certificate names, as RabbitMQ's plugin for the mechanism EXTERNAL reads
//! it.

use forebay_wire::ShortStr;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::SystemTime;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};

/// `id-at-commonName` (RFC 5280, appendix A.1).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// What of a certificate is a user's name: RabbitMQ's `ssl_cert_login_from`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoginFrom {
    /// The whole subject, as RFC 4514 writes it: `CN=app,O=Example`.
    #[default]
    DistinguishedName,
    /// The common name of the subject.
    CommonName,
    /// The first alternative name of this type.
    SubjectAlternativeName(SanType),
}

/// Types of alternative names: RabbitMQ's `ssl_cert_login_san_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SanType {
    /// A host name.
    #[default]
    Dns,
    /// An IP address.
    Ip,
    /// A mail address.
    Email,
    /// A URI, such as a SPIFFE ID.
    Uri,
}

impl FromStr for SanType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "dns" => Ok(Self::Dns),
            "ip" => Ok(Self::Ip),
            "email" => Ok(Self::Email),
            "uri" => Ok(Self::Uri),
            other => Err(format!("{other:?} can't be used here; expected dns, ip, email or uri")),
        }
    }
}

impl TryFrom<String> for SanType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The user's name; nothing when the certificate has no such name, more than one common name, or
/// one that no user can have.
pub(super) fn user(certificate: &CertificateDer<'_>, from: LoginFrom) -> Option<ShortStr> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let name = match from {
        LoginFrom::DistinguishedName => certificate.tbs_certificate.subject.to_string(),
        LoginFrom::CommonName => common_name(&certificate)?,
        LoginFrom::SubjectAlternativeName(kind) => alternative_name(&certificate, kind)?,
    };
    ShortStr::try_from(name).ok().filter(|name| !name.is_empty())
}

/// From when until when a certificate is valid.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    let validity = Certificate::from_der(certificate).ok()?.tbs_certificate.validity;
    Some((validity.not_before.to_system_time(), validity.not_after.to_system_time()))
}

fn common_name(certificate: &Certificate) -> Option<String> {
    let attributes = certificate.tbs_certificate.subject.0.iter().flat_map(|name| name.0.iter());
    let mut names = attributes.filter(|attribute| attribute.oid == COMMON_NAME);
    let name = names.next()?;
    // Two names leave open who it is.
    if names.next().is_some() {
        return None;
    }
    match DirectoryString::from_der(&name.value.to_der().ok()?).ok()? {
        DirectoryString::PrintableString(text) => Some(text.to_string()),
        DirectoryString::TeletexString(text) => Some(text.to_string()),
        DirectoryString::Utf8String(text) => Some(text),
    }
}

fn alternative_name(certificate: &Certificate, kind: SanType) -> Option<String> {
    let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
    names.0.iter().find_map(|name| match (kind, name) {
        (SanType::Dns, GeneralName::DnsName(name))
        | (SanType::Email, GeneralName::Rfc822Name(name))
        | (SanType::Uri, GeneralName::UniformResourceIdentifier(name)) => Some(name.to_string()),
        (SanType::Ip, GeneralName::IpAddress(bytes)) => ip_address(bytes.as_bytes()),
        _ => None,
    })
}

fn ip_address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| v6()).ok().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType as San};

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().clone()
    }

    fn named() -> CertificateDer<'static> {
        certificate(|parameters| {
            parameters.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
            parameters.distinguished_name.push(DnType::CommonName, "app");
            parameters.subject_alt_names = vec![
                San::IpAddress("127.0.0.7".parse().unwrap()),
                San::Rfc822Name("app@example.org".try_into().unwrap()),
                San::DnsName("app.example.org".try_into().unwrap()),
                San::DnsName("other.example.org".try_into().unwrap()),
                San::URI("spiffe://example.org/app".try_into().unwrap()),
            ];
        })
    }

    #[test]
    fn each_part_can_be_the_user() {
        let san = LoginFrom::SubjectAlternativeName;
        for (from, expected) in [
            (LoginFrom::DistinguishedName, "CN=app,O=Example\\, Inc."),
            (LoginFrom::CommonName, "app"),
            (san(SanType::Dns), "app.example.org"),
            (san(SanType::Ip), "127.0.0.7"),
            (san(SanType::Email), "app@example.org"),
            (san(SanType::Uri), "spiffe://example.org/app"),
        ] {
            assert_eq!(user(&named(), from).unwrap(), expected, "{from:?}");
        }
    }

    #[test]
    fn what_is_not_there_or_too_long_names_nobody() {
        let bare = certificate(|_| ());
        for from in [
            LoginFrom::DistinguishedName,
            LoginFrom::CommonName,
            LoginFrom::SubjectAlternativeName(SanType::Dns),
        ] {
            assert_eq!(user(&bare, from), None, "{from:?}");
        }
        let long = certificate(|parameters| {
            parameters.distinguished_name.push(DnType::OrganizationName, "x".repeat(300));
        });
        assert_eq!(user(&long, LoginFrom::DistinguishedName), None);
        assert_eq!(user(&CertificateDer::from(vec![0x30, 3]), LoginFrom::CommonName), None);
    }
}
