//! Who may log in by the configuration, and the default user in RabbitMQ's manner.

use crate::auth::password_memory;
use crate::limits::{
    PASSWORD_HASH_MEMORY_KIB_MAX, PASSWORD_HASH_PARALLELISM_MAX, PASSWORD_HASH_PASSES_MAX,
};
use argon2::password_hash::{self, PasswordHashString, SaltString};
use argon2::{Algorithm, Params};
use forebay_engine::access::{PasswordHash, Permission, User as StoredUser};
use forebay_wire::ShortStr;

/// Name and password of the default user when nothing else is said.
pub const GUEST: &str = "guest";

/// The tag that allows everything on the admin listener.
pub const ADMINISTRATOR: &str = "administrator";

/// One user of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, as in SASL.
    pub name: ShortStr,
    /// What its password is checked against, and its tags.
    pub account: StoredUser,
    /// What it may do in which virtual host; nothing: everything everywhere.
    pub permissions: Option<Vec<(ShortStr, Permission)>>,
}

/// The user that is made in an empty data directory when nothing else names one.
#[derive(Clone, PartialEq, Eq)]
pub struct DefaultUser {
    /// The name, as in SASL.
    pub name: ShortStr,
    /// The password in clear text.
    pub password: String,
    /// The environment names it.
    pub is_named: bool,
}

impl DefaultUser {
    /// The user as the store keeps it.
    ///
    /// # Errors
    /// When the system has no randomness for a salt.
    pub fn account(&self) -> Result<StoredUser, password_hash::Error> {
        let password = PasswordHash::Argon2id(hash_password(self.password.as_bytes())?);
        Ok(StoredUser { password, tags: vec![ADMINISTRATOR.to_owned()] })
    }
}

impl Default for DefaultUser {
    fn default() -> Self {
        let (name, password) = (ShortStr::from_static(GUEST), GUEST.to_owned());
        Self { name, password, is_named: false }
    }
}

// Never shows a password, not even in a log at debug level.
impl std::fmt::Debug for DefaultUser {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DefaultUser").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a text is no hash that we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordHashError {
    /// It is not in PHC form.
    #[error(
        "it is no password hash ({0}); expected $argon2id$v=19$m=…,t=…,p=…$SALT$HASH, as \
         `forebay hash-password` makes it"
    )]
    Form(password_hash::Error),
    /// It was made by something else.
    #[error("it was made with {0}; expected argon2id, as `forebay hash-password` makes it")]
    Algorithm(String),
    /// Checking it would cost too much.
    #[error(
        "checking it costs m={memory_kib},t={passes},p={parallelism}; at most \
         m={PASSWORD_HASH_MEMORY_KIB_MAX},t={PASSWORD_HASH_PASSES_MAX},p={PASSWORD_HASH_PARALLELISM_MAX} \
         is taken"
    )]
    Cost {
        /// Its memory, in KiB.
        memory_kib: u32,
        /// Its passes.
        passes: u32,
        /// Its parallelism.
        parallelism: u32,
    },
}

/// Takes an argon2id hash in PHC form.
///
/// # Errors
/// When the text is not in that form, names another algorithm, or would cost too much to check.
pub fn argon2id_hash(text: &str) -> Result<PasswordHash, PasswordHashError> {
    let hash = PasswordHashString::new(text).map_err(PasswordHashError::Form)?;
    if hash.algorithm() != Algorithm::Argon2id.ident() || hash.hash().is_none() {
        return Err(PasswordHashError::Algorithm(hash.algorithm().to_string()));
    }
    let cost = Params::try_from(&hash.password_hash()).map_err(PasswordHashError::Form)?;
    let (memory_kib, passes, parallelism) = (cost.m_cost(), cost.t_cost(), cost.p_cost());
    if memory_kib > PASSWORD_HASH_MEMORY_KIB_MAX
        || passes > PASSWORD_HASH_PASSES_MAX
        || parallelism > PASSWORD_HASH_PARALLELISM_MAX
    {
        return Err(PasswordHashError::Cost { memory_kib, passes, parallelism });
    }
    Ok(PasswordHash::Argon2id(text.to_owned()))
}

/// Hashes a password, with a random salt.
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
    fn only_argon2id_is_taken() {
        let hash = hash_password(b"secret").unwrap();
        assert!(argon2id_hash(&hash).is_ok());
        let other = hash.replace("argon2id", "argon2i");
        let error = argon2id_hash(&other).unwrap_err().to_string();
        assert!(error.contains("argon2i;") && error.contains("argon2id"), "{error}");
        let error = argon2id_hash("secret").unwrap_err().to_string();
        assert!(error.contains("expected $argon2id$"), "{error}");
    }

    #[test]
    fn a_hash_that_costs_too_much_is_refused() {
        let hash = hash_password(b"secret").unwrap();
        for costly in ["m=4194304,t=2,p=1", "m=7168,t=1000,p=1", "m=7168,t=5,p=64"] {
            let text = hash.replace("m=7168,t=5,p=1", costly);
            let error = argon2id_hash(&text).unwrap_err().to_string();
            assert!(error.contains(costly) && error.contains("at most m="), "{error}");
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        let user = DefaultUser { password: "s3cret".to_owned(), ..DefaultUser::default() };
        assert!(!format!("{user:?}").contains("s3cret"));
    }
}
