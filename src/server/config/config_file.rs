//! The configuration file: TOML, every key known, every error with file, line and key. What flags and
//! the environment say has the same form and lies over it.

use crate::config::config_log::{LogFilter, LogFormat};
use crate::config::config_time::{HeartbeatSeconds, Seconds};
use crate::config::config_value::{
    Address, Addresses, ConnectionCount, Count, FilePath, Flag, LoopbackUsers, MemoryWatermark,
    MessageSize, Names, Size, Text,
};
use crate::config::lag_defaults::ConfigLag;
use crate::config::otlp::{OtlpEndpoint, ServiceName};
use crate::config::product::Product;
use crate::config::queue_defaults::ConfigQueues;
use crate::tls::ConfigTls;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::{Path, PathBuf};

/// What the file says; what it leaves out stays with the defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of settings")]
pub struct ConfigFile {
    /// Where the data lies; a relative path starts at the directory the broker was started in.
    pub data_dir: Option<FilePath>,
    /// Addresses for AMQP.
    pub listen: Option<Addresses>,
    /// Whether clients come there through a balancer that speaks the PROXY protocol.
    pub proxy_protocol: Option<Flag>,
    /// Address of the metrics and health endpoint.
    pub metrics_listen: Option<Address>,
    /// Queues that have metrics of their own.
    pub metrics_queues_max: Option<Count>,
    /// Address of the admin listener.
    pub admin_listen: Option<Address>,
    /// Whether clients come there through a balancer that speaks the PROXY protocol.
    pub admin_proxy_protocol: Option<Flag>,
    /// Names that browsers may call the admin listener by.
    pub admin_hosts: Option<Names>,
    /// A file of definitions that is imported at every start.
    pub load_definitions: Option<FilePath>,
    /// Bytes a second that are read again to find damage.
    pub scrub_rate: Option<Size>,
    /// Free space below which publishers wait.
    pub disk_free_limit: Option<Size>,
    /// Memory above which publishers wait.
    pub memory_high_watermark: Option<MemoryWatermark>,
    /// The name shown to clients as `product`, and behind a space the version that goes with it.
    pub product: Option<Product>,
    /// Bytes of a message's body at most.
    pub max_message_size: Option<MessageSize>,
    /// The heartbeat interval that is suggested to clients; 0: none.
    pub heartbeat: Option<HeartbeatSeconds>,
    /// How long a client without heartbeats may be silent; 0: for any time.
    pub idle_timeout: Option<Seconds>,
    /// Connections of one address at once.
    pub connections_per_address_max: Option<ConnectionCount>,
    /// Users that may log in from this machine only.
    pub loopback_users: Option<LoopbackUsers>,
    /// What is logged.
    pub log: Option<LogFilter>,
    /// How lines of the log are written.
    pub log_format: Option<LogFormat>,
    /// The collector that spans of messages go to.
    pub otlp_endpoint: Option<OtlpEndpoint>,
    /// What the broker is called in traces.
    pub otlp_service_name: Option<ServiceName>,
    /// Certificates, and where AMQP with TLS listens.
    #[serde(default)]
    pub tls: ConfigTls,
    /// What holds for queues that don't say themselves.
    #[serde(default)]
    pub queues: ConfigQueues,
    /// What lag of queues is normal.
    #[serde(default)]
    pub lag: ConfigLag,
    /// Users.
    #[serde(default)]
    pub users: Tables<ConfigUser>,
}

/// One `[[users]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with the keys of a user")]
pub struct ConfigUser {
    /// The name.
    pub name: Text,
    /// The password as an argon2id hash in PHC form.
    pub password_hash: Option<Text>,
    /// A file that holds the hash instead.
    pub password_hash_file: Option<FilePath>,
    /// What many write first; always refused.
    #[serde(default)]
    pub password: NoPassword,
    /// What it may do beyond messaging, as `administrator`.
    pub tags: Option<Names>,
    /// What it may do in which virtual host; left out: everything everywhere.
    pub permissions: Option<Tables<ConfigPermission>>,
}

/// What a user may do in a virtual host; a pattern that is left out allows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with the keys of a permission")]
pub struct ConfigPermission {
    /// The virtual host.
    pub vhost: Text,
    /// Names it may declare and delete.
    pub configure: Option<Text>,
    /// Names it may write to.
    pub write: Option<Text>,
    /// Names it may read from.
    pub read: Option<Text>,
}

/// The absence of a password in clear text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoPassword;

impl<'de> Deserialize<'de> for NoPassword {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "a password can't stand in the file; expected password_hash, as `forebay hash-password` \
             makes it",
        ))
    }
}

/// A list of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables<T>(pub Vec<T>);

impl<T> Default for Tables<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Tables<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TablesVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for TablesVisitor<T> {
            type Value = Tables<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of tables")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut tables = Vec::new();
                while let Some(table) = list.next_element()? {
                    tables.push(table);
                }
                Ok(Tables(tables))
            }
        }
        deserializer.deserialize_seq(TablesVisitor(std::marker::PhantomData))
    }
}

/// Why a configuration file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// It can't be read.
    #[error(
        "cannot read the configuration file {path}: {error}; check the path given with --config or FOREBAY_CONFIG and its permissions"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is no TOML, has an unknown key or a value of the wrong type.
    #[error("configuration file {path}, line {line}: {message}\n{excerpt}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, naming the key.
        message: String,
        /// The line itself, with the place marked.
        excerpt: String,
    },
}

impl ConfigFile {
    /// What this says, and what `below` says where this says nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let users = if self.users.0.is_empty() { below.users } else { self.users };
        Self {
            data_dir: self.data_dir.or(below.data_dir),
            listen: self.listen.or(below.listen),
            proxy_protocol: self.proxy_protocol.or(below.proxy_protocol),
            metrics_listen: self.metrics_listen.or(below.metrics_listen),
            metrics_queues_max: self.metrics_queues_max.or(below.metrics_queues_max),
            admin_listen: self.admin_listen.or(below.admin_listen),
            admin_proxy_protocol: self.admin_proxy_protocol.or(below.admin_proxy_protocol),
            admin_hosts: self.admin_hosts.or(below.admin_hosts),
            load_definitions: self.load_definitions.or(below.load_definitions),
            scrub_rate: self.scrub_rate.or(below.scrub_rate),
            disk_free_limit: self.disk_free_limit.or(below.disk_free_limit),
            memory_high_watermark: self.memory_high_watermark.or(below.memory_high_watermark),
            product: self.product.or(below.product),
            max_message_size: self.max_message_size.or(below.max_message_size),
            heartbeat: self.heartbeat.or(below.heartbeat),
            idle_timeout: self.idle_timeout.or(below.idle_timeout),
            connections_per_address_max: self
                .connections_per_address_max
                .or(below.connections_per_address_max),
            loopback_users: self.loopback_users.or(below.loopback_users),
            log: self.log.or(below.log),
            log_format: self.log_format.or(below.log_format),
            otlp_endpoint: self.otlp_endpoint.or(below.otlp_endpoint),
            otlp_service_name: self.otlp_service_name.or(below.otlp_service_name),
            tls: self.tls.over(below.tls),
            queues: self.queues.over(below.queues),
            lag: self.lag.over(below.lag),
            users,
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, is no TOML, or has a key that is unknown or of the wrong type.
    pub fn read(path: &Path) -> Result<Self, ConfigFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigFileError::Read { path: path.to_owned(), error })?;
        Self::parse(path, &text)
    }

    /// Takes a text for the content of a file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigFileError> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            let source = text.get(line_start..).and_then(|rest| rest.lines().next());
            let mark = " ".repeat(before.get(line_start..).unwrap_or("").chars().count());
            ConfigFileError::Parse {
                path: path.to_owned(),
                line,
                message: in_words_of_configuration(error.message()),
                excerpt: format!("    {}\n    {mark}^", source.unwrap_or("")),
            }
        })
    }
}

/// What the parser says, without the words of the language that it is written in.
fn in_words_of_configuration(message: &str) -> String {
    message
        .replace("unknown field", "unknown key")
        .replace("missing field", "missing key")
        .replace("invalid type: ", "wrong type: found ")
        .replace("sequence", "list")
        .replace("map,", "table,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        ConfigFile::parse(Path::new("forebay.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_full_file_is_read() {
        let text = r#"
            data_dir = "/var/lib/forebay"
            listen = ["127.0.0.1:5672", "[::1]:5672"]
            metrics_listen = "127.0.0.1:15692"
            product = "RabbitMQ"

            [[users]]
            name = "app"
            password_hash = "$argon2id$…"
        "#;
        let file = ConfigFile::parse(Path::new("forebay.toml"), text).unwrap();
        assert_eq!(file.data_dir, Some(FilePath("/var/lib/forebay".into())));
        assert_eq!(file.listen.map(|listen| listen.0.len()), Some(2));
        assert_eq!(file.users.0.first().map(|user| user.name.0.as_str()), Some("app"));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let text = error("data_dir = \"x\"\nlisten_on = \"y\"\n");
        assert!(text.contains("forebay.toml, line 2"), "{text}");
        assert!(text.contains("listen_on"), "{text}");
        assert!(text.contains("metrics_listen"), "names what is allowed: {text}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_with_its_line() {
        let text = error("\n\nlisten = 5672\n");
        assert!(text.contains("line 3") && text.contains("listen = 5672"), "{text}");
    }

    #[test]
    fn a_missing_key_of_a_user_is_named() {
        let text = error("[[users]]\ntags = []\n");
        assert!(text.contains("missing key `name`"), "{text}");
        let text = error("[[users]]\nname = \"app\"\npassword = \"secret\"\n");
        assert!(text.contains("line 3") && text.contains("forebay hash-password"), "{text}");
    }

    #[test]
    fn errors_speak_no_rust() {
        for text in [
            "heartbeat = \"often\"",
            "max_message_size = {}",
            "users = 5",
            "users = [5]",
            "tls = 5",
            "queues = \"rabbitmq\"",
            "queues.defaults = \"kafka\"",
            "lag = true",
            "lag.line_percent = \"twice\"",
            "lag.history_days = 365",
            "tls.admin = \"maybe\"",
            "tls.cert_login_from = 5",
            "loopback_users = 1979-05-27",
            "[[users]]\nname = [1]",
            "log = \"verbose\"",
            "otlp_endpoint = \"collector:4317\"",
            "otlp_service_name = {}",
        ] {
            let text = error(text);
            assert!(text.contains("expected "), "{text}");
            for word in
                ["u16", "u32", "u64", "i64", "usize", "struct", "Config", "sequence", "enum"]
            {
                assert!(!text.contains(word), "{word} in: {text}");
            }
        }
    }

    #[test]
    fn a_missing_file_says_which_and_what_to_do() {
        let text = ConfigFile::read(Path::new("/nowhere/forebay.toml")).unwrap_err().to_string();
        assert!(text.contains("/nowhere/forebay.toml") && text.contains("--config"), "{text}");
    }
}
