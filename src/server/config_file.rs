//! The configuration file: TOML, every key known, every error with file, line and key.

use crate::amount;
use crate::queue_defaults::ConfigQueues;
use crate::tls::ConfigTls;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What the file says; what it leaves out stays with the environment and the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Where the data lies; a relative path starts at the directory the broker was started in.
    pub data_dir: Option<PathBuf>,
    /// Addresses for AMQP, as `127.0.0.1:5672`.
    pub listen: Option<Vec<String>>,
    /// Address of the metrics and health endpoint.
    pub metrics_listen: Option<String>,
    /// Queues that have metrics of their own.
    pub metrics_queues_max: Option<usize>,
    /// Address of the admin listener.
    pub admin_listen: Option<String>,
    /// A file of definitions that is imported at every start.
    pub load_definitions: Option<PathBuf>,
    /// Octets a second that are read again to find damage, as `"2MiB"`.
    #[serde(default, deserialize_with = "amount::text")]
    pub scrub_rate: Option<String>,
    /// Free space below which publishers wait, as `"50MB"`.
    #[serde(default, deserialize_with = "amount::text")]
    pub disk_free_limit: Option<String>,
    /// Memory above which publishers wait, as `0.6` (of what may be used) or `"2GB"`.
    #[serde(default, deserialize_with = "amount::text")]
    pub memory_high_watermark: Option<String>,
    /// The name shown to clients as `product`.
    pub product: Option<String>,
    /// Octets of a message's body at most.
    pub max_message_size: Option<u64>,
    /// The heartbeat interval that is suggested to clients, in seconds; 0: none.
    pub heartbeat: Option<u16>,
    /// Seconds that a client without heartbeats may be silent; 0: any number.
    pub idle_timeout: Option<u32>,
    /// Connections of one address at once.
    pub connections_per_address_max: Option<usize>,
    /// Certificates, and where AMQP with TLS listens.
    #[serde(default)]
    pub tls: ConfigTls,
    /// What holds for queues that don't say themselves.
    #[serde(default)]
    pub queues: ConfigQueues,
    /// Users beside the default one.
    #[serde(default)]
    pub users: Vec<ConfigUser>,
}

/// One `[[users]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigUser {
    /// The name.
    pub name: String,
    /// The password as an argon2id hash in PHC form.
    pub password_hash: String,
    /// What it may do beyond messaging, as `administrator`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What it may do in which virtual host; left out: everything everywhere.
    pub permissions: Option<Vec<ConfigPermission>>,
}

/// What a user may do in a virtual host; a pattern that is left out allows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigPermission {
    /// The virtual host.
    pub vhost: String,
    /// Names it may declare and delete.
    #[serde(default)]
    pub configure: String,
    /// Names it may write to.
    #[serde(default)]
    pub write: String,
    /// Names it may read from.
    #[serde(default)]
    pub read: String,
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
                message: error.message().to_owned(),
                excerpt: format!("    {}\n    {mark}^", source.unwrap_or("")),
            }
        })
    }
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
        assert_eq!(file.data_dir, Some(PathBuf::from("/var/lib/forebay")));
        assert_eq!(file.listen.map(|listen| listen.len()), Some(2));
        assert_eq!(file.users.first().map(|user| user.name.as_str()), Some("app"));
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
        let text = error("[[users]]\nname = \"app\"\n");
        assert!(text.contains("password_hash"), "{text}");
    }

    #[test]
    fn a_missing_file_says_which_and_what_to_do() {
        let text = ConfigFile::read(Path::new("/nowhere/forebay.toml")).unwrap_err().to_string();
        assert!(text.contains("/nowhere/forebay.toml") && text.contains("--config"), "{text}");
    }
}
