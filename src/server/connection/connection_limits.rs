//! How many connections and channels there are by virtual host, by user and by address, and whether
//! operators let there be one more.

use forebay_engine::access::{Limit, Limits};
use forebay_engine::model::Fault;
use forebay_wire::{ReplyCode, ShortStr};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counts. Clones are the same.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Connections of one address at once.
    per_address_max: Arc<AtomicUsize>,
    /// Connections that are open in virtual hosts at once.
    total_max: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    addresses: HashMap<IpAddr, usize>,
    vhosts: HashMap<ShortStr, usize>,
    users: HashMap<ShortStr, usize>,
    open: usize,
    channels: HashMap<ShortStr, usize>,
}

/// A connection counted by its address, until it is dropped.
#[derive(Debug)]
pub struct AddressPermit {
    connection_limits: ConnectionLimits,
    address: IpAddr,
}

/// A connection counted by its virtual host and user, and its channels by its user, until it is
/// dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    connection_limits: ConnectionLimits,
    vhost: ShortStr,
    user: ShortStr,
    channels: usize,
}

impl ConnectionLimits {
    /// Nobody is there yet. No address may have more connections than this (nothing: any number), and no
    /// more may be open in virtual hosts than `total_max`.
    #[must_use]
    pub fn new(per_address_max: Option<usize>, total_max: usize) -> Self {
        let per_address_max = Arc::new(AtomicUsize::new(per_address_max.unwrap_or(usize::MAX)));
        Self { per_address_max, total_max, counts: Arc::default() }
    }

    /// No address may have more connections than this from now on; those that are there stay.
    pub fn set_per_address_max(&self, per_address_max: Option<usize>) {
        self.per_address_max.store(per_address_max.unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// A connection from this address; nothing when it has as many as it may.
    #[must_use]
    pub fn connect(&self, address: IpAddr) -> Option<AddressPermit> {
        let address = address.to_canonical();
        let mut counts = self.counts();
        let there = counts.addresses.get(&address).copied().unwrap_or(0);
        if there >= self.per_address_max.load(Ordering::Relaxed) {
            return None;
        }
        counts.addresses.insert(address, there + 1);
        Some(AddressPermit { connection_limits: self.clone(), address })
    }

    /// A connection of this user that opens in this virtual host.
    ///
    /// # Errors
    /// 530 when a limit of either is reached.
    pub fn enter(
        &self,
        vhost: &ShortStr,
        user: &ShortStr,
        limits: &Limits,
    ) -> Result<ConnectionPermit, Fault> {
        let mut counts = self.counts();
        let reached =
            |limit, owner, there| limits.get(limit, owner).filter(|most| there as u64 >= *most);
        if counts.open >= self.total_max {
            let text = format!(
                "connection refused: node connection limit ({}) is reached",
                self.total_max
            );
            return Err(Fault::connection(ReplyCode::NotAllowed, text));
        }
        let there = counts.users.get(user).copied().unwrap_or(0);
        if let Some(most) = reached(Limit::UserConnections, user, there) {
            let text = format!(
                "connection refused for user '{user}': user connection limit ({most}) is reached"
            );
            return Err(Fault::connection(ReplyCode::NotAllowed, text));
        }
        let there = counts.vhosts.get(vhost).copied().unwrap_or(0);
        if let Some(most) = reached(Limit::VhostConnections, vhost, there) {
            let text = format!(
                "access to vhost '{vhost}' refused for user '{user}': connection limit ({most}) is \
                 reached"
            );
            return Err(Fault::connection(ReplyCode::NotAllowed, text));
        }
        counts.open += 1;
        *counts.users.entry(user.clone()).or_default() += 1;
        *counts.vhosts.entry(vhost.clone()).or_default() += 1;
        Ok(ConnectionPermit {
            connection_limits: self.clone(),
            vhost: vhost.clone(),
            user: user.clone(),
            channels: 0,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPermit {
    /// The connection has so many channels now.
    ///
    /// # Errors
    /// 530 when there are more than before and the user's limit is exceeded.
    pub fn set_channels(
        &mut self,
        channels: usize,
        limits: impl FnOnce() -> Option<u64>,
    ) -> Result<(), Fault> {
        if channels == self.channels {
            return Ok(());
        }
        let mut counts = self.connection_limits.counts();
        let all = counts.channels.get(&self.user).copied().unwrap_or(0) - self.channels + channels;
        set(&mut counts.channels, &self.user, all);
        let grew = channels > self.channels;
        self.channels = channels;
        match limits() {
            Some(most) if grew && all as u64 > most => {
                let text = format!(
                    "number of channels opened for user '{}' has reached the maximum allowed user \
                     limit of ({most})",
                    self.user
                );
                Err(Fault::connection(ReplyCode::NotAllowed, text))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        lower(&mut self.connection_limits.counts().addresses, &self.address, 1);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.connection_limits.counts();
        counts.open = counts.open.saturating_sub(1);
        lower(&mut counts.vhosts, &self.vhost, 1);
        lower(&mut counts.users, &self.user, 1);
        lower(&mut counts.channels, &self.user, self.channels);
    }
}

fn lower<K: Clone + Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K, by: usize) {
    let there = counts.get(key).copied().unwrap_or(0);
    set(counts, key, there.saturating_sub(by));
}

fn set<K: Clone + Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K, count: usize) {
    match count {
        0 => drop(counts.remove(key)),
        count => drop(counts.insert(key.clone(), count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_engine::access::AccessControl;

    fn limits(limit: Limit, owner: &'static str, most: u64) -> Limits {
        let mut access = AccessControl::new();
        access.set_limit(limit, &ShortStr::from_static(owner), Some(most));
        access.snapshot().limits().clone()
    }

    #[test]
    fn a_place_is_counted_until_it_is_dropped() {
        let connection_limits = ConnectionLimits::new(None, 10);
        let (shop, app) = (ShortStr::from_static("shop"), ShortStr::from_static("app"));
        for limits in
            [limits(Limit::VhostConnections, "shop", 2), limits(Limit::UserConnections, "app", 2)]
        {
            let first = connection_limits.enter(&shop, &app, &limits).unwrap();
            let _second = connection_limits.enter(&shop, &app, &limits).unwrap();
            let fault = connection_limits.enter(&shop, &app, &limits).unwrap_err();
            assert!(fault.text.contains("limit (2) is reached"), "{fault}");
            drop(first);
            drop(connection_limits.enter(&shop, &app, &limits).unwrap());
        }
        let counts = connection_limits.counts();
        assert!(counts.vhosts.is_empty() && counts.users.is_empty());
    }

    #[test]
    fn no_more_are_open_than_the_node_has_room_for() {
        let connection_limits = ConnectionLimits::new(None, 1);
        let (shop, app) = (ShortStr::from_static("shop"), ShortStr::from_static("app"));
        let first = connection_limits.enter(&shop, &app, &Limits::default()).unwrap();
        let fault = connection_limits.enter(&shop, &app, &Limits::default()).unwrap_err();
        assert!(fault.text.contains("node connection limit (1)"), "{fault}");
        drop(first);
        connection_limits.enter(&shop, &app, &Limits::default()).unwrap();
    }

    #[test]
    fn channels_count_over_all_connections_of_a_user() {
        let connection_limits = ConnectionLimits::new(None, 10);
        let (shop, app) = (ShortStr::from_static("shop"), ShortStr::from_static("app"));
        let enter = || connection_limits.enter(&shop, &app, &Limits::default()).unwrap();
        let (mut first, mut second) = (enter(), enter());
        assert_eq!(first.set_channels(2, || Some(3)), Ok(()));
        assert_eq!(second.set_channels(1, || Some(3)), Ok(()));
        let fault = second.set_channels(2, || Some(3)).unwrap_err();
        assert!(fault.text.contains("user limit of (3)"), "{fault}");
        drop(second);
        assert_eq!(first.set_channels(3, || Some(3)), Ok(()));
        drop(first);
        assert!(connection_limits.counts().channels.is_empty());
    }

    #[test]
    fn an_address_has_so_many_connections() {
        let connection_limits = ConnectionLimits::new(Some(1), 10);
        let (here, there) = ("127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap());
        let place = connection_limits.connect(here).unwrap();
        assert!(connection_limits.connect("::ffff:127.0.0.1".parse().unwrap()).is_none());
        assert!(connection_limits.connect(there).is_some());
        drop(place);
        assert!(connection_limits.connect(here).is_some());
        assert!(connection_limits.counts().addresses.is_empty());
    }
}
