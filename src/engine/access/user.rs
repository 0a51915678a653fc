//! Users that an operator made at run time: names, tags, and what their passwords are checked
//! against. The check itself is the server's: it costs time, and the engine has none.

use forebay_wire::ShortStr;
use rpds::RedBlackTreeMapSync;
use std::sync::Arc;

/// A user as the store knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// What its password is checked against.
    pub password: PasswordHash,
    /// What it may do beyond messaging, as `administrator`; the engine passes tags on without reading them.
    pub tags: Vec<String>,
}

/// How a password is kept, never the password itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum PasswordHash {
    /// No password: a login under this name is refused.
    #[default]
    Disabled,
    /// argon2id in PHC form: what we make.
    Argon2id(String),
    /// RabbitMQ's `rabbit_password_hashing_sha256`, base64 of salt (4 bytes) and hash.
    RabbitmqSha256(String),
    /// RabbitMQ's `rabbit_password_hashing_sha512`, the same with SHA-512.
    RabbitmqSha512(String),
}

impl std::fmt::Debug for PasswordHash {
    // A hash belongs in no log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Disabled => "Disabled",
            Self::Argon2id(_) => "Argon2id(…)",
            Self::RabbitmqSha256(_) => "RabbitmqSha256(…)",
            Self::RabbitmqSha512(_) => "RabbitmqSha512(…)",
        })
    }
}

/// All users of the store, as of one version. A copy costs a few reference counts.
#[derive(Clone, Debug, Default)]
pub struct Users {
    by_name: RedBlackTreeMapSync<ShortStr, Arc<User>>,
}

impl Users {
    /// The user of this name.
    #[must_use]
    pub fn get(&self, name: &ShortStr) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// All users by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ShortStr, &User)> {
        self.by_name.iter().map(|(name, user)| (name, &**user))
    }

    pub(super) fn insert(&mut self, name: ShortStr, user: User) {
        self.by_name.insert_mut(name, Arc::new(user));
    }

    pub(super) fn remove(&mut self, name: &ShortStr) -> bool {
        self.by_name.remove_mut(name)
    }
}
