//! Why the settings can't be used: the place, what was given, and what works.

use crate::auth::user::PasswordHashError;
use crate::config::config_file::ConfigFileError;
use crate::config::lag_defaults::TooManyLearnDays;
use crate::tls::TlsSettingsError;
use forebay_wire::limits::SHORT_STR_LENGTH_MAX;
use std::path::PathBuf;

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
    /// The list of addresses is empty.
    #[error("{place}: the list is empty; expected at least one address, as [\"{example}\"]")]
    NoAddress {
        /// The key.
        place: &'static str,
        /// One that works.
        example: &'static str,
    },
    /// More days of lag are to be learnt from than are kept.
    #[error(transparent)]
    LearnDays(#[from] TooManyLearnDays),
    /// TLS can't be set up like this.
    #[error(transparent)]
    Tls(#[from] TlsSettingsError),
    /// The name of a user is too long.
    #[error("{place}: the name is {length} bytes long; at most {SHORT_STR_LENGTH_MAX} are allowed")]
    NameTooLong {
        /// The key.
        place: &'static str,
        /// Its length, in bytes.
        length: usize,
    },
    /// A user's hash is none that we take.
    #[error("users: password_hash of user '{user}': {error}")]
    PasswordHash {
        /// The user.
        user: String,
        /// What is wrong.
        error: PasswordHashError,
    },
    /// A user has no hash, or two.
    #[error(
        "users: user '{user}' has {found}; expected password_hash, as `forebay hash-password` makes it, \
         or password_hash_file, which names a file that holds it"
    )]
    PasswordHashPlace {
        /// The user.
        user: String,
        /// What it has.
        found: &'static str,
    },
    /// The file with a user's hash can't be read.
    #[error("users: password_hash_file of user '{user}': cannot read {}: {error}", path.display())]
    PasswordHashFile {
        /// The user.
        user: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
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
