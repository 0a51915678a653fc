//! Why the settings can't be used: the place, what was given, and what works.

use crate::config_file::ConfigFileError;
use crate::queue_defaults::QueueDefaultsError;
use crate::tls::TlsSettingsError;
use crate::user::PasswordHashError;
use forebay_wire::limits::{MESSAGE_SIZE_MAX, SHORT_STR_LENGTH_MAX};

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can't be used.
    #[error(transparent)]
    ConfigFile(#[from] ConfigFileError),
    /// An address is none.
    #[error(
        "{place}: '{address}' is no address to listen on ({reason}); expected HOST:PORT, as {example}"
    )]
    Address {
        /// The flag, variable or key.
        place: &'static str,
        /// What was given.
        address: String,
        /// Why it is none.
        reason: String,
        /// One that works.
        example: &'static str,
    },
    /// A limit is none.
    #[error("{place}: '{text}' is no amount; expected {expected}")]
    Amount {
        /// The key.
        place: &'static str,
        /// What was given.
        text: String,
        /// What works.
        expected: &'static str,
    },
    /// Messages can't be that large.
    #[error("max_message_size: {octets} octets; expected from 1 to {MESSAGE_SIZE_MAX}")]
    MessageSize {
        /// What was given.
        octets: u64,
    },
    /// The list of addresses is empty.
    #[error("{place}: the list is empty; expected at least one address, as [\"{example}\"]")]
    NoAddress {
        /// The key.
        place: &'static str,
        /// One that works.
        example: &'static str,
    },
    /// TLS can't be set up like this.
    #[error(transparent)]
    Tls(#[from] TlsSettingsError),
    /// The name of the default virtual host is too long.
    #[error(
        "RABBITMQ_DEFAULT_VHOST is {octets} octets long; at most {SHORT_STR_LENGTH_MAX} are allowed"
    )]
    VhostTooLong {
        /// Its length.
        octets: usize,
    },
    /// A default of queues is not allowed.
    #[error(transparent)]
    QueueDefaults(#[from] QueueDefaultsError),
    /// A user's hash is none that we take.
    #[error("users: password_hash of user '{user}': {error}")]
    PasswordHash {
        /// The user.
        user: String,
        /// What is wrong.
        error: PasswordHashError,
    },
    /// A user's permission is none that we take.
    #[error("users: permission of user '{user}' in vhost '{vhost}': {reason}")]
    Permission {
        /// The user.
        user: String,
        /// The virtual host.
        vhost: String,
        /// What is wrong.
        reason: String,
    },
}
