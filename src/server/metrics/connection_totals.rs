//! What all connections did together. Each of them adds its part once a turn; nothing is looked
//! up by name, and what did not happen costs nothing.

use super::catalogue;
use super::exposition::Page;
use forebay_engine::connection::{Connection, Traffic};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Sums over all connections, since the start or, of what is open, now.
#[derive(Debug, Default)]
pub struct ConnectionTotals {
    logins_accepted: AtomicU64,
    logins_refused: AtomicU64,
    published: AtomicU64,
    confirmed: AtomicU64,
    channels: AtomicUsize,
    publishers: AtomicUsize,
    received: AtomicU64,
    received_confirm: AtomicU64,
    returned: AtomicU64,
    dropped: AtomicU64,
    channels_opened: AtomicU64,
    sizes: [AtomicU64; Traffic::SIZE_BUCKETS],
    bytes: AtomicU64,
}

/// The sums at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) logins_accepted: u64,
    pub(crate) logins_refused: u64,
    pub(super) published: u64,
    pub(super) confirmed: u64,
    pub(super) channels: usize,
    pub(super) publishers: usize,
    /// Without `confirmed_at_once`, which is part of `confirmed`.
    pub(super) traffic: Traffic,
}

/// What one connection has open; taken out of the sums when dropped.
#[derive(Debug)]
pub struct OpenShare {
    totals: Arc<ConnectionTotals>,
    channels: usize,
    publishers: usize,
}

impl ConnectionTotals {
    /// Somebody was let in, or not.
    pub fn count_login(&self, is_accepted: bool) {
        add(if is_accepted { &self.logins_accepted } else { &self.logins_refused }, 1);
    }

    /// So many messages were routed to at least one queue.
    pub fn count_published(&self, messages: usize) {
        add(&self.published, messages as u64);
    }

    /// So many messages were confirmed by the queues that hold them.
    pub fn count_confirmed(&self, messages: u64) {
        add(&self.confirmed, messages);
    }

    fn count_traffic(&self, traffic: &Traffic) {
        add(&self.confirmed, traffic.confirmed_at_once);
        add(&self.received, traffic.received);
        add(&self.received_confirm, traffic.received_confirm);
        add(&self.returned, traffic.returned);
        add(&self.dropped, traffic.dropped);
        add(&self.channels_opened, traffic.channels_opened);
        add(&self.bytes, traffic.bytes);
        self.sizes.iter().zip(traffic.sizes).for_each(|(total, more)| add(total, more));
    }

    /// The sums by now.
    pub(crate) fn load(&self) -> Totals {
        let load = |total: &AtomicU64| total.load(Ordering::Relaxed);
        Totals {
            logins_accepted: load(&self.logins_accepted),
            logins_refused: load(&self.logins_refused),
            published: load(&self.published),
            confirmed: load(&self.confirmed),
            channels: self.channels.load(Ordering::Relaxed),
            publishers: self.publishers.load(Ordering::Relaxed),
            traffic: Traffic {
                received: load(&self.received),
                received_confirm: load(&self.received_confirm),
                confirmed_at_once: 0,
                returned: load(&self.returned),
                dropped: load(&self.dropped),
                channels_opened: load(&self.channels_opened),
                sizes: std::array::from_fn(|bucket| self.sizes.get(bucket).map_or(0, load)),
                bytes: load(&self.bytes),
            },
        }
    }
}

fn add(total: &AtomicU64, more: u64) {
    if more > 0 {
        total.fetch_add(more, Ordering::Relaxed);
    }
}

impl OpenShare {
    /// Nothing is open yet.
    #[must_use]
    pub fn new(totals: Arc<ConnectionTotals>) -> Self {
        Self { totals, channels: 0, publishers: 0 }
    }

    /// Takes over what the connection did since the last call, and what it has open.
    pub fn update(&mut self, connection: &mut Connection) {
        let traffic = connection.poll_traffic();
        if traffic != Traffic::default() {
            self.totals.count_traffic(&traffic);
        }
        self.set(connection.count_channels(), connection.count_publishers());
    }

    fn set(&mut self, channels: usize, publishers: usize) {
        change(&self.totals.channels, &mut self.channels, channels);
        change(&self.totals.publishers, &mut self.publishers, publishers);
    }
}

fn change(total: &AtomicUsize, share: &mut usize, now: usize) {
    if *share != now {
        // Wraps on the way, never in the end: a share is part of the total.
        total.fetch_add(now.wrapping_sub(*share), Ordering::Relaxed);
        *share = now;
    }
}

impl Drop for OpenShare {
    fn drop(&mut self) {
        self.set(0, 0);
    }
}

/// Adds the families.
pub(super) fn write(page: &mut Page, totals: &Totals) {
    let Totals { traffic, .. } = totals;
    let families = [
        (&catalogue::LOGINS_ACCEPTED, totals.logins_accepted),
        (&catalogue::LOGINS_REFUSED, totals.logins_refused),
        (&catalogue::CHANNELS, totals.channels as u64),
        (&catalogue::CHANNELS_OPENED, traffic.channels_opened),
        (&catalogue::PUBLISHERS, totals.publishers as u64),
        (&catalogue::MESSAGES_RECEIVED, traffic.received),
        (&catalogue::MESSAGES_PUBLISHED, totals.published),
        (&catalogue::MESSAGES_RETURNED, traffic.returned),
        (&catalogue::MESSAGES_UNROUTABLE, traffic.dropped),
        (&catalogue::MESSAGES_CONFIRMED, totals.confirmed),
    ];
    for (metric, value) in families {
        page.single(metric, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_the_sum_of_what_was_added() {
        let totals = ConnectionTotals::default();
        let traffic = Traffic {
            received: 1,
            received_confirm: 2,
            confirmed_at_once: 3,
            returned: 4,
            dropped: 5,
            channels_opened: 6,
            sizes: std::array::from_fn(|bucket| bucket as u64),
            bytes: 7,
        };
        totals.count_traffic(&traffic);
        assert_eq!(totals.load().traffic, Traffic { confirmed_at_once: 0, ..traffic });
        totals.count_traffic(&traffic);
        totals.count_confirmed(10);
        assert_eq!((totals.load().traffic.bytes, totals.load().confirmed), (14, 16));
    }

    #[test]
    fn a_connection_that_ends_takes_its_share_with_it() {
        let totals = Arc::new(ConnectionTotals::default());
        let mut one = OpenShare::new(Arc::clone(&totals));
        let mut other = OpenShare::new(Arc::clone(&totals));
        one.set(3, 1);
        other.set(2, 2);
        one.set(1, 0);
        let open = || (totals.load().channels, totals.load().publishers);
        assert_eq!(open(), (3, 2));
        drop(other);
        assert_eq!(open(), (1, 0));
        drop(one);
        assert_eq!(open(), (0, 0));
    }
}
