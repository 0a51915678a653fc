//! Who has logged in on the page. A browser has the token in a cookie that scripts can't read; what
//! changes something needs the session's second secret besides, which other pages can't read.
//!
//! Sessions live in memory: they end with the broker. The table holds digests of tokens, so that the
//! time of a lookup tells nothing of them.

use crate::limits::{SESSION_DURATION_MAX, SESSION_IDLE_MAX, SESSIONS_MAX, SESSIONS_PER_USER_MAX};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Instant;

type TokenDigest = [u8; 32];

/// The sessions. `U` is what is known of a user who logged in.
#[derive(Debug)]
pub struct Sessions<U> {
    by_digest: HashMap<TokenDigest, Session<U>>,
}

/// Somebody who logged in.
#[derive(Clone, Debug)]
pub struct Session<U> {
    /// Who.
    pub user: U,
    /// What the page sends along with whatever changes something.
    pub csrf: String,
    began: Instant,
    used: Instant,
}

/// What a new session gives to the browser.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The secret of its cookie.
    pub token: String,
    /// The secret that the page sends along.
    pub csrf: String,
}

impl<U> Default for Sessions<U> {
    fn default() -> Self {
        Self { by_digest: HashMap::new() }
    }
}

impl<U: Clone> Sessions<U> {
    /// Somebody has logged in. Makes room where there are too many, of the same user first.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn open(
        &mut self,
        user: U,
        now: Instant,
        is_same_user: impl Fn(&U) -> bool,
    ) -> Result<Opened, getrandom::Error> {
        let (token, csrf) = (secret()?, secret()?);
        self.by_digest.retain(|_, session| !session.is_over(now));
        let of_user = |(_, session): &(&TokenDigest, &Session<U>)| is_same_user(&session.user);
        if self.by_digest.iter().filter(of_user).count() >= SESSIONS_PER_USER_MAX {
            self.end_quietest(&is_same_user);
        }
        if self.by_digest.len() >= SESSIONS_MAX {
            self.end_quietest(|_| true);
        }
        let session = Session { user, csrf: csrf.clone(), began: now, used: now };
        self.by_digest.insert(digest(&token), session);
        Ok(Opened { token, csrf })
    }

    /// The session of a token, which is used by this.
    pub fn find(&mut self, token: &str, now: Instant) -> Option<Session<U>> {
        let key = digest(token);
        let session = self.by_digest.get_mut(&key)?;
        if session.is_over(now) {
            self.by_digest.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// Ends the session of a token.
    pub fn end(&mut self, token: &str) -> Option<Session<U>> {
        self.by_digest.remove(&digest(token))
    }

    fn end_quietest(&mut self, is_meant: impl Fn(&U) -> bool) {
        let meant = self.by_digest.iter().filter(|(_, session)| is_meant(&session.user));
        let quietest = meant.min_by_key(|(_, session)| session.used).map(|(key, _)| *key);
        if let Some(key) = quietest {
            self.by_digest.remove(&key);
        }
    }
}

impl<U> Session<U> {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.used) >= SESSION_IDLE_MAX
            || now.duration_since(self.began) >= SESSION_DURATION_MAX
    }
}

/// 256 bits that nobody can guess.
fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let mut text = String::with_capacity(64);
    for byte in bytes {
        // A String takes all that is written.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn open(sessions: &mut Sessions<&'static str>, user: &'static str, now: Instant) -> Opened {
        sessions.open(user, now, |there| *there == user).unwrap()
    }

    #[test]
    fn a_token_finds_its_session_until_that_ends() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let (ops, dev) = (open(&mut sessions, "ops", now), open(&mut sessions, "dev", now));
        assert_eq!((ops.token.len(), ops.csrf.len()), (64, 64));
        assert!(ops.token != dev.token && ops.csrf != dev.csrf && ops.token != ops.csrf);
        let found = sessions.find(&ops.token, now).unwrap();
        assert_eq!((found.user, &found.csrf), ("ops", &ops.csrf));
        assert!(sessions.find(&ops.csrf, now).is_none());
        assert!(sessions.find("", now).is_none());
        assert!(sessions.end(&ops.token).is_some());
        assert!(sessions.find(&ops.token, now).is_none());
        assert!(sessions.find(&dev.token, now).is_some());
    }

    #[test]
    fn a_session_ends_when_it_is_idle_or_old() {
        let (mut sessions, begin) = (Sessions::default(), Instant::now());
        let (idle, used) = (open(&mut sessions, "a", begin), open(&mut sessions, "b", begin));
        let mut now = begin;
        while now + SESSION_IDLE_MAX / 2 < begin + SESSION_DURATION_MAX {
            now += SESSION_IDLE_MAX / 2;
            assert!(sessions.find(&used.token, now).is_some());
        }
        assert!(sessions.find(&idle.token, now).is_none());
        assert!(sessions.find(&used.token, begin + SESSION_DURATION_MAX).is_none());
    }

    #[test]
    fn the_quietest_session_makes_room() {
        let (mut sessions, begin) = (Sessions::default(), Instant::now());
        let other = open(&mut sessions, "other", begin);
        let later = |count: usize| begin + Duration::from_millis(count as u64 + 1);
        let mine: Vec<_> =
            (0..SESSIONS_PER_USER_MAX).map(|n| open(&mut sessions, "me", later(n))).collect();
        let now = later(SESSIONS_PER_USER_MAX);
        assert!(sessions.find(&mine[0].token, now).is_some());
        open(&mut sessions, "me", now);
        assert!(sessions.find(&mine[1].token, now).is_none(), "the one that is quiet for longest");
        assert!(sessions.find(&mine[0].token, now).is_some());
        assert!(sessions.find(&other.token, now).is_some(), "of the same user");
    }
}
