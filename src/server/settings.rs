//! What a broker runs with: flags over environment over configuration file over defaults.

use crate::amount::Amount;
use crate::config_file::{ConfigFile, ConfigPermission, ConfigUser};
use crate::limits::{
    DISK_FREE_LIMIT_OCTETS_DEFAULT, HEARTBEAT_S_DEFAULT, MEMORY_HIGH_WATERMARK_DEFAULT,
    METRICS_QUEUES_DEFAULT, SCRUB_RATE_OCTETS_DEFAULT,
};
use crate::memory_budgets::message_size_max;
use crate::memory_limit::MemoryLimit;
use crate::settings_error::SettingsError;
use crate::tls::{TLS_LISTEN_DEFAULT, TlsOverrides, TlsSettings, UnresolvedTls};
use crate::user::{Credential, RabbitmqDefaults, User};
use forebay_engine::access::Permission;
use forebay_engine::shard::QueueDefaults;
use forebay_wire::ShortStr;
use forebay_wire::limits::MESSAGE_SIZE_MAX;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// Where AMQP listens when nothing else is said.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:5672";
/// Where metrics and health listen when nothing else is said.
pub const METRICS_LISTEN_DEFAULT: &str = "127.0.0.1:15692";
/// Where the admin listener listens when nothing else is said.
pub const ADMIN_LISTEN_DEFAULT: &str = "127.0.0.1:15672";
/// Where the data lies when nothing else is said.
pub const DATA_DIR_DEFAULT: &str = "./forebay-data";
/// The virtual host that exists from the start when nothing else is said.
pub const VHOST_DEFAULT: &str = "/";
/// What clients see as `product` when nothing else is said.
pub const PRODUCT_DEFAULT: &str = "Forebay";

/// What the command line and the `FOREBAY_…` environment say, the command line first.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`, `FOREBAY_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--data-dir`, `FOREBAY_DATA_DIR`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`, `FOREBAY_LISTEN`.
    pub listen: Vec<String>,
    /// `--metrics-listen`, `FOREBAY_METRICS_LISTEN`.
    pub metrics_listen: Option<String>,
    /// `--metrics-queues-max`, `FOREBAY_METRICS_QUEUES_MAX`.
    pub metrics_queues_max: Option<usize>,
    /// `--admin-listen`, `FOREBAY_ADMIN_LISTEN`.
    pub admin_listen: Option<String>,
    /// TLS.
    pub tls: TlsOverrides,
    /// `--scrub-rate`, `FOREBAY_SCRUB_RATE`.
    pub scrub_rate: Option<String>,
    /// `--disk-free-limit`, `FOREBAY_DISK_FREE_LIMIT`.
    pub disk_free_limit: Option<String>,
    /// `--memory-high-watermark`, `FOREBAY_MEMORY_HIGH_WATERMARK`.
    pub memory_high_watermark: Option<String>,
}

/// What a broker runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the data lies.
    pub data_dir: PathBuf,
    /// Addresses for AMQP; empty only with TLS. Port 0: one that is free.
    pub listen: Vec<SocketAddr>,
    /// AMQP with TLS.
    pub tls: Option<TlsSettings>,
    /// Address of the metrics and health endpoint.
    pub metrics_listen: SocketAddr,
    /// Queues that have metrics of their own.
    pub metrics_queues_max: usize,
    /// Address of the admin listener.
    pub admin_listen: SocketAddr,
    /// A file of definitions that is imported before clients are served.
    pub load_definitions: Option<PathBuf>,
    /// Free octets on the disk of the data directory below which publishers wait; 0: never.
    pub disk_free_limit: u64,
    /// Octets that are read again a second, to find damage; 0: none.
    pub scrub_rate: u64,
    /// Memory above which publishers wait.
    pub memory_high_watermark: Amount,
    /// What holds for queues that don't say themselves.
    pub queue_defaults: QueueDefaults,
    /// Octets of a message's body at most.
    pub message_size_max: u64,
    /// The heartbeat interval that is suggested to clients, in s; 0: none.
    pub heartbeat: u16,
    /// Seconds that a client without heartbeats may be silent; nothing: any number.
    pub idle_timeout: Option<u32>,
    /// Connections of one address at once; nothing: any number.
    pub connections_per_address_max: Option<usize>,
    /// Who may log in.
    pub users: Vec<User>,
    /// The virtual host that exists from the start.
    pub default_vhost: ShortStr,
    /// What clients see as `product`.
    pub product: String,
}

impl Settings {
    /// Puts the sources together; reads the configuration file when one is named.
    ///
    /// # Errors
    /// When the file can't be used, or an address or a password hash is none.
    pub fn resolve(
        overrides: Overrides,
        defaults: &RabbitmqDefaults,
    ) -> Result<Self, SettingsError> {
        let file = match &overrides.config {
            Some(path) => ConfigFile::read(path)?,
            None => ConfigFile::default(),
        };
        let mut users = vec![defaults.default_user()];
        for user in &file.users {
            users.push(configured_user(user)?);
        }
        let listen = match (overrides.listen, file.listen) {
            (flags, _) if !flags.is_empty() => flags,
            (_, Some(listed)) => listed,
            (_, None) => vec![LISTEN_DEFAULT.to_owned()],
        };
        let metrics_listen = overrides
            .metrics_listen
            .or(file.metrics_listen)
            .unwrap_or_else(|| METRICS_LISTEN_DEFAULT.to_owned());
        let admin_listen = overrides
            .admin_listen
            .or(file.admin_listen)
            .unwrap_or_else(|| ADMIN_LISTEN_DEFAULT.to_owned());
        let tls = match crate::tls::resolve(overrides.tls, file.tls)? {
            None => None,
            Some(UnresolvedTls { listen, files, admin, metrics }) => {
                let listen = listen_addresses("tls.listen", &listen, TLS_LISTEN_DEFAULT)?;
                Some(TlsSettings { listen, files, admin, metrics })
            }
        };
        Ok(Self {
            data_dir: overrides
                .data_dir
                .or(file.data_dir)
                .unwrap_or_else(|| PathBuf::from(DATA_DIR_DEFAULT)),
            listen: match &*listen {
                [] if tls.is_some() => Vec::new(),
                listed => listen_addresses("listen", listed, LISTEN_DEFAULT)?,
            },
            tls,
            metrics_listen: addresses("metrics_listen", &metrics_listen, METRICS_LISTEN_DEFAULT)?.0,
            admin_listen: addresses("admin_listen", &admin_listen, ADMIN_LISTEN_DEFAULT)?.0,
            metrics_queues_max: overrides
                .metrics_queues_max
                .or(file.metrics_queues_max)
                .unwrap_or(METRICS_QUEUES_DEFAULT),
            load_definitions: file.load_definitions,
            message_size_max: match file.max_message_size.unwrap_or_else(message_size_default) {
                octets @ 1..=MESSAGE_SIZE_MAX => octets,
                octets => return Err(SettingsError::MessageSize { octets }),
            },
            heartbeat: file.heartbeat.unwrap_or(HEARTBEAT_S_DEFAULT),
            idle_timeout: file.idle_timeout.filter(|seconds| *seconds > 0),
            connections_per_address_max: file.connections_per_address_max,
            scrub_rate: scrub_rate(overrides.scrub_rate.or(file.scrub_rate))?,
            disk_free_limit: disk_free_limit(overrides.disk_free_limit.or(file.disk_free_limit))?,
            memory_high_watermark: memory_high_watermark(
                overrides.memory_high_watermark.or(file.memory_high_watermark),
            )?,
            queue_defaults: file.queues.resolve()?,
            users,
            default_vhost: default_vhost(defaults)?,
            product: file.product.unwrap_or_else(|| PRODUCT_DEFAULT.to_owned()),
        })
    }
}

/// Less than the largest size where there is little memory.
fn message_size_default() -> u64 {
    message_size_max(MemoryLimit::read().map_or(u64::MAX, |limit| limit.bytes))
}

fn disk_free_limit(text: Option<String>) -> Result<u64, SettingsError> {
    let Some(text) = text else { return Ok(DISK_FREE_LIMIT_OCTETS_DEFAULT) };
    let expected = "octets, with or without a unit, as 50MB or 1GiB; 0 for no alarm";
    Amount::parse_octets(&text).ok_or(SettingsError::Amount {
        place: "disk_free_limit",
        text,
        expected,
    })
}

fn scrub_rate(text: Option<String>) -> Result<u64, SettingsError> {
    let Some(text) = text else { return Ok(SCRUB_RATE_OCTETS_DEFAULT) };
    let expected = "octets a second, with or without a unit, as 500kB or 2MiB; 0 for none";
    let place = "scrub_rate";
    Amount::parse_octets(&text).ok_or(SettingsError::Amount { place, text, expected })
}

fn memory_high_watermark(text: Option<String>) -> Result<Amount, SettingsError> {
    let Some(text) = text else { return Ok(Amount::Share(MEMORY_HIGH_WATERMARK_DEFAULT)) };
    let expected = "a share from 0 to 1 of the memory that may be used, or an amount, as 2GB";
    Amount::parse(&text).ok_or(SettingsError::Amount {
        place: "memory_high_watermark",
        text,
        expected,
    })
}

fn configured_user(user: &ConfigUser) -> Result<User, SettingsError> {
    let credential = Credential::from_hash(&user.password_hash)
        .map_err(|error| SettingsError::PasswordHash { user: user.name.clone(), error })?;
    let permissions = user.permissions.as_ref().map(|listed| {
        listed.iter().map(|permission| configured_permission(user, permission)).collect()
    });
    Ok(User {
        name: user.name.clone(),
        credential,
        loopback_only: false,
        is_default: false,
        tags: user.tags.clone(),
        permissions: permissions.transpose()?,
    })
}

fn configured_permission(
    user: &ConfigUser,
    listed: &ConfigPermission,
) -> Result<(ShortStr, Permission), SettingsError> {
    let fault = |reason: String| SettingsError::Permission {
        user: user.name.clone(),
        vhost: listed.vhost.clone(),
        reason,
    };
    let vhost = ShortStr::try_from(listed.vhost.as_str()).map_err(|e| fault(e.to_string()))?;
    let permission = Permission::new(&listed.configure, &listed.write, &listed.read)
        .map_err(|error| fault(error.to_string()))?;
    Ok((vhost, permission))
}

fn default_vhost(defaults: &RabbitmqDefaults) -> Result<ShortStr, SettingsError> {
    let name = defaults.vhost.as_deref().unwrap_or(VHOST_DEFAULT);
    ShortStr::try_from(name).map_err(|_| SettingsError::VhostTooLong { octets: name.len() })
}

fn listen_addresses(
    place: &'static str,
    listed: &[String],
    example: &'static str,
) -> Result<Vec<SocketAddr>, SettingsError> {
    let mut resolved = Vec::new();
    for address in listed {
        let (first, others) = addresses(place, address, example)?;
        for address in std::iter::once(first).chain(others) {
            // Port 0 twice means two free ports; anything else twice is one listener.
            if address.port() == 0 || !resolved.contains(&address) {
                resolved.push(address);
            }
        }
    }
    if resolved.is_empty() {
        Err(SettingsError::NoAddress { place, example })
    } else {
        Ok(resolved)
    }
}

/// The addresses that a text stands for: `localhost:5672` may be two.
fn addresses(
    place: &'static str,
    address: &str,
    example: &'static str,
) -> Result<(SocketAddr, Vec<SocketAddr>), SettingsError> {
    let fault = |reason: String| SettingsError::Address {
        place,
        address: address.to_owned(),
        reason,
        example,
    };
    let mut resolved = address.to_socket_addrs().map_err(|error| fault(error.to_string()))?;
    let first = resolved.next().ok_or_else(|| fault("the name has no address".to_owned()))?;
    Ok((first, resolved.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn resolve(overrides: Overrides) -> Result<Settings, SettingsError> {
        Settings::resolve(overrides, &RabbitmqDefaults::default())
    }

    #[test]
    fn defaults_listen_on_this_machine_only() {
        let settings = resolve(Overrides::default()).unwrap();
        assert_eq!(settings.data_dir, PathBuf::from("./forebay-data"));
        assert_eq!(settings.listen, ["127.0.0.1:5672".parse().unwrap()]);
        assert_eq!(settings.metrics_listen, "127.0.0.1:15692".parse().unwrap());
        assert_eq!(settings.default_vhost, "/");
        assert_eq!(settings.users.len(), 1);
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file = file("data_dir = \"from-file\"\nlisten = [\"127.0.0.1:1\"]\n");
        let config = Some(file.path().to_owned());
        let settings = resolve(Overrides { config: config.clone(), ..Default::default() }).unwrap();
        assert_eq!(settings.data_dir, PathBuf::from("from-file"));
        assert_eq!(settings.listen, ["127.0.0.1:1".parse().unwrap()]);
        let overrides = Overrides {
            config,
            data_dir: Some("from-flag".into()),
            listen: vec!["127.0.0.1:2".to_owned(), "[::1]:3".to_owned()],
            ..Overrides::default()
        };
        let settings = resolve(overrides).unwrap();
        assert_eq!(settings.data_dir, PathBuf::from("from-flag"));
        let expected = ["127.0.0.1:2".parse().unwrap(), "[::1]:3".parse().unwrap()];
        assert_eq!(settings.listen, expected);
        assert_eq!(settings.metrics_listen, "127.0.0.1:15692".parse().unwrap());
    }

    #[test]
    fn an_address_without_a_port_is_named() {
        let overrides = Overrides { listen: vec!["127.0.0.1".to_owned()], ..Default::default() };
        let text = resolve(overrides).unwrap_err().to_string();
        assert!(text.starts_with("listen: '127.0.0.1'") && text.contains("HOST:PORT"), "{text}");
    }

    #[test]
    fn limits_are_read_as_numbers_and_as_text() {
        let file = file("disk_free_limit = \"1GB\"\nmemory_high_watermark = 0.25\n");
        let config = Some(file.path().to_owned());
        let overrides = Overrides { config, ..Overrides::default() };
        let settings = resolve(overrides.clone()).unwrap();
        assert_eq!(settings.disk_free_limit, 1_000_000_000);
        assert_eq!(settings.memory_high_watermark, Amount::Share(0.25));
        let disk_free_limit = Some("some".to_owned());
        let text = resolve(Overrides { disk_free_limit, ..overrides }).unwrap_err().to_string();
        assert!(text.contains("disk_free_limit: 'some'") && text.contains("50MB"), "{text}");
    }

    #[test]
    fn an_empty_list_of_addresses_is_refused() {
        let file = file("listen = []");
        let overrides = Overrides { config: Some(file.path().to_owned()), ..Overrides::default() };
        assert!(matches!(resolve(overrides), Err(SettingsError::NoAddress { .. })));
    }

    #[test]
    fn a_password_in_clear_text_is_refused_with_the_users_name() {
        let file = file("[[users]]\nname = \"app\"\npassword_hash = \"secret\"\n");
        let overrides = Overrides { config: Some(file.path().to_owned()), ..Overrides::default() };
        let text = resolve(overrides).unwrap_err().to_string();
        assert!(text.contains("user 'app'") && text.contains("$argon2id$"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn the_default_vhost_can_be_named() {
        let defaults =
            RabbitmqDefaults { vhost: Some("orders".to_owned()), ..RabbitmqDefaults::default() };
        let settings = Settings::resolve(Overrides::default(), &defaults).unwrap();
        assert_eq!(settings.default_vhost, "orders");
    }
}
