//! Logins whose password was checked lately, right or wrong: clients that connect again and again
//! cost a digest each, also those that never learn.
//!
//! In memory only, as a BLAKE2s digest of name and password with a key that only this process
//! knows. Nobody who lacks the key can choose digests, so that comparing them tells nothing.

use crate::limits::REMEMBERED_LOGINS_MAX;
use blake2::Blake2sMac256;
use blake2::digest::Mac;
use forebay_engine::access::User as StoredUser;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Name and password, for whoever has the key.
pub type LoginDigest = [u8; 32];

/// Against which user a password was checked: one that is changed is another one. `None`: there was no
/// user of that name.
pub type Checked = Option<Arc<StoredUser>>;

/// Remembers logins.
#[derive(Debug)]
pub struct LoginMemory {
    key: [u8; 32],
    right: Mutex<HashMap<LoginDigest, Checked>>,
    wrong: Mutex<HashMap<LoginDigest, Checked>>,
}

impl LoginMemory {
    /// Remembers nothing yet.
    ///
    /// # Errors
    /// When the system has no randomness for the key.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self { key, right: Mutex::default(), wrong: Mutex::default() })
    }

    /// The digest of a login; nothing never happens.
    #[must_use]
    pub fn digest(&self, name: &[u8], password: &[u8]) -> Option<LoginDigest> {
        // A key of 32 bytes is always taken; the type can't say so.
        let mut mac = <Blake2sMac256 as Mac>::new_from_slice(&self.key).ok()?;
        // A name has at most 255 bytes; its length keeps it apart from the password.
        mac.update(&[name.len() as u8]);
        mac.update(name);
        mac.update(password);
        Some(mac.finalize().into_bytes().into())
    }

    /// What came of this login last time, when it was checked against the same user.
    #[must_use]
    pub fn recall(&self, digest: &LoginDigest, user: &Checked) -> Option<bool> {
        let knows = |logins: MutexGuard<'_, HashMap<LoginDigest, Checked>>| {
            logins.get(digest).is_some_and(|there| is_same(there, user))
        };
        match (knows(lock(&self.right)), knows(lock(&self.wrong))) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }

    /// Remembers what came of a login. Those that were wrong push nobody out who was right.
    pub fn remember(&self, digest: LoginDigest, user: Checked, is_right: bool) {
        let mut logins = lock(if is_right { &self.right } else { &self.wrong });
        if logins.len() >= REMEMBERED_LOGINS_MAX {
            logins.clear();
        }
        logins.insert(digest, user);
    }
}

fn is_same(left: &Checked, right: &Checked) -> bool {
    match (left, right) {
        (None, None) => true,
        (Some(left), Some(right)) => Arc::ptr_eq(left, right),
        _ => false,
    }
}

fn lock(
    logins: &Mutex<HashMap<LoginDigest, Checked>>,
) -> MutexGuard<'_, HashMap<LoginDigest, Checked>> {
    logins.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_remembered_for_the_user_it_was_checked_against() {
        let memory = LoginMemory::new().unwrap();
        let digest = memory.digest(b"app", b"pw").unwrap();
        assert_ne!(memory.digest(b"ap", b"ppw").unwrap(), digest);
        let (user, changed) = (Some(Arc::default()), Some(Arc::default()));
        memory.remember(digest, user.clone(), true);
        assert_eq!(memory.recall(&digest, &user), Some(true));
        assert_eq!(memory.recall(&digest, &changed), None);
        assert_eq!(memory.recall(&digest, &None), None);
        memory.remember(digest, changed.clone(), false);
        assert_eq!(memory.recall(&digest, &changed), Some(false));
    }

    #[test]
    fn wrong_logins_are_bounded_and_push_out_no_right_one() {
        let memory = LoginMemory::new().unwrap();
        let right = memory.digest(b"app", b"pw").unwrap();
        memory.remember(right, None, true);
        for number in 0..=REMEMBERED_LOGINS_MAX {
            let wrong = memory.digest(b"app", number.to_string().as_bytes()).unwrap();
            memory.remember(wrong, None, false);
        }
        assert_eq!(memory.recall(&right, &None), Some(true));
        assert!(lock(&memory.wrong).len() <= REMEMBERED_LOGINS_MAX);
    }
}
