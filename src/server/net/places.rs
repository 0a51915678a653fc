//! Places for peers that owe something: a login, or a request. They are few, for all and for each address,
//! and who has owed for longest makes room for whoever comes. So sockets that are slow on purpose keep
//! nobody out: not a login, and not the question whether the broker is ready.

use crate::limits::PLACES_WARNING_INTERVAL;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How many places there are, and for how long one is kept whoever else comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceLimits {
    /// Of what there is too little, for the log.
    pub purpose: &'static str,
    /// Places at once.
    pub total_max: usize,
    /// Places of one address at once.
    pub per_address_max: usize,
    /// Nobody is asked to leave sooner.
    pub grace: Duration,
}

/// The places of a listener, or of several. Clones are the same.
#[derive(Clone, Debug)]
pub struct Places {
    limits: PlaceLimits,
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    taken: Mutex<Taken>,
    /// Somebody has left.
    left: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    /// By the order in which they came to owe something.
    holders: BTreeMap<u64, Holder>,
    by_address: HashMap<IpAddr, BTreeSet<u64>>,
    next: u64,
    /// Those that had to leave since the log last said so.
    unreported: usize,
    reported_at: Option<Instant>,
}

#[derive(Debug)]
struct Holder {
    /// Nothing: it will be known later.
    address: Option<IpAddr>,
    since: Instant,
    leave: CancellationToken,
}

/// A place of one peer, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    leave: CancellationToken,
    /// Where it stands in the order; nothing while it owes nothing.
    number: Mutex<Option<u64>>,
}

impl Places {
    /// All are free.
    #[must_use]
    pub fn new(limits: PlaceLimits) -> Self {
        Self { limits, inner: Arc::default() }
    }

    /// Takes a place when there is one, or somebody can be asked to leave. Without an address it counts
    /// among all only, until [`Place::set_address`].
    pub async fn enter(&self, address: Option<IpAddr>) -> Place {
        let address = address.map(|address| address.to_canonical());
        loop {
            let left = self.inner.left.notified();
            let wait = match self.try_enter(address) {
                Ok(place) => return place,
                Err(wait) => wait,
            };
            // Whoever is there longest may be asked to leave then; or somebody goes before.
            let _ = timeout(wait, left).await;
        }
    }

    /// A place, or how long it takes until somebody can be asked to leave.
    fn try_enter(&self, address: Option<IpAddr>) -> Result<Place, Duration> {
        let mut taken = self.taken();
        self.make_room(&mut taken, address, self.limits.grace)?;
        let leave = CancellationToken::new();
        let number = taken.insert(address, leave.clone());
        Ok(Place { places: self.clone(), leave, number: Mutex::new(Some(number)) })
    }

    fn make_room(
        &self,
        taken: &mut Taken,
        address: Option<IpAddr>,
        grace: Duration,
    ) -> Result<(), Duration> {
        let of_address = address.and_then(|address| taken.by_address.get(&address));
        let is_full = of_address.is_some_and(|there| there.len() >= self.limits.per_address_max);
        let oldest = if is_full {
            of_address.and_then(|there| there.first().copied())
        } else if taken.holders.len() >= self.limits.total_max {
            taken.holders.keys().next().copied()
        } else {
            None
        };
        let Some((number, holder)) = oldest.and_then(|it| Some((it, taken.holders.get(&it)?)))
        else {
            return Ok(());
        };
        let age = holder.since.elapsed();
        if age < grace {
            return Err(grace - age);
        }
        holder.leave.cancel();
        taken.remove(number);
        taken.unreported += 1;
        let is_due = taken.reported_at.is_none_or(|at| at.elapsed() >= PLACES_WARNING_INTERVAL);
        if is_due {
            let count = std::mem::take(&mut taken.unreported);
            taken.reported_at = Some(Instant::now());
            tracing::warn!(
                "{count} connections dropped: they kept others waiting for {}; at most {} may at once, \
                 {} of one address",
                self.limits.purpose,
                self.limits.total_max,
                self.limits.per_address_max,
            );
        }
        Ok(())
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.inner.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn insert(&mut self, address: Option<IpAddr>, leave: CancellationToken) -> u64 {
        self.next += 1;
        let holder = Holder { address, since: Instant::now(), leave };
        self.holders.insert(self.next, holder);
        if let Some(address) = address {
            self.by_address.entry(address).or_default().insert(self.next);
        }
        self.next
    }

    fn remove(&mut self, number: u64) -> Option<Holder> {
        let holder = self.holders.remove(&number)?;
        if let Some(address) = holder.address {
            let there = self.by_address.get_mut(&address)?;
            there.remove(&number);
            if there.is_empty() {
                self.by_address.remove(&address);
            }
        }
        Some(holder)
    }
}

impl Place {
    /// The peer has another address than its socket's. Whoever of that address has owed for longest may
    /// have to leave.
    pub fn set_address(&self, address: IpAddr) {
        let address = address.to_canonical();
        self.renew(Some(address));
    }

    /// It owes nothing now; false when it was asked to leave before.
    pub fn settle(&self) -> bool {
        if let Some(number) = self.number().take() {
            self.places.taken().remove(number);
            self.places.inner.left.notify_waiters();
        }
        !self.leave.is_cancelled()
    }

    /// It owes something again.
    pub fn owe(&self, address: IpAddr) {
        self.renew(Some(address.to_canonical()));
    }

    /// Waits until it has to leave: perhaps for ever.
    pub async fn left(&self) {
        self.leave.cancelled().await;
    }

    fn renew(&self, address: Option<IpAddr>) {
        let mut number = self.number();
        if self.leave.is_cancelled() {
            return;
        }
        let mut taken = self.places.taken();
        if let Some(number) = number.take() {
            taken.remove(number);
        }
        // It is there already: somebody leaves, however short that one has been there.
        let _ = self.places.make_room(&mut taken, address, Duration::ZERO);
        *number = Some(taken.insert(address, self.leave.clone()));
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn places(total_max: usize, per_address_max: usize) -> Places {
        let grace = Duration::from_secs(1);
        Places::new(PlaceLimits { purpose: "tests", total_max, per_address_max, grace })
    }

    fn address(number: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, number).into()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_owed_for_longest_makes_room() {
        let places = places(3, 2);
        let first = places.enter(Some(address(1))).await;
        tokio::time::advance(Duration::from_millis(500)).await;
        let second = places.enter(Some(address(1))).await;
        let other = places.enter(Some(address(2))).await;
        let begin = Instant::now();
        let third = places.enter(Some(address(1))).await;
        assert!(begin.elapsed() >= Duration::from_millis(500), "the first was there for a second");
        first.left().await;
        assert!(!first.settle() && second.settle());
        // There is room now, and nobody waits or leaves.
        let begin = Instant::now();
        let fourth = places.enter(Some(address(1))).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        // All are taken: whoever is there longest leaves, wherever it is from.
        let _fifth = places.enter(Some(address(3))).await;
        other.left().await;
        assert!(third.settle() && fourth.settle());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_owes_nothing_stays() {
        let places = places(2, 1);
        let settled = places.enter(Some(address(1))).await;
        assert!(settled.settle());
        let begin = Instant::now();
        let waiting = places.enter(Some(address(1))).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        settled.owe(address(1));
        waiting.left().await;
        assert!(settled.settle());
        let taken = places.taken();
        assert!(taken.holders.is_empty() && taken.by_address.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_known_later_counts_from_then_on() {
        let places = places(10, 1);
        let (first, second) = (places.enter(None).await, places.enter(None).await);
        first.set_address(address(1));
        assert!(!first.leave.is_cancelled());
        second.set_address("::ffff:192.0.2.1".parse().unwrap());
        first.left().await;
        drop((first, second));
        assert!(places.taken().holders.is_empty());
    }
}
