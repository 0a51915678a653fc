//! Where logins come from: how often each address got it right and wrong, and how long one that
//! keeps getting it wrong has to wait before it costs anybody a password check.
//!
//! A check costs some 20 ms of a core. An address that has been wrong a few times lately gets its
//! checks one at a time and ever more slowly, so that guessing from one address takes years and
//! costs the broker next to nothing; who comes from elsewhere, or whose login is remembered, does
//! not notice.

use crate::limits::{
    LOGIN_FAILURE_FORGOTTEN_AFTER, LOGIN_FAILURES_FREE, LOGIN_PAUSE_FIRST, LOGIN_PAUSE_MAX,
    LOGIN_SOURCES_MAX,
};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The addresses that logged in or tried to. The one that was quiet for longest is forgotten when
/// there are too many.
#[derive(Debug, Default)]
pub struct LoginSources {
    sources: Mutex<HashMap<IpAddr, Arc<LoginSource>>>,
}

/// One address, or a network that one customer has.
#[derive(Debug)]
pub struct LoginSource {
    counts: Mutex<Counts>,
    /// Held while one of its logins is checked, once it has been wrong too often.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    accepted: u64,
    refused: u64,
    /// Failures that count still, as of `changed`.
    recent: u32,
    changed: Instant,
}

/// What an address has done, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginCounts {
    /// The address; of IPv6 the network.
    pub address: IpAddr,
    /// Logins that were right.
    pub accepted: u64,
    /// Logins that were not.
    pub refused: u64,
}

impl LoginSources {
    /// The source that an address belongs to.
    pub fn of(&self, address: IpAddr) -> Arc<LoginSource> {
        let mut sources = self.sources();
        let key = network(address);
        if let Some(source) = sources.get(&key) {
            return Arc::clone(source);
        }
        if sources.len() >= LOGIN_SOURCES_MAX {
            forget_quietest(&mut sources);
        }
        let source = Arc::new(LoginSource::new());
        sources.insert(key, Arc::clone(&source));
        source
    }

    /// All that are remembered, by address.
    #[must_use]
    pub fn list(&self) -> Vec<LoginCounts> {
        let sources = self.sources();
        let mut list: Vec<_> = sources
            .iter()
            .map(|(&address, source)| {
                let Counts { accepted, refused, .. } = *source.counts();
                LoginCounts { address, accepted, refused }
            })
            .collect();
        list.sort_by_key(|counts| counts.address);
        list
    }

    /// Counts anew, for people; who has to wait goes on waiting.
    pub fn reset_counts(&self) {
        for source in self.sources().values() {
            let mut counts = source.counts();
            (counts.accepted, counts.refused) = (0, 0);
        }
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<LoginSource>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoginSource {
    fn new() -> Self {
        let counts = Counts { accepted: 0, refused: 0, recent: 0, changed: Instant::now() };
        Self { counts: Mutex::new(counts), turn: tokio::sync::Mutex::new(()) }
    }

    /// A login was right or wrong.
    pub fn record(&self, is_right: bool) {
        let mut counts = self.counts();
        counts.settle();
        if is_right {
            counts.accepted += 1;
        } else {
            counts.refused += 1;
            counts.recent = counts.recent.saturating_add(1);
        }
    }

    /// Whether its logins are checked without a wait.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.pause().is_zero()
    }

    /// Waits for the end of the checks before it, and for the pause that follows them.
    pub async fn wait_its_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        let turn = self.turn.lock().await;
        tokio::time::sleep(self.pause()).await;
        turn
    }

    fn pause(&self) -> Duration {
        let mut counts = self.counts();
        counts.settle();
        match counts.recent.checked_sub(LOGIN_FAILURES_FREE) {
            None | Some(0) => Duration::ZERO,
            Some(excess) => {
                LOGIN_PAUSE_FIRST.saturating_mul(1 << excess.min(16)).min(LOGIN_PAUSE_MAX)
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Forgets what is old enough.
    fn settle(&mut self) {
        let (now, each) = (Instant::now(), LOGIN_FAILURE_FORGOTTEN_AFTER);
        let passed = now.duration_since(self.changed).as_millis() / each.as_millis();
        let forgotten = u32::try_from(passed).unwrap_or(u32::MAX);
        if forgotten >= self.recent {
            (self.recent, self.changed) = (0, now);
        } else {
            self.recent -= forgotten;
            self.changed += each * forgotten;
        }
    }
}

/// An IPv6 customer has at least the last 64 bits to choose from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        v4 => v4,
    }
}

fn forget_quietest(sources: &mut HashMap<IpAddr, Arc<LoginSource>>) {
    let quietest = sources.iter().min_by_key(|(_, source)| source.counts().changed);
    if let Some(address) = quietest.map(|(address, _)| *address) {
        sources.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_with_failures_and_are_forgotten_with_time() {
        let sources = LoginSources::default();
        let source = sources.of(address("192.0.2.1"));
        for _ in 0..LOGIN_FAILURES_FREE {
            assert!(source.is_trusted());
            source.record(false);
        }
        let mut pauses = Vec::new();
        for _ in 0..20 {
            source.record(false);
            pauses.push(source.pause());
        }
        assert!(pauses.is_sorted() && pauses[0] > Duration::ZERO);
        assert_eq!(pauses.last(), Some(&LOGIN_PAUSE_MAX));
        assert!(sources.of(address("192.0.2.2")).is_trusted(), "nobody else waits");

        // A login that is right buys nothing.
        source.record(true);
        assert_eq!(source.pause(), LOGIN_PAUSE_MAX);
        tokio::time::advance(LOGIN_FAILURE_FORGOTTEN_AFTER * 20).await;
        assert!(source.is_trusted());
        let counts = LoginCounts { address: address("192.0.2.1"), accepted: 1, refused: 25 };
        assert_eq!(sources.list()[0], counts);
    }

    #[tokio::test(start_paused = true)]
    async fn the_quietest_address_is_forgotten_when_there_are_too_many() {
        let sources = LoginSources::default();
        let numbered = |number: usize| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        for number in 0..LOGIN_SOURCES_MAX {
            sources.of(numbered(number));
            if number == 0 {
                tokio::time::advance(Duration::from_millis(1)).await;
            }
        }
        sources.of(numbered(LOGIN_SOURCES_MAX));
        let list = sources.list();
        assert_eq!((list.len(), list[0].address), (LOGIN_SOURCES_MAX, numbered(1)));
    }

    #[test]
    fn ipv4_written_as_ipv6_is_ipv4_and_an_ipv6_network_is_one_source() {
        assert_eq!(network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::ffff:2")));
        assert_ne!(network(address("2001:db8::1")), network(address("2001:db8:0:1::1")));
    }
}
