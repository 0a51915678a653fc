//! Who may log in: users of the configuration, and the default user in RabbitMQ's manner.

use crate::limits::{
    PASSWORD_HASH_LANES_MAX, PASSWORD_HASH_MEMORY_KIB_MAX, PASSWORD_HASH_PASSES_MAX,
};
use crate::password_memory;
use argon2::password_hash::{self, PasswordHashString, SaltString};
use argon2::{Algorithm, Params};
use forebay_engine::access::Permission;
use forebay_wire::ShortStr;

/// Name and password of the user that exists when nothing else is said.
const GUEST: &str = "guest";

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, as in SASL.
    pub name: String,
    /// What the password is checked against.
    pub credential: Credential,
    /// Whether it may log in only from this machine.
    pub loopback_only: bool,
    /// Whether it gives way to a user of its name that an operator made.
    pub is_default: bool,
    /// What it may do beyond messaging, as `administrator`.
    pub tags: Vec<String>,
    /// What it may do in which virtual host; nothing: everything everywhere.
    pub permissions: Option<Vec<(ShortStr, Permission)>>,
}

/// What a password is checked against.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// The password itself: of the default user, which the environment gives in clear text.
    Password(String),
    /// An argon2id hash in PHC form: of users in the configuration file.
    Hash(PasswordHashString),
}

/// Why a text is no hash that we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordHashError {
    /// It is not in PHC form.
    #[error("it is no password hash ({0}); expected $argon2id$v=19$m=…,t=…,p=…$SALT$HASH")]
    Form(password_hash::Error),
    /// It was made by something else.
    #[error("it was made with {0}; expected argon2id")]
    Algorithm(String),
    /// Checking it would cost too much.
    #[error(
        "checking it costs m={memory_kib},t={passes},p={lanes}; at most \
         m={PASSWORD_HASH_MEMORY_KIB_MAX},t={PASSWORD_HASH_PASSES_MAX},p={PASSWORD_HASH_LANES_MAX} \
         is taken"
    )]
    Cost {
        /// Its memory, in KiB.
        memory_kib: u32,
        /// Its passes.
        passes: u32,
        /// Its lanes.
        lanes: u32,
    },
}

/// `RABBITMQ_DEFAULT_USER`, `…_PASS` and `…_VHOST`, as RabbitMQ's container image reads them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RabbitmqDefaults {
    /// The user that takes guest's place.
    pub user: Option<String>,
    /// Its password.
    pub pass: Option<String>,
    /// The virtual host that exists from the start instead of `/`.
    pub vhost: Option<String>,
}

impl RabbitmqDefaults {
    /// Reads them from the process's environment; empty ones count as absent.
    #[must_use]
    pub fn from_environment() -> Self {
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            user: read("RABBITMQ_DEFAULT_USER"),
            pass: read("RABBITMQ_DEFAULT_PASS"),
            vhost: read("RABBITMQ_DEFAULT_VHOST"),
        }
    }

    /// The default user: guest/guest, which may come from this machine only, unless the
    /// environment names another name or password.
    #[must_use]
    pub fn default_user(&self) -> User {
        let name = self.user.clone().unwrap_or_else(|| GUEST.to_owned());
        let password = self.pass.clone().unwrap_or_else(|| GUEST.to_owned());
        let loopback_only = name == GUEST && password == GUEST;
        User {
            name,
            credential: Credential::Password(password),
            loopback_only,
            is_default: true,
            tags: vec!["administrator".to_owned()],
            permissions: None,
        }
    }
}

impl Credential {
    /// Takes an argon2id hash in PHC form.
    ///
    /// # Errors
    /// When the text is not in that form or names another algorithm.
    pub fn from_hash(text: &str) -> Result<Self, PasswordHashError> {
        let hash = PasswordHashString::new(text).map_err(PasswordHashError::Form)?;
        if hash.algorithm() != Algorithm::Argon2id.ident() || hash.hash().is_none() {
            return Err(PasswordHashError::Algorithm(hash.algorithm().to_string()));
        }
        let cost = Params::try_from(&hash.password_hash()).map_err(PasswordHashError::Form)?;
        let (memory_kib, passes, lanes) = (cost.m_cost(), cost.t_cost(), cost.p_cost());
        if memory_kib > PASSWORD_HASH_MEMORY_KIB_MAX
            || passes > PASSWORD_HASH_PASSES_MAX
            || lanes > PASSWORD_HASH_LANES_MAX
        {
            return Err(PasswordHashError::Cost { memory_kib, passes, lanes });
        }
        Ok(Self::Hash(hash))
    }
}

impl std::fmt::Debug for RabbitmqDefaults {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("RabbitmqDefaults");
        shown.field("user", &self.user).field("vhost", &self.vhost).finish_non_exhaustive()
    }
}

// Never shows a password, not even in a log at debug level.
impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Password(_) => "Password(…)",
            Self::Hash(_) => "Hash(…)",
        })
    }
}

/// Hashes a password for the configuration file, with a random salt.
///
/// # Errors
/// When the password is longer than argon2 takes (4 GiB) or the system has no randomness.
pub fn hash_password(password: &[u8]) -> Result<String, password_hash::Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| password_hash::Error::Crypto)?;
    let salt = SaltString::encode_b64(&salt)?;
    password_memory::hash(password, &salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_stays_at_home_unless_it_has_another_password() {
        assert!(RabbitmqDefaults::default().default_user().loopback_only);
        let secret =
            RabbitmqDefaults { pass: Some("s3cret".to_owned()), ..RabbitmqDefaults::default() };
        let user = secret.default_user();
        assert_eq!((user.name.as_str(), user.loopback_only), ("guest", false));
    }

    #[test]
    fn a_named_default_user_takes_guests_place() {
        let named = RabbitmqDefaults {
            user: Some("orders".to_owned()),
            pass: Some("pw".to_owned()),
            vhost: None,
        };
        let user = named.default_user();
        assert_eq!(user.name, "orders");
        assert_eq!(user.credential, Credential::Password("pw".to_owned()));
        assert!(!user.loopback_only);
    }

    #[test]
    fn only_argon2id_is_taken() {
        let hash = hash_password(b"secret").unwrap();
        assert!(Credential::from_hash(&hash).is_ok());
        let other = hash.replace("argon2id", "argon2i");
        let error = Credential::from_hash(&other).unwrap_err().to_string();
        assert!(error.contains("argon2i;") && error.contains("argon2id"), "{error}");
        let error = Credential::from_hash("secret").unwrap_err().to_string();
        assert!(error.contains("expected $argon2id$"), "{error}");
    }

    #[test]
    fn a_hash_that_costs_too_much_is_refused() {
        let hash = hash_password(b"secret").unwrap();
        for costly in ["m=4194304,t=2,p=1", "m=19456,t=1000,p=1", "m=19456,t=2,p=64"] {
            let text = hash.replace("m=19456,t=2,p=1", costly);
            let error = Credential::from_hash(&text).unwrap_err().to_string();
            assert!(error.contains(costly) && error.contains("at most m="), "{error}");
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        let user = RabbitmqDefaults { pass: Some("s3cret".to_owned()), ..Default::default() };
        assert!(!format!("{:?}", user.default_user()).contains("s3cret"));
    }
}
