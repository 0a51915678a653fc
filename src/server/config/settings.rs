//! What a broker runs with: flags over environment over configuration file over defaults.

use crate::auth::user::{DefaultUser, User};
use crate::config::amount::Amount;
use crate::config::config_file::ConfigFile;
use crate::config::config_log::{LogFilter, LogFormat};
use crate::config::config_time::{HeartbeatSeconds, Seconds};
use crate::config::config_value::{
    Address, ConnectionCount, Count, FilePath, Flag, MemoryWatermark, MessageSize, Names, Size,
};
use crate::config::configured_users::{configured_users, loopback_users};
use crate::config::otlp::{OtlpEndpoint, SERVICE_NAME_DEFAULT, ServiceName};
use crate::config::product::Product;
use crate::config::rabbitmq_defaults::RabbitmqDefaults;
use crate::config::settings_error::SettingsError;
use crate::lag::LagDefaults;
use crate::limits::{
    DISK_FREE_LIMIT_BYTES_DEFAULT, HEARTBEAT_S_DEFAULT, MEMORY_HIGH_WATERMARK_DEFAULT,
    METRICS_QUEUES_DEFAULT, SCRUB_RATE_BYTES_DEFAULT,
};
use crate::otlp::OtlpSettings;
use crate::system::memory_budgets::message_size_max;
use crate::system::memory_limit::MemoryLimit;
use crate::tls::{TLS_LISTEN_DEFAULT, TlsSettings, UnresolvedTls};
use forebay_engine::shard::QueueDefaults;
use forebay_wire::ShortStr;

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

/// What is logged when nothing else is said.
pub const LOG_DEFAULT: &str = "info";

/// What the command line and the `FOREBAY_…` environment say, the command line first.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`, `FOREBAY_CONFIG`.
    pub config: Option<PathBuf>,
    /// Everything else. Lies over the configuration file.
    pub flags: ConfigFile,
    /// What variables say that are not for this program alone. Lies below the configuration file.
    pub fallback: ConfigFile,
}

/// What a broker runs with.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the data lies.
    pub data_dir: PathBuf,
    /// Addresses for AMQP; empty only with TLS. Port 0: one that is free.
    pub listen: Vec<SocketAddr>,
    /// Whether clients come there through a balancer that speaks the PROXY protocol.
    pub proxy_protocol: bool,
    /// AMQP with TLS.
    pub tls: Option<TlsSettings>,
    /// Address of the metrics and health endpoint.
    pub metrics_listen: SocketAddr,
    /// Queues that have metrics of their own.
    pub metrics_queues_max: usize,
    /// Address of the admin listener.
    pub admin_listen: SocketAddr,
    /// Whether clients come there through a balancer that speaks the PROXY protocol.
    pub admin_proxy_protocol: bool,
    /// Names that browsers may call the admin listener by, beside addresses and the machine's name.
    pub admin_hosts: Vec<String>,
    /// A file of definitions that is imported before clients are served.
    pub load_definitions: Option<PathBuf>,
    /// Free bytes on the disk of the data directory below which publishers wait; 0: never.
    pub disk_free_limit: u64,
    /// Bytes that are read again a second, to find damage; 0: none.
    pub scrub_rate: u64,
    /// Memory above which publishers wait.
    pub memory_high_watermark: Amount,
    /// What holds for queues that don't say themselves.
    pub queue_defaults: QueueDefaults,
    /// What lag of queues is normal.
    pub lag: LagDefaults,
    /// Bytes of a message's body at most.
    pub message_size_max: u64,
    /// The heartbeat interval that is suggested to clients, in s; 0: none.
    pub heartbeat: u16,
    /// Seconds that a client without heartbeats may be silent; nothing: any number.
    pub idle_timeout: Option<u32>,
    /// Connections of one address at once; nothing: any number.
    pub connections_per_address_max: Option<usize>,
    /// Users of the configuration file; of two with the same name the last one.
    pub users: Vec<User>,
    /// The user that an empty data directory gets when nothing else names one.
    pub default_user: DefaultUser,
    /// Names of users that may log in from this machine only.
    pub loopback_users: Vec<ShortStr>,
    /// The virtual host that exists from the start.
    pub default_vhost: ShortStr,
    /// What clients see as `product` and `version`.
    pub product: Product,
    /// What is logged: levels, of the program and of parts of it.
    pub log: String,
    /// How lines of the log are written.
    pub log_format: LogFormat,
    /// Where spans of messages go; nothing: nowhere.
    pub otlp: Option<OtlpSettings>,
}

impl Settings {
    /// Puts the sources together; reads the configuration file when one is named.
    ///
    /// # Errors
    /// When the file can't be used, or an address or a password hash is none.
    pub fn resolve(
        Overrides { config, flags, fallback }: Overrides,
        defaults: &RabbitmqDefaults,
    ) -> Result<Self, SettingsError> {
        let file = match &config {
            Some(path) => ConfigFile::read(path)?,
            None => ConfigFile::default(),
        };
        let said = flags.over(file).over(fallback);
        let tls = match crate::tls::resolve(said.tls)? {
            None => None,
            Some(UnresolvedTls { listen, proxy_protocol, files, admin, metrics }) => {
                let listen = listen_addresses("tls.listen", &listen, TLS_LISTEN_DEFAULT)?;
                Some(TlsSettings { listen, proxy_protocol, files, admin, metrics })
            }
        };
        let is_on = |flag: Option<Flag>| flag.is_some_and(|Flag(value)| value);
        let listen = said.listen.map_or_else(|| vec![LISTEN_DEFAULT.to_owned()], |listed| listed.0);
        let path = |path: Option<FilePath>| path.map(|FilePath(path)| path);
        Ok(Self {
            data_dir: path(said.data_dir).unwrap_or_else(|| PathBuf::from(DATA_DIR_DEFAULT)),
            listen: match &*listen {
                [] if tls.is_some() => Vec::new(),
                listed => listen_addresses("listen", listed, LISTEN_DEFAULT)?,
            },
            proxy_protocol: is_on(said.proxy_protocol),
            tls,
            metrics_listen: address("metrics_listen", said.metrics_listen, METRICS_LISTEN_DEFAULT)?,
            admin_listen: address("admin_listen", said.admin_listen, ADMIN_LISTEN_DEFAULT)?,
            admin_proxy_protocol: is_on(said.admin_proxy_protocol),
            admin_hosts: said.admin_hosts.map_or_else(Vec::new, |Names(names)| names),
            metrics_queues_max: said
                .metrics_queues_max
                .map_or(METRICS_QUEUES_DEFAULT, |Count(n)| n),
            load_definitions: path(said.load_definitions),
            message_size_max: said
                .max_message_size
                .map_or_else(message_size_default, |MessageSize(n)| n),
            heartbeat: said.heartbeat.map_or(HEARTBEAT_S_DEFAULT, |HeartbeatSeconds(s)| s),
            idle_timeout: said.idle_timeout.map(|Seconds(s)| s).filter(|seconds| *seconds > 0),
            connections_per_address_max: said
                .connections_per_address_max
                .map(|ConnectionCount(count)| count),
            scrub_rate: said.scrub_rate.map_or(SCRUB_RATE_BYTES_DEFAULT, |Size(n)| n),
            disk_free_limit: said.disk_free_limit.map_or(DISK_FREE_LIMIT_BYTES_DEFAULT, |s| s.0),
            memory_high_watermark: said
                .memory_high_watermark
                .map_or(Amount::Share(MEMORY_HIGH_WATERMARK_DEFAULT), |MemoryWatermark(amount)| {
                    amount
                }),
            queue_defaults: said.queues.resolve(),
            lag: said.lag.resolve()?,
            users: configured_users(&said.users)?,
            default_user: defaults.user.clone(),
            loopback_users: loopback_users(said.loopback_users)?,
            default_vhost: defaults.vhost.clone(),
            product: said.product.unwrap_or_default(),
            log: said.log.map_or_else(|| LOG_DEFAULT.to_owned(), |LogFilter(filter)| filter),
            log_format: said.log_format.unwrap_or_default(),
            otlp: said.otlp_endpoint.map(|OtlpEndpoint(endpoint)| OtlpSettings {
                endpoint,
                service_name: said
                    .otlp_service_name
                    .map_or_else(|| SERVICE_NAME_DEFAULT.to_owned(), |ServiceName(name)| name),
            }),
        })
    }
}

/// Less than the largest size where there is little memory.
fn message_size_default() -> u64 {
    message_size_max(MemoryLimit::read().map_or(u64::MAX, |limit| limit.bytes))
}

impl Settings {
    /// What an operator should know of them.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let is_open = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
        let in_clear = |what: &str, address: &SocketAddr, advice: &str| {
            format!(
                "{what} listens on {address} without TLS, so that passwords and messages cross the \
                 network in clear: {advice}"
            )
        };
        for address in self.listen.iter().filter(is_open) {
            warnings.push(in_clear("AMQP", address, "let clients use tls.listen"));
        }
        if is_open(&&self.admin_listen) && !self.tls.as_ref().is_some_and(|tls| tls.admin) {
            warnings.push(in_clear("admin", &self.admin_listen, "set tls.admin"));
        }
        warnings
    }
}

fn address(
    place: &'static str,
    said: Option<Address>,
    default: &'static str,
) -> Result<SocketAddr, SettingsError> {
    let text = said.map_or_else(|| default.to_owned(), |Address(text)| text);
    Ok(addresses(place, &text, default)?.0)
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
    use crate::config::config_value::Addresses;
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
        assert_eq!((settings.users.len(), &settings.default_user), (0, &DefaultUser::default()));
        assert_eq!(settings.loopback_users, [ShortStr::from_static("guest")]);
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file = file("data_dir = \"from-file\"\nlisten = [\"127.0.0.1:1\"]\n");
        let config = Some(file.path().to_owned());
        let settings = resolve(Overrides { config: config.clone(), ..Default::default() }).unwrap();
        assert_eq!(settings.data_dir, PathBuf::from("from-file"));
        assert_eq!(settings.listen, ["127.0.0.1:1".parse().unwrap()]);
        let flags = ConfigFile {
            data_dir: Some(FilePath("from-flag".into())),
            listen: Some(Addresses(vec!["127.0.0.1:2".to_owned(), "[::1]:3".to_owned()])),
            ..ConfigFile::default()
        };
        let settings = resolve(Overrides { config, flags, ..Default::default() }).unwrap();
        assert_eq!(settings.data_dir, PathBuf::from("from-flag"));
        let expected = ["127.0.0.1:2".parse().unwrap(), "[::1]:3".parse().unwrap()];
        assert_eq!(settings.listen, expected);
        assert_eq!(settings.metrics_listen, "127.0.0.1:15692".parse().unwrap());
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        let listen = Some(Addresses(vec!["127.0.0.1:port".to_owned()]));
        let flags = ConfigFile { listen, ..ConfigFile::default() };
        let text = resolve(Overrides { flags, ..Default::default() }).unwrap_err().to_string();
        assert!(
            text.starts_with("listen: '127.0.0.1:port'") && text.contains("HOST:PORT"),
            "{text}"
        );
    }

    #[test]
    fn listening_to_the_network_in_clear_is_warned_of() {
        let warned = |text: &str| {
            let config = file(text);
            let config = Some(config.path().to_owned());
            resolve(Overrides { config, ..Overrides::default() }).unwrap().warnings()
        };
        assert_eq!(warned("listen = [\"127.0.0.1:1\", \"[::1]:2\"]"), Vec::<String>::new());
        assert_eq!(warned("listen = \"[::ffff:127.0.0.1]:1\""), Vec::<String>::new());
        let warnings = warned("listen = \"0.0.0.0:1,127.0.0.1:2\"\nadmin_listen = \"[::]:3\"");
        let [amqp, admin] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(amqp.starts_with("AMQP listens on 0.0.0.0:1 without TLS"), "{amqp}");
        assert!(admin.starts_with("admin listens on [::]:3 without TLS"), "{admin}");
        let tls = "[tls]\ncertfile = \"c\"\nkeyfile = \"k\"\nlisten = \"0.0.0.0:1\"\nadmin = true";
        let text = format!("listen = []\nadmin_listen = \"0.0.0.0:3\"\n{tls}");
        assert_eq!(warned(&text), Vec::<String>::new());
    }

    #[test]
    fn limits_are_read_as_numbers_and_as_text() {
        let file = file("disk_free_limit = \"1GB\"\nmemory_high_watermark = 0.25\n");
        let config = Some(file.path().to_owned());
        let overrides = Overrides { config, ..Overrides::default() };
        let settings = resolve(overrides).unwrap();
        assert_eq!(settings.disk_free_limit, 1_000_000_000);
        assert_eq!(settings.memory_high_watermark, Amount::Share(0.25));
    }

    #[test]
    fn an_empty_list_of_addresses_is_refused() {
        let file = file("listen = []");
        let overrides = Overrides { config: Some(file.path().to_owned()), ..Overrides::default() };
        assert!(matches!(resolve(overrides), Err(SettingsError::NoAddress { .. })));
    }

    #[test]
    fn a_users_hash_can_stand_in_a_file() {
        let users = |keys: &str| {
            let config = file(&format!("[[users]]\nname = \"app\"\n{keys}"));
            let config = Some(config.path().to_owned());
            let settings = resolve(Overrides { config, ..Overrides::default() });
            settings.map(|settings| settings.users).map_err(|error| error.to_string())
        };
        let hash = crate::auth::user::hash_password(b"secret").unwrap();
        let (secret, empty) = (file(&format!("{hash}\n")), file(""));
        let named = |file: &tempfile::NamedTempFile| {
            format!("password_hash_file = \"{}\"\n", file.path().display())
        };
        let written = format!("password_hash = \"{hash}\"\n");
        assert_eq!(users(&named(&secret)), users(&written));
        assert_eq!(users(&written).unwrap().len(), 1);
        let error = users("").unwrap_err();
        assert!(error.contains("user 'app' has no password hash"), "{error}");
        let error = users(&format!("{written}{}", named(&secret))).unwrap_err();
        assert!(error.contains("password_hash and password_hash_file"), "{error}");
        let error = users(&named(&empty)).unwrap_err();
        assert!(error.contains("user 'app'") && error.contains("expected $argon2id$"), "{error}");
        let error = users("password_hash_file = \"/nowhere/hash\"\n").unwrap_err();
        assert!(error.contains("user 'app'") && error.contains("/nowhere/hash"), "{error}");
    }

    #[test]
    fn a_password_in_clear_text_is_refused_with_the_users_name() {
        let file = file("[[users]]\nname = \"app\"\npassword_hash = \"secret\"\n");
        let overrides = Overrides { config: Some(file.path().to_owned()), ..Overrides::default() };
        let text = resolve(overrides).unwrap_err().to_string();
        assert!(text.contains("user 'app'") && text.contains("$argon2id$"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
