//! Checks names and passwords.
//!
//! An argon2id check costs some 20 ms of a core on purpose, so it runs on blocking threads, few at a
//! time, slowly for addresses that fail ([`LoginSources`]), and what came of it is remembered
//! ([`LoginMemory`]). A client that is refused learns nothing from the text, and nothing from the
//! time: a name that nobody has is checked against a hash like any other, and no refusal is told
//! before [`LOGIN_REFUSAL_DURATION_MIN`] has passed.

use crate::auth::login_memory::{LoginDigest, LoginMemory};
use crate::auth::login_sources::{LoginCounts, LoginSource, LoginSources};
use crate::auth::password;
use crate::auth::user::User;
use crate::limits::{LOGIN_REFUSAL_DURATION_MIN, PASSWORD_VERIFICATIONS_MAX};
use arc_swap::ArcSwap;
use bytes::Bytes;
use forebay_engine::BrokerSnapshot;
use forebay_engine::access::{PasswordHash, User as StoredUser};
use forebay_engine::connection::{Credentials, Peer, Proof};
use forebay_wire::ShortStr;
use std::collections::{BTreeMap, BTreeSet};
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
        "loopback_users lets this user log in from this machine only; make another user for \
         clients elsewhere"
    )]
    NotLoopback,
}

struct Inner {
    configured: ArcSwap<Configured>,
    /// Where the stored users are.
    snapshot: Arc<ArcSwap<BrokerSnapshot>>,
    memory: LoginMemory,
    sources: LoginSources,
    verifications: Semaphore,
}

/// What the configuration says of users.
#[derive(Default)]
struct Configured {
    users: BTreeMap<ShortStr, Arc<StoredUser>>,
    /// Those who may come from this machine only, wherever they are defined.
    loopback_only: BTreeSet<ShortStr>,
}

impl Authenticator {
    /// Knows these users of the configuration, of two with the same name the last one, and those in
    /// `snapshot`, which stand behind them. The names in `loopback_only` may log in from this machine
    /// only.
    ///
    /// # Errors
    /// When the system has no randomness for the digests' key.
    pub fn new(
        users: &[User],
        loopback_only: &[ShortStr],
        snapshot: Arc<ArcSwap<BrokerSnapshot>>,
    ) -> Result<Self, getrandom::Error> {
        let inner = Inner {
            configured: ArcSwap::default(),
            snapshot,
            memory: LoginMemory::new()?,
            sources: LoginSources::default(),
            verifications: Semaphore::new(PASSWORD_VERIFICATIONS_MAX),
        };
        let authenticator = Self { inner: Arc::new(inner) };
        authenticator.configure(users, loopback_only);
        Ok(authenticator)
    }

    /// The configuration was read again: these are its users now. Logins that were remembered stay
    /// so for users that are as they were.
    pub fn configure(&self, users: &[User], loopback_only: &[ShortStr]) {
        let before = self.inner.configured.load();
        let keep = |user: &User| match before.users.get(&user.name) {
            Some(there) if **there == user.account => Arc::clone(there),
            _ => Arc::new(user.account.clone()),
        };
        let users = users.iter().map(|user| (user.name.clone(), keep(user))).collect();
        let loopback_only = loopback_only.iter().cloned().collect();
        self.inner.configured.store(Arc::new(Configured { users, loopback_only }));
    }

    /// The tags of a user; nothing when there is none of this name.
    #[must_use]
    pub fn tags(&self, name: &ShortStr) -> Option<Vec<String>> {
        Some(self.inner.find(name)?.tags.clone())
    }

    /// What is known of a user; nothing when there is none of this name.
    #[must_use]
    pub fn account(&self, name: &ShortStr) -> Option<Arc<StoredUser>> {
        self.inner.find(name)
    }

    /// Whether the configuration names this user.
    #[must_use]
    pub fn is_configured(&self, name: &ShortStr) -> bool {
        self.inner.configured.load().users.contains_key(name)
    }

    /// The users of the configuration, with their tags.
    #[must_use]
    pub fn configured(&self) -> Vec<(ShortStr, Vec<String>)> {
        let configured = self.inner.configured.load();
        configured.users.iter().map(|(name, user)| (name.clone(), user.tags.clone())).collect()
    }

    /// Logins by address.
    #[must_use]
    pub fn attempts(&self) -> Vec<LoginCounts> {
        self.inner.sources.list()
    }

    /// Counts logins by address anew.
    pub fn reset_attempts(&self) {
        self.inner.sources.reset_counts();
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
    /// A user of the configuration, or else the stored one.
    fn find(&self, name: &ShortStr) -> Option<Arc<StoredUser>> {
        let configured = self.configured.load().users.get(name).cloned();
        configured.or_else(|| self.snapshot.load().access.users().get(name).cloned())
    }

    async fn check(
        &self,
        Credentials { user: name, proof }: Credentials,
        peer: &Peer,
        source: &LoginSource,
    ) -> Result<(), LoginRefused> {
        let found = self.find(&name);
        let is_bound = || self.configured.load().loopback_only.contains(&name);
        let refused = match &found {
            None => Some(LoginRefused::UnknownUser),
            Some(_) if !peer.is_loopback() && is_bound() => Some(LoginRefused::NotLoopback),
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
        user: Option<Arc<StoredUser>>,
        source: &LoginSource,
    ) -> bool {
        let Some(digest) = self.memory.digest(name.as_bytes(), &password) else { return false };
        let is_right = match self.memory.recall(&digest, &user) {
            Some(recalled) => recalled,
            None => self.verify_in_turn(digest, &user, password, source).await,
        };
        source.record(is_right);
        is_right
    }

    /// Checks a password when it is this address's turn, and remembers what came of it.
    async fn verify_in_turn(
        &self,
        digest: LoginDigest,
        user: &Option<Arc<StoredUser>>,
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
        let hash = user.as_ref().map_or(PasswordHash::Disabled, |user| user.password.clone());
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
    use crate::auth::user::hash_password;
    use forebay_engine::access::AccessControl;

    const GUEST: ShortStr = ShortStr::from_static("guest");

    fn argon2id(password: &str) -> PasswordHash {
        PasswordHash::Argon2id(hash_password(password.as_bytes()).unwrap())
    }

    /// `guest` may come from this machine only.
    fn authenticator(
        configured: &[User],
        stored: &[(&'static str, PasswordHash)],
    ) -> Authenticator {
        let mut access = AccessControl::new();
        for (name, password) in stored {
            let user = StoredUser { password: password.clone(), tags: vec!["t".to_owned()] };
            access.put_user(&ShortStr::from_static(name), user);
        }
        let access = access.snapshot().clone();
        let snapshot = BrokerSnapshot { access, ..BrokerSnapshot::default() };
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        Authenticator::new(configured, &[GUEST], snapshot).unwrap()
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

    fn hashed(name: &'static str, password: &str) -> User {
        let account = StoredUser { password: argon2id(password), tags: Vec::new() };
        User { name: ShortStr::from_static(name), account, permissions: None }
    }

    #[tokio::test(start_paused = true)]
    async fn guest_comes_from_this_machine_only_wherever_it_is_defined() {
        for authenticator in [
            authenticator(&[], &[("guest", argon2id("pw"))]),
            authenticator(&[hashed("guest", "pw")], &[]),
        ] {
            for _ in 0..2 {
                assert_eq!(authenticator.verify(login("guest", "pw"), &here()).await, Ok(()));
                let refused = authenticator.verify(login("guest", "pw"), &elsewhere()).await;
                assert_eq!(refused, Err(LoginRefused::NotLoopback));
            }
            let refused = authenticator.verify(login("guest", "guest"), &here()).await;
            assert_eq!(refused, Err(LoginRefused::WrongPassword));
            let refused = authenticator.verify(login("nobody", "pw"), &here()).await;
            assert_eq!(refused, Err(LoginRefused::UnknownUser));
        }
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
    async fn a_configuration_that_is_read_again_counts_at_once() {
        let (app, other) = (hashed("app", "old"), hashed("other", "pw"));
        let authenticator = authenticator(&[app, other.clone()], &[]);
        for (user, password) in [("app", "old"), ("other", "pw")] {
            assert_eq!(authenticator.verify(login(user, password), &elsewhere()).await, Ok(()));
        }
        let names = [ShortStr::from_static("other")];
        authenticator.configure(&[hashed("app", "new"), other], &names);
        let refused = authenticator.verify(login("app", "old"), &elsewhere()).await;
        assert_eq!(refused, Err(LoginRefused::WrongPassword));
        assert_eq!(authenticator.verify(login("app", "new"), &elsewhere()).await, Ok(()));
        let refused = authenticator.verify(login("other", "pw"), &elsewhere()).await;
        assert_eq!(refused, Err(LoginRefused::NotLoopback));
        authenticator.configure(&[], &[]);
        let refused = authenticator.verify(login("app", "new"), &elsewhere()).await;
        assert_eq!(refused, Err(LoginRefused::UnknownUser));
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
        let authenticator = authenticator(&[hashed("app", "pw")], &[("guest", argon2id("guest"))]);
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
    async fn users_of_the_configuration_come_before_stored_ones() {
        let stored = [("app", argon2id("made")), ("new", argon2id("made"))];
        let authenticator = authenticator(&[hashed("app", "file")], &stored);
        for _ in 0..2 {
            assert_eq!(authenticator.verify(login("new", "made"), &elsewhere()).await, Ok(()));
            assert_eq!(authenticator.verify(login("app", "file"), &elsewhere()).await, Ok(()));
        }
        for (user, password) in [("app", "made"), ("new", "x")] {
            let refused = authenticator.verify(login(user, password), &here()).await;
            assert_eq!(refused, Err(LoginRefused::WrongPassword), "{user}");
        }
        let (app, new) = (ShortStr::from_static("app"), ShortStr::from_static("new"));
        assert_eq!(authenticator.tags(&new), Some(vec!["t".to_owned()]));
        assert!(authenticator.is_configured(&app) && !authenticator.is_configured(&new));
        assert_eq!(authenticator.configured(), [(app, Vec::new())]);
    }
}
