//! What TLS is set to: flags over environment over the `[tls]` table of the configuration file.

use super::files::TlsFiles;
use super::identity::{LoginFrom, SanType};
use crate::config::config_value::{Addresses, FilePath, Flag};
use serde::Deserialize;
use std::net::SocketAddr;
use std::str::FromStr;

/// Where AMQP with TLS listens when there is a certificate and nothing else is said.
pub const TLS_LISTEN_DEFAULT: &str = "127.0.0.1:5671";

/// The `[tls]` table. The names are those of RabbitMQ's `ssl_options`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of settings of TLS")]
pub struct ConfigTls {
    /// Addresses for AMQP with TLS.
    pub listen: Option<Addresses>,
    /// Whether clients come there through a balancer that speaks the PROXY protocol.
    pub proxy_protocol: Option<Flag>,
    /// The broker's certificate and those between it and its authority, in PEM.
    pub certfile: Option<FilePath>,
    /// Its private key, in PEM.
    pub keyfile: Option<FilePath>,
    /// Authorities of client certificates, in PEM.
    pub cacertfile: Option<FilePath>,
    /// The admin listener speaks HTTPS.
    pub admin: Option<Flag>,
    /// The metrics listener speaks HTTPS.
    pub metrics: Option<Flag>,
    /// Refuse clients that show no certificate.
    pub fail_if_no_peer_cert: Option<Flag>,
    /// What of a client's certificate is the user's name.
    pub cert_login_from: Option<ConfigLoginFrom>,
    /// Which alternative name.
    pub cert_login_san_type: Option<SanType>,
}

impl ConfigTls {
    /// What this says, and what `below` says where this says nothing.
    #[must_use]
    pub(crate) fn over(self, below: Self) -> Self {
        Self {
            listen: self.listen.or(below.listen),
            proxy_protocol: self.proxy_protocol.or(below.proxy_protocol),
            certfile: self.certfile.or(below.certfile),
            keyfile: self.keyfile.or(below.keyfile),
            cacertfile: self.cacertfile.or(below.cacertfile),
            admin: self.admin.or(below.admin),
            metrics: self.metrics.or(below.metrics),
            fail_if_no_peer_cert: self.fail_if_no_peer_cert.or(below.fail_if_no_peer_cert),
            cert_login_from: self.cert_login_from.or(below.cert_login_from),
            cert_login_san_type: self.cert_login_san_type.or(below.cert_login_san_type),
        }
    }
}

/// `cert_login_from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ConfigLoginFrom {
    /// The whole subject.
    Subject,
    /// Its common name.
    CommonName,
    /// An alternative name.
    Alternative,
}

impl FromStr for ConfigLoginFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "distinguished_name" => Ok(Self::Subject),
            "common_name" => Ok(Self::CommonName),
            "subject_alternative_name" => Ok(Self::Alternative),
            other => Err(format!(
                "{other:?} can't be used here; expected distinguished_name, common_name or \
                 subject_alternative_name"
            )),
        }
    }
}

impl TryFrom<String> for ConfigLoginFrom {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// TLS, when there is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Addresses for AMQP with TLS; never empty.
    pub listen: Vec<SocketAddr>,
    /// Whether clients come there through a balancer that speaks the PROXY protocol.
    pub proxy_protocol: bool,
    /// Where certificates and key are.
    pub files: TlsFiles,
    /// Whether the admin listener speaks HTTPS.
    pub admin: bool,
    /// Whether the metrics listener speaks HTTPS.
    pub metrics: bool,
}

/// Settings of TLS whose addresses are still texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnresolvedTls {
    pub(crate) listen: Vec<String>,
    pub(crate) proxy_protocol: bool,
    pub(crate) files: TlsFiles,
    pub(crate) admin: bool,
    pub(crate) metrics: bool,
}

/// Why the settings can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsSettingsError {
    /// A certificate without a key, or a key without a certificate, or neither.
    #[error(
        "tls: {present} is set, but {missing} is not; TLS needs both tls.certfile and tls.keyfile"
    )]
    Missing {
        /// What is there.
        present: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// What clients must show can't be checked.
    #[error("tls: {key} has no meaning without tls.cacertfile: nobody is asked for a certificate")]
    NoAuthorities {
        /// What has no meaning.
        key: &'static str,
    },
    /// An alternative name's type, but no alternative name.
    #[error(
        "tls: cert_login_san_type has no meaning without cert_login_from = \
         \"subject_alternative_name\""
    )]
    SanType,
}

/// Nothing: no TLS.
pub(crate) fn resolve(config: ConfigTls) -> Result<Option<UnresolvedTls>, TlsSettingsError> {
    let login_from = login_from(&config)?;
    let is_on = |flag: Option<Flag>| flag.is_some_and(|Flag(value)| value);
    let (admin, metrics) = (is_on(config.admin), is_on(config.metrics));
    let proxy_protocol = is_on(config.proxy_protocol);
    let requires_certificate = is_on(config.fail_if_no_peer_cert);
    let path = |path: Option<FilePath>| path.map(|FilePath(path)| path);
    let authorities = path(config.cacertfile);
    let listen = config.listen.map(|Addresses(listed)| listed);
    let missing = |present, missing| Err(TlsSettingsError::Missing { present, missing });
    let (certificate, key) = match (path(config.certfile), path(config.keyfile)) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => return missing("tls.certfile", "tls.keyfile"),
        (None, Some(_)) => return missing("tls.keyfile", "tls.certfile"),
        (None, None) => {
            let needs_certificate = [
                (listen.is_some(), "tls.listen"),
                (authorities.is_some(), "tls.cacertfile"),
                (admin, "tls.admin"),
                (metrics, "tls.metrics"),
                (proxy_protocol, "tls.proxy_protocol"),
                (requires_certificate, "tls.fail_if_no_peer_cert"),
            ];
            return match needs_certificate.into_iter().find(|(is_set, _)| *is_set) {
                Some((_, present)) => missing(present, "tls.certfile"),
                None => Ok(None),
            };
        }
    };
    for (is_set, key) in [
        (requires_certificate, "fail_if_no_peer_cert"),
        (config.cert_login_from.is_some(), "cert_login_from"),
    ] {
        if is_set && authorities.is_none() {
            return Err(TlsSettingsError::NoAuthorities { key });
        }
    }
    let listen = listen.unwrap_or_else(|| vec![TLS_LISTEN_DEFAULT.to_owned()]);
    let files = TlsFiles { certificate, key, authorities, requires_certificate, login_from };
    Ok(Some(UnresolvedTls { listen, proxy_protocol, files, admin, metrics }))
}

fn login_from(file: &ConfigTls) -> Result<LoginFrom, TlsSettingsError> {
    match (file.cert_login_from, file.cert_login_san_type) {
        (Some(ConfigLoginFrom::Alternative), kind) => {
            Ok(LoginFrom::SubjectAlternativeName(kind.unwrap_or_default()))
        }
        (_, Some(_)) => Err(TlsSettingsError::SanType),
        (Some(ConfigLoginFrom::CommonName), None) => Ok(LoginFrom::CommonName),
        (Some(ConfigLoginFrom::Subject) | None, None) => Ok(LoginFrom::DistinguishedName),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut ConfigTls)) -> String {
        let mut file = ConfigTls::default();
        change(&mut file);
        resolve(file).unwrap_err().to_string()
    }

    fn path(text: &str) -> Option<FilePath> {
        Some(FilePath(text.into()))
    }

    #[test]
    fn nothing_said_is_no_tls() {
        assert_eq!(resolve(ConfigTls::default()), Ok(None));
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = ConfigTls {
            certfile: path("file-cert"),
            keyfile: path("file-key"),
            cacertfile: path("file-ca"),
            cert_login_from: Some(ConfigLoginFrom::CommonName),
            metrics: Some(Flag(true)),
            ..ConfigTls::default()
        };
        let flags = ConfigTls { certfile: path("flag-cert"), ..ConfigTls::default() };
        let UnresolvedTls { listen, files, admin, metrics, .. } =
            resolve(flags.over(file)).unwrap().unwrap();
        assert_eq!(listen, [TLS_LISTEN_DEFAULT]);
        assert!(!admin && metrics);
        let expected = TlsFiles {
            certificate: "flag-cert".into(),
            key: "file-key".into(),
            authorities: Some("file-ca".into()),
            requires_certificate: false,
            login_from: LoginFrom::CommonName,
        };
        assert_eq!(files, expected);
    }

    #[test]
    fn halves_are_refused() {
        let text = fault(|file| file.certfile = path("c"));
        assert!(text.contains("tls.keyfile is not"), "{text}");
        let text = fault(|file| file.keyfile = path("k"));
        assert!(text.contains("tls.certfile is not"), "{text}");
        let text = fault(|file| file.listen = Some(Addresses(vec!["127.0.0.1:0".to_owned()])));
        assert!(text.contains("tls.listen is set"), "{text}");
        let text = fault(|file| {
            file.certfile = path("c");
            file.keyfile = path("k");
            file.fail_if_no_peer_cert = Some(Flag(true));
        });
        assert!(text.contains("without tls.cacertfile"), "{text}");
        let text = fault(|file| file.admin = Some(Flag(true)));
        assert!(text.contains("tls.admin is set, but tls.certfile is not"), "{text}");
        let text = fault(|file| file.metrics = Some(Flag(true)));
        assert!(text.contains("tls.metrics is set, but tls.certfile is not"), "{text}");
        let text = fault(|file| file.cert_login_san_type = Some(SanType::Email));
        assert!(text.contains("cert_login_san_type"), "{text}");
    }
}
