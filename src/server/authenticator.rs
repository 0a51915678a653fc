//! Checks names and passwords.
//!
//! An argon2id check costs some 20 ms of a core on purpose, so it runs on blocking threads, few at a
//! time, slowly for addresses that fail ([`LoginSources`]), and what came of it is remembered
//! ([`LoginMemory`]). A client that is refused learns nothing from the text, and nothing from the
//! time: a name that nobody has is checked against a hash like any other, and no refusal is told
//! before [`LOGIN_REFUSAL_DURATION_MIN`] has passed.

use crate::limits::{LOGIN_REFUSAL_DURATION_MIN, PASSWORD_VERIFICATIONS_MAX};
use crate::login_memory::{Checked, LoginDigest, LoginMemory};
use crate::login_sources::{LoginCounts, LoginSource, LoginSources};
use crate::password;
use crate::user::{Credential, User};
use arc_swap::ArcSwap;
use bytes::Bytes;
use forebay_engine::access::{PasswordHash, User as StoredUser};
use forebay_engine::connection::{Credentials, Peer, Proof};
use forebay_engine::topology::Routes;
use forebay_wire::ShortStr;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

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
    /// Users of the configuration.
    accounts: HashMap<ShortStr, Account>,
    /// Where the users stand that an operator made.
    routes: Arc<ArcSwap<Routes>>,
    memory: LoginMemory,
    sources: LoginSources,
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
    /// In clear text in the environment: only its digest is kept.
    Known(LoginDigest),
    Hashed(PasswordHash),
}

impl Authenticator {
    /// Knows these users, of two with the same name the last one, and those in `routes`. Users of
    /// the configuration go before those, the default user behind them.
    ///
    /// # Errors
    /// When the system has no randomness for the digests' key.
    pub fn new(users: &[User], routes: Arc<ArcSwap<Routes>>) -> Result<Self, getrandom::Error> {
        let memory = LoginMemory::new()?;
        let mut accounts = HashMap::new();
        for user in users {
            let secret = match &user.credential {
                Credential::Password(password) => {
                    let digest = memory.digest(user.name.as_bytes(), password.as_bytes());
                    let Some(digest) = digest else { continue };
                    Secret::Known(digest)
                }
                Credential::Hash(hash) => Secret::Hashed(PasswordHash::Argon2id(hash.to_string())),
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
        let sources = LoginSources::default();
        let inner = Inner { accounts, routes, memory, sources, verifications };
        Ok(Self { inner: Arc::new(inner) })
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

    /// Logins by address.
    #[must_use]
    pub fn attempts(&self) -> Vec<LoginCounts> {
        self.inner.sources.list()
    }

    /// Checks a login. Takes no time for a password that was right before, and at least
    /// [`LOGIN_REFUSAL_DURATION_MIN`] when it is refused.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify(&self, credentials: Credentials, peer: &Peer) -> Result<(), LoginRefused> {
        let begin = Instant::now();
        let source = self.inner.sources.of(peer.address.ip());
        let verdict = self.inner.check(credentials, peer, &source).await;
        if verdict.is_err() {
            sleep_until(begin + LOGIN_REFUSAL_DURATION_MIN).await;
        }
        verdict
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

    async fn check(
        &self,
        Credentials { user: name, proof }: Credentials,
        peer: &Peer,
        source: &LoginSource,
    ) -> Result<(), LoginRefused> {
        let found = self.find(&name);
        let refused = match &found {
            None => Some(LoginRefused::UnknownUser),
            Some(Found::Configured(account)) if account.loopback_only && !peer.is_loopback() => {
                Some(LoginRefused::NotLoopback)
            }
            Some(_) => None,
        };
        let is_right = match proof {
            // TLS has checked that it is theirs.
            Proof::Certificate => {
                source.record(refused.is_none());
                true
            }
            Proof::Password(password) => {
                // Those who can't get in anyway cost the same.
                let found = found.filter(|_| refused.is_none());
                self.is_password(&name, password, found, source).await
            }
        };
        match refused {
            Some(refused) => Err(refused),
            None if is_right => Ok(()),
            None => Err(LoginRefused::WrongPassword),
        }
    }

    async fn is_password(
        &self,
        name: &ShortStr,
        password: Bytes,
        found: Option<Found<'_>>,
        source: &LoginSource,
    ) -> bool {
        let Some(digest) = self.memory.digest(name.as_bytes(), &password) else { return false };
        let (user, hash) = match found {
            Some(Found::Stored(user)) => {
                let hash = user.password.clone();
                (Some(user), hash)
            }
            Some(Found::Configured(Account { secret: Secret::Known(known), .. })) => {
                if *known == digest {
                    source.record(true);
                    return true;
                }
                (None, PasswordHash::Disabled)
            }
            Some(Found::Configured(Account { secret: Secret::Hashed(hash), .. })) => {
                (None, hash.clone())
            }
            None => (None, PasswordHash::Disabled),
        };
        let is_right = match self.memory.recall(&digest, &user) {
            Some(recalled) => recalled,
            None => self.verify_in_turn(digest, &user, hash, password, source).await,
        };
        source.record(is_right);
        is_right
    }

    /// Checks a password when it is this address's turn, and remembers what came of it.
    async fn verify_in_turn(
        &self,
        digest: LoginDigest,
        user: &Checked,
        hash: PasswordHash,
        password: Bytes,
        source: &LoginSource,
    ) -> bool {
        let mut permit = self.verifications.acquire().await;
        let mut _turn = None;
        // Others of this address may have failed while it waited.
        if !source.is_trusted() {
            drop(permit);
            _turn = Some(source.wait_its_turn().await);
            permit = self.verifications.acquire().await;
        }
        // The same login may have been checked meanwhile: many clients come with one.
        if let Some(recalled) = self.memory.recall(&digest, user) {
            return recalled;
        }
        let check = tokio::task::spawn_blocking(move || password::matches(&hash, &password));
        let is_right = check.await.unwrap_or(false);
        self.memory.remember(digest, user.clone(), is_right);
        drop(permit);
        is_right
    }
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

    fn here() -> Peer {
        Peer::at("127.0.0.1:50000".parse().unwrap())
    }

    fn elsewhere() -> Peer {
        Peer::at("192.0.2.1:50000".parse().unwrap())
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

    #[tokio::test(start_paused = true)]
    async fn guest_comes_from_this_machine_only() {
        let guest = RabbitmqDefaults::default().default_user();
        let authenticator = authenticator(&[guest], &[]);
        assert_eq!(authenticator.verify(login("guest", "guest"), &here()).await, Ok(()));
        assert_eq!(
            authenticator.verify(login("guest", "guest"), &elsewhere()).await,
            Err(LoginRefused::NotLoopback)
        );
        assert_eq!(
            authenticator.verify(login("guest", "other"), &here()).await,
            Err(LoginRefused::WrongPassword)
        );
        assert_eq!(
            authenticator.verify(login("nobody", "guest"), &here()).await,
            Err(LoginRefused::UnknownUser)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_hashed_password_is_checked_and_then_remembered() {
        let authenticator = authenticator(&[hashed("app", "right")], &[]);
        let wrong = authenticator.verify(login("app", "wrong"), &elsewhere()).await;
        assert_eq!(wrong, Err(LoginRefused::WrongPassword));
        for _ in 0..1_000 {
            assert_eq!(authenticator.verify(login("app", "right"), &elsewhere()).await, Ok(()));
        }
        let wrong = authenticator.verify(login("app", "wrong"), &elsewhere()).await;
        assert_eq!(wrong, Err(LoginRefused::WrongPassword));
    }

    #[tokio::test(start_paused = true)]
    async fn a_configured_user_replaces_the_default_one_of_the_same_name() {
        let guest = RabbitmqDefaults::default().default_user();
        let authenticator = authenticator(&[guest, hashed("guest", "better")], &[]);
        assert_eq!(authenticator.verify(login("guest", "better"), &elsewhere()).await, Ok(()));
        assert!(authenticator.verify(login("guest", "guest"), &here()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_no_utf8_is_unknown() {
        let authenticator = authenticator(&[], &[]);
        let user = ShortStr::try_from(Bytes::from_static(&[0xff])).unwrap();
        let login = Credentials { user, proof: Proof::Password(Bytes::new()) };
        assert_eq!(authenticator.verify(login, &here()).await, Err(LoginRefused::UnknownUser));
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_needs_a_user_of_its_name() {
        let guest = RabbitmqDefaults::default().default_user();
        let authenticator = authenticator(&[guest, hashed("app", "pw")], &[]);
        let certified = |user: &'static str| Credentials {
            user: ShortStr::from_static(user),
            proof: Proof::Certificate,
        };
        assert_eq!(authenticator.verify(certified("app"), &elsewhere()).await, Ok(()));
        let unknown = authenticator.verify(certified("other"), &elsewhere()).await;
        assert_eq!(unknown, Err(LoginRefused::UnknownUser));
        let guest = authenticator.verify(certified("guest"), &elsewhere()).await;
        assert_eq!(guest, Err(LoginRefused::NotLoopback));
    }

    #[tokio::test(start_paused = true)]
    async fn users_made_at_run_time_come_before_the_default_one_and_after_configured_ones() {
        let made = PasswordHash::Argon2id(hash_password(b"made").unwrap());
        let stored = [("guest", made.clone()), ("app", made.clone()), ("new", made)];
        let configured = [RabbitmqDefaults::default().default_user(), hashed("app", "file")];
        let authenticator = authenticator(&configured, &stored);
        for _ in 0..2 {
            assert_eq!(authenticator.verify(login("guest", "made"), &elsewhere()).await, Ok(()));
            assert_eq!(authenticator.verify(login("new", "made"), &elsewhere()).await, Ok(()));
            assert_eq!(authenticator.verify(login("app", "file"), &elsewhere()).await, Ok(()));
        }
        for (user, password) in [("guest", "guest"), ("app", "made"), ("new", "x")] {
            let refused = authenticator.verify(login(user, password), &here()).await;
            assert_eq!(refused, Err(LoginRefused::WrongPassword), "{user}");
        }
        assert_eq!(authenticator.tags(&ShortStr::from_static("new")), Some(vec!["t".to_owned()]));
        assert_eq!(authenticator.configured().len(), 1);
    }
}
