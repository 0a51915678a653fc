//! Checks names and passwords.
//!
//! An argon2id check costs some 20 ms of a core on purpose, so it runs on blocking threads, a few
//! at a time, and a password that was right is remembered: as a keyed BLAKE2s digest with a key
//! of this process only, in memory only. Clients that connect again and again cost a digest each.

use crate::limits::PASSWORD_VERIFICATIONS_MAX;
use crate::user::{Credential, User};
use argon2::Argon2;
use argon2::password_hash::{PasswordHashString, PasswordVerifier};
use blake2::Blake2sMac256;
use blake2::digest::{CtOutput, Mac};
use bytes::Bytes;
use forebay_engine::connection::Credentials;
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
    accounts: HashMap<String, Account>,
    verifications: Semaphore,
}

struct Account {
    loopback_only: bool,
    secret: Secret,
}

enum Secret {
    Known(Digest),
    Hashed { hash: PasswordHashString, verified: Mutex<Option<Digest>> },
}

impl Authenticator {
    /// Knows these users; of two with the same name the last one counts.
    ///
    /// # Errors
    /// When the system has no randomness for the digests' key.
    pub fn new(users: &[User]) -> Result<Self, getrandom::Error> {
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
            let account = Account { loopback_only: user.loopback_only, secret };
            accounts.insert(user.name.clone(), account);
        }
        let verifications = Semaphore::new(PASSWORD_VERIFICATIONS_MAX);
        Ok(Self { inner: Arc::new(Inner { key, accounts, verifications }) })
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
        let name = credentials.user.as_str().ok_or(LoginRefused::UnknownUser)?;
        let account = inner.accounts.get(name).ok_or(LoginRefused::UnknownUser)?;
        if account.loopback_only && !is_loopback {
            return Err(LoginRefused::NotLoopback);
        }
        let Some(digest) = digest(&inner.key, &credentials.password) else {
            return Err(LoginRefused::WrongPassword);
        };
        match &account.secret {
            Secret::Known(known) if *known == digest => Ok(()),
            Secret::Known(_) => Err(LoginRefused::WrongPassword),
            Secret::Hashed { hash, verified } => {
                if verified_digest(verified).as_ref() == Some(&digest) {
                    return Ok(());
                }
                inner.verify_hash(hash.clone(), credentials.password).await?;
                *verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
                Ok(())
            }
        }
    }
}

impl Inner {
    async fn verify_hash(
        &self,
        hash: PasswordHashString,
        password: Bytes,
    ) -> Result<(), LoginRefused> {
        let _turn = self.verifications.acquire().await;
        let check = tokio::task::spawn_blocking(move || {
            Argon2::default().verify_password(&password, &hash.password_hash()).is_ok()
        });
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
    use forebay_wire::ShortStr;

    fn login(user: &'static str, password: &'static str) -> Credentials {
        Credentials { user: ShortStr::from_static(user), password: Bytes::from(password) }
    }

    fn hashed(name: &str, password: &str) -> User {
        let hash = hash_password(password.as_bytes()).unwrap();
        let credential = Credential::from_hash(&hash).unwrap();
        User { name: name.to_owned(), credential, loopback_only: false }
    }

    #[tokio::test]
    async fn guest_comes_from_this_machine_only() {
        let guest = RabbitmqDefaults::default().default_user();
        let authenticator = Authenticator::new(&[guest]).unwrap();
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
        let authenticator = Authenticator::new(&[hashed("app", "right")]).unwrap();
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
        let authenticator = Authenticator::new(&[guest, hashed("guest", "better")]).unwrap();
        assert_eq!(authenticator.verify(login("guest", "better"), false).await, Ok(()));
        assert!(authenticator.verify(login("guest", "guest"), true).await.is_err());
    }

    #[tokio::test]
    async fn a_name_that_is_no_utf8_is_unknown() {
        let authenticator = Authenticator::new(&[]).unwrap();
        let user = ShortStr::try_from(Bytes::from_static(&[0xff])).unwrap();
        let login = Credentials { user, password: Bytes::new() };
        assert_eq!(authenticator.verify(login, true).await, Err(LoginRefused::UnknownUser));
    }
}
