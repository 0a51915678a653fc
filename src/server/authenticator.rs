//! Checks names and passwords.
//!
//! An argon2id check costs some 20 ms of a core on purpose, so it runs on blocking threads, a few
//! at a time, and a password that was right is remembered: as a keyed BLAKE2s digest with a key
//! of this process only, in memory only. Clients that connect again and again cost a digest each.

use crate::limits::{PASSWORD_VERIFICATIONS_MAX, VERIFIED_USERS_MAX};
use crate::password;
use crate::user::{Credential, User};
use arc_swap::ArcSwap;
use argon2::password_hash::PasswordHashString;
use blake2::Blake2sMac256;
use blake2::digest::{CtOutput, Mac};
use bytes::Bytes;
use forebay_engine::access::{PasswordHash, User as StoredUser};
use forebay_engine::connection::{Credentials, Proof};
use forebay_engine::topology::Routes;
use forebay_wire::ShortStr;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

type Digest = CtOutput<Blake2sMac256>;

/// Knows all users of a broker. Clones share what was verified.
#[derive(Clone)]
pub struct Authenticator {
    inner: Arc<Inner>,
}

/// Why a login was refused: for the log, never for the client, which must not learn which part
/// was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefused {
    /// There is no such user.
    #[error("there is no user of this name")]
    UnknownUser,
    /// The user exists, the password is another.
    #[error("the password is wrong")]
    WrongPassword,
    /// The user may only log in from this machine.
    #[error(
        "this user can only log in from this machine; add a user with a password_hash to the \
         configuration, or set RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS"
    )]
    NotLoopback,
}

struct Inner {
    key: [u8; 32],
    /// Users of the configuration.
    accounts: HashMap<ShortStr, Account>,
    /// Where the users stand that an operator made.
    routes: Arc<ArcSwap<Routes>>,
    /// Of the latter, those whose password was right: a user that is changed is another one.
    verified: Mutex<HashMap<ShortStr, (Arc<StoredUser>, Digest)>>,
    verifications: Semaphore,
}

struct Account {
    loopback_only: bool,
    is_default: bool,
    tags: Vec<String>,
    secret: Secret,
}

enum Found<'a> {
    Configured(&'a Account),
    Stored(Arc<StoredUser>),
}

enum Secret {
    Known(Digest),
    Hashed { hash: PasswordHashString, verified: Mutex<Option<Digest>> },
}

impl Authenticator {
    /// Knows these users, of two with the same name the last one, and those in `routes`. Users of
    /// the configuration go before those, the default user behind them.
    ///
    /// # Errors
    /// When the system has no randomness for the digests' key.
    pub fn new(users: &[User], routes: Arc<ArcSwap<Routes>>) -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let mut accounts = HashMap::new();
        for user in users {
            let secret = match &user.credential {
                Credential::Password(password) => {
                    let Some(digest) = digest(&key, password.as_bytes()) else { continue };
                    Secret::Known(digest)
                }
                Credential::Hash(hash) => {
                    Secret::Hashed { hash: hash.clone(), verified: Mutex::new(None) }
                }
            };
            // No client can send a name that is longer.
            let Ok(name) = ShortStr::try_from(user.name.as_str()) else { continue };
            let account = Account {
                loopback_only: user.loopback_only,
                is_default: user.is_default,
                tags: user.tags.clone(),
                secret,
            };
            accounts.insert(name, account);
        }
        let verifications = Semaphore::new(PASSWORD_VERIFICATIONS_MAX);
        let verified = Mutex::default();
        Ok(Self { inner: Arc::new(Inner { key, accounts, routes, verified, verifications }) })
    }

    /// The tags of a user; nothing when there is none of this name.
    #[must_use]
    pub fn tags(&self, name: &ShortStr) -> Option<Vec<String>> {
        match self.inner.find(name)? {
            Found::Configured(account) => Some(account.tags.clone()),
            Found::Stored(user) => Some(user.tags.clone()),
        }
    }

    /// The users of the configuration that count, with their tags.
    #[must_use]
    pub fn configured(&self) -> Vec<(ShortStr, Vec<String>)> {
        let names = self.inner.accounts.keys();
        let counting = names.filter_map(|name| match self.inner.find(name)? {
            Found::Configured(account) => Some((name.clone(), account.tags.clone())),
            Found::Stored(_) => None,
        });
        let mut users: Vec<_> = counting.collect();
        users.sort();
        users
    }

    /// Checks a login. Takes no time for a password that was right before.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify(
        &self,
        credentials: Credentials,
        is_loopback: bool,
    ) -> Result<(), LoginRefused> {
        let inner = &self.inner;
        let Credentials { user: name, proof } = credentials;
        let found = inner.find(&name).ok_or(LoginRefused::UnknownUser)?;
        if matches!(&found, Found::Configured(account) if account.loopback_only && !is_loopback) {
            return Err(LoginRefused::NotLoopback);
        }
        let password = match proof {
            // TLS has checked that it is theirs.
            Proof::Certificate => return Ok(()),
            Proof::Password(password) => password,
        };
        let account = match found {
            Found::Configured(account) => account,
            Found::Stored(user) => return inner.verify_stored(name, password, user).await,
        };
        let Some(digest) = digest(&inner.key, &password) else {
            return Err(LoginRefused::WrongPassword);
        };
        match &account.secret {
            Secret::Known(known) if *known == digest => Ok(()),
            Secret::Known(_) => Err(LoginRefused::WrongPassword),
            Secret::Hashed { hash, verified } => {
                if verified_digest(verified).as_ref() == Some(&digest) {
                    return Ok(());
                }
                let hash = PasswordHash::Argon2id(hash.to_string());
                inner.verify_hash(hash, password).await?;
                *verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
                Ok(())
            }
        }
    }
}

impl Inner {
    fn find(&self, name: &ShortStr) -> Option<Found<'_>> {
        let stored = || self.routes.load().users().get(name).cloned();
        match self.accounts.get(name) {
            Some(account) if account.is_default => {
                Some(stored().map_or(Found::Configured(account), Found::Stored))
            }
            Some(account) => Some(Found::Configured(account)),
            None => stored().map(Found::Stored),
        }
    }

    async fn verify_stored(
        &self,
        name: ShortStr,
        password: Bytes,
        user: Arc<StoredUser>,
    ) -> Result<(), LoginRefused> {
        let digest = digest(&self.key, &password).ok_or(LoginRefused::WrongPassword)?;
        let known = |verified: &HashMap<_, (Arc<StoredUser>, Digest)>| {
            let known = verified.get(&name);
            known.is_some_and(|(there, known)| Arc::ptr_eq(there, &user) && *known == digest)
        };
        if known(&self.verified.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        self.verify_hash(user.password.clone(), password).await?;
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= VERIFIED_USERS_MAX {
            verified.clear();
        }
        verified.insert(name.detached(), (user, digest));
        Ok(())
    }

    async fn verify_hash(&self, hash: PasswordHash, password: Bytes) -> Result<(), LoginRefused> {
        let _turn = self.verifications.acquire().await;
        let check = tokio::task::spawn_blocking(move || password::matches(&hash, &password));
        match check.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(LoginRefused::WrongPassword),
        }
    }
}

fn verified_digest(verified: &Mutex<Option<Digest>>) -> Option<Digest> {
    verified.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn digest(key: &[u8; 32], password: &[u8]) -> Option<Digest> {
    // A key of 32 octets is always taken; the type can't say so.
    let mut mac = <Blake2sMac256 as Mac>::new_from_slice(key).ok()?;
    mac.update(password);
    Some(mac.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::{RabbitmqDefaults, hash_password};
    use forebay_engine::access::AccessControl;
    use forebay_engine::topology::Topology;

    fn authenticator(
        configured: &[User],
        stored: &[(&'static str, PasswordHash)],
    ) -> Authenticator {
        let (mut topology, mut access) = (Topology::new(), AccessControl::new());
        for (name, password) in stored {
            let user = StoredUser { password: password.clone(), tags: vec!["t".to_owned()] };
            access.put_user(&ShortStr::from_static(name), user);
        }
        topology.publish_access(&access);
        let routes = Arc::new(ArcSwap::from_pointee(topology.routes().clone()));
        Authenticator::new(configured, routes).unwrap()
    }

    fn login(user: &'static str, password: &'static str) -> Credentials {
        let proof = Proof::Password(Bytes::from(password));
        Credentials { user: ShortStr::from_static(user), proof }
    }

    fn hashed(name: &str, password: &str) -> User {
        let hash = hash_password(password.as_bytes()).unwrap();
        let credential = Credential::from_hash(&hash).unwrap();
        User {
            name: name.to_owned(),
            credential,
            loopback_only: false,
            is_default: false,
            tags: Vec::new(),
            permissions: None,
        }
    }

    #[tokio::test]
    async fn guest_comes_from_this_machine_only() {
        let guest = RabbitmqDefaults::default().default_user();
        let authenticator = authenticator(&[guest], &[]);
        assert_eq!(authenticator.verify(login("guest", "guest"), true).await, Ok(()));
        assert_eq!(
            authenticator.verify(login("guest", "guest"), false).await,
            Err(LoginRefused::NotLoopback)
        );
        assert_eq!(
            authenticator.verify(login("guest", "other"), true).await,
            Err(LoginRefused::WrongPassword)
        );
        assert_eq!(
            authenticator.verify(login("nobody", "guest"), true).await,
            Err(LoginRefused::UnknownUser)
        );
    }

    #[tokio::test]
    async fn a_hashed_password_is_checked_and_then_remembered() {
        let authenticator = authenticator(&[hashed("app", "right")], &[]);
        let wrong = authenticator.verify(login("app", "wrong"), false).await;
        assert_eq!(wrong, Err(LoginRefused::WrongPassword));
        for _ in 0..1_000 {
            assert_eq!(authenticator.verify(login("app", "right"), false).await, Ok(()));
        }
        let wrong = authenticator.verify(login("app", "wrong"), false).await;
        assert_eq!(wrong, Err(LoginRefused::WrongPassword));
    }

    #[tokio::test]
    async fn a_configured_user_replaces_the_default_one_of_the_same_name() {
        let guest = RabbitmqDefaults::default().default_user();
        let authenticator = authenticator(&[guest, hashed("guest", "better")], &[]);
        assert_eq!(authenticator.verify(login("guest", "better"), false).await, Ok(()));
        assert!(authenticator.verify(login("guest", "guest"), true).await.is_err());
    }

    #[tokio::test]
    async fn a_name_that_is_no_utf8_is_unknown() {
        let authenticator = authenticator(&[], &[]);
        let user = ShortStr::try_from(Bytes::from_static(&[0xff])).unwrap();
        let login = Credentials { user, proof: Proof::Password(Bytes::new()) };
        assert_eq!(authenticator.verify(login, true).await, Err(LoginRefused::UnknownUser));
    }

    #[tokio::test]
    async fn a_certificate_needs_a_user_of_its_name() {
        let guest = RabbitmqDefaults::default().default_user();
        let authenticator = authenticator(&[guest, hashed("app", "pw")], &[]);
        let certified = |user: &'static str| Credentials {
            user: ShortStr::from_static(user),
            proof: Proof::Certificate,
        };
        assert_eq!(authenticator.verify(certified("app"), false).await, Ok(()));
        let unknown = authenticator.verify(certified("other"), false).await;
        assert_eq!(unknown, Err(LoginRefused::UnknownUser));
        let guest = authenticator.verify(certified("guest"), false).await;
        assert_eq!(guest, Err(LoginRefused::NotLoopback));
    }

    #[tokio::test]
    async fn users_made_at_run_time_come_before_the_default_one_and_after_configured_ones() {
        let made = PasswordHash::Argon2id(hash_password(b"made").unwrap());
        let stored = [("guest", made.clone()), ("app", made.clone()), ("new", made)];
        let configured = [RabbitmqDefaults::default().default_user(), hashed("app", "file")];
        let authenticator = authenticator(&configured, &stored);
        for _ in 0..2 {
            assert_eq!(authenticator.verify(login("guest", "made"), false).await, Ok(()));
            assert_eq!(authenticator.verify(login("new", "made"), false).await, Ok(()));
            assert_eq!(authenticator.verify(login("app", "file"), false).await, Ok(()));
        }
        for (user, password) in [("guest", "guest"), ("app", "made"), ("new", "x")] {
            let refused = authenticator.verify(login(user, password), true).await;
            assert_eq!(refused, Err(LoginRefused::WrongPassword), "{user}");
        }
        assert_eq!(authenticator.tags(&ShortStr::from_static("new")), Some(vec!["t".to_owned()]));
        assert_eq!(authenticator.configured().len(), 1);
    }
}
