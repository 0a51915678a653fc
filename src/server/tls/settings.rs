//! What TLS is set to: flags over environment over the `[tls]` table of the configuration file.

use super::files::TlsFiles;
use super::identity::{LoginFrom, SanType};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where AMQP with TLS listens when there is a certificate and nothing else is said.
pub const TLS_LISTEN_DEFAULT: &str = "127.0.0.1:5671";

/// What the command line and the environment say.
#[derive(Clone, Debug, Default)]
pub struct TlsOverrides {
    /// `--tls-listen`, `FOREBAY_TLS_LISTEN`.
    pub listen: Vec<String>,
    /// `--tls-certfile`, `FOREBAY_TLS_CERTFILE`.
    pub certfile: Option<PathBuf>,
    /// `--tls-keyfile`, `FOREBAY_TLS_KEYFILE`.
    pub keyfile: Option<PathBuf>,
    /// `--tls-cacertfile`, `FOREBAY_TLS_CACERTFILE`.
    pub cacertfile: Option<PathBuf>,
    /// `--tls-admin`, `FOREBAY_TLS_ADMIN`.
    pub admin: bool,
    /// `--tls-metrics`, `FOREBAY_TLS_METRICS`.
    pub metrics: bool,
}

/// The `[tls]` table. The names are those of RabbitMQ's `ssl_options`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigTls {
    /// Addresses for AMQP with TLS.
    pub listen: Option<Vec<String>>,
    /// The broker's certificate and those between it and its authority, in PEM.
    pub certfile: Option<PathBuf>,
    /// Its private key, in PEM.
    pub keyfile: Option<PathBuf>,
    /// Authorities of client certificates, in PEM.
    pub cacertfile: Option<PathBuf>,
    /// The admin listener speaks HTTPS.
    #[serde(default)]
    pub admin: bool,
    /// The metrics listener speaks HTTPS.
    #[serde(default)]
    pub metrics: bool,
    /// Refuse clients that show no certificate.
    #[serde(default)]
    pub fail_if_no_peer_cert: bool,
    /// What of a client's certificate is the user's name.
    pub cert_login_from: Option<ConfigLoginFrom>,
    /// Which alternative name.
    pub cert_login_san_type: Option<SanType>,
}

/// `cert_login_from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ConfigLoginFrom {
    /// The whole subject.
    #[serde(rename = "distinguished_name")]
    Subject,
    /// Its common name.
    #[serde(rename = "common_name")]
    CommonName,
    /// An alternative name.
    #[serde(rename = "subject_alternative_name")]
    Alternative,
}

/// TLS, when there is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Addresses for AMQP with TLS; never empty.
    pub listen: Vec<SocketAddr>,
    /// Where certificates and key are.
    pub files: TlsFiles,
    /// Whether the admin listener speaks HTTPS.
    pub admin: bool,
    /// Whether the metrics listener speaks HTTPS.
    pub metrics: bool,
}

/// The same with addresses as texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnresolvedTls {
    pub(crate) listen: Vec<String>,
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
pub(crate) fn resolve(
    overrides: TlsOverrides,
    file: ConfigTls,
) -> Result<Option<UnresolvedTls>, TlsSettingsError> {
    let login_from = login_from(&file)?;
    let certificate = overrides.certfile.or(file.certfile);
    let key = overrides.keyfile.or(file.keyfile);
    let authorities = overrides.cacertfile.or(file.cacertfile);
    let listen = Some(overrides.listen).filter(|flags| !flags.is_empty()).or(file.listen);
    let admin = overrides.admin || file.admin;
    let metrics = overrides.metrics || file.metrics;
    let missing = |present, missing| Err(TlsSettingsError::Missing { present, missing });
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => return missing("tls.certfile", "tls.keyfile"),
        (None, Some(_)) => return missing("tls.keyfile", "tls.certfile"),
        (None, None) if listen.is_some() => return missing("tls.listen", "tls.certfile"),
        (None, None) if authorities.is_some() => return missing("tls.cacertfile", "tls.certfile"),
        (None, None) if admin => return missing("tls.admin", "tls.certfile"),
        (None, None) if metrics => return missing("tls.metrics", "tls.certfile"),
        (None, None) => return Ok(None),
    };
    for (is_set, key) in [
        (file.fail_if_no_peer_cert, "fail_if_no_peer_cert"),
        (file.cert_login_from.is_some(), "cert_login_from"),
    ] {
        if is_set && authorities.is_none() {
            return Err(TlsSettingsError::NoAuthorities { key });
        }
    }
    let listen = listen.unwrap_or_else(|| vec![TLS_LISTEN_DEFAULT.to_owned()]);
    let requires_certificate = file.fail_if_no_peer_cert;
    let files = TlsFiles { certificate, key, authorities, requires_certificate, login_from };
    Ok(Some(UnresolvedTls { listen, files, admin, metrics }))
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
        resolve(TlsOverrides::default(), file).unwrap_err().to_string()
    }

    #[test]
    fn nothing_said_is_no_tls() {
        assert_eq!(resolve(TlsOverrides::default(), ConfigTls::default()), Ok(None));
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = ConfigTls {
            certfile: Some("file-cert".into()),
            keyfile: Some("file-key".into()),
            cacertfile: Some("file-ca".into()),
            cert_login_from: Some(ConfigLoginFrom::CommonName),
            metrics: true,
            ..ConfigTls::default()
        };
        let flags = TlsOverrides { certfile: Some("flag-cert".into()), ..TlsOverrides::default() };
        let UnresolvedTls { listen, files, admin, metrics } =
            resolve(flags, file).unwrap().unwrap();
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
        let text = fault(|file| file.certfile = Some("c".into()));
        assert!(text.contains("tls.keyfile is not"), "{text}");
        let text = fault(|file| file.keyfile = Some("k".into()));
        assert!(text.contains("tls.certfile is not"), "{text}");
        let text = fault(|file| file.listen = Some(vec!["127.0.0.1:0".to_owned()]));
        assert!(text.contains("tls.listen is set"), "{text}");
        let text = fault(|file| {
            file.certfile = Some("c".into());
            file.keyfile = Some("k".into());
            file.fail_if_no_peer_cert = true;
        });
        assert!(text.contains("without tls.cacertfile"), "{text}");
        let text = fault(|file| file.admin = true);
        assert!(text.contains("tls.admin is set, but tls.certfile is not"), "{text}");
        let text = fault(|file| file.metrics = true);
        assert!(text.contains("tls.metrics is set, but tls.certfile is not"), "{text}");
        let text = fault(|file| file.cert_login_san_type = Some(SanType::Email));
        assert!(text.contains("cert_login_san_type"), "{text}");
    }
}
