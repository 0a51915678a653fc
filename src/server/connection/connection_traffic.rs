//! What has passed through the socket of a connection, and how fast. Its task writes the counters once a
//! turn; the rates come from looks at a fixed interval.

use crate::net::socket::SocketTraffic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The counters of one connection.
#[derive(Debug, Default)]
pub struct ConnectionTraffic {
    received: AtomicU64,
    reads: AtomicU64,
    sent: AtomicU64,
    writes: AtomicU64,
    /// Bytes that wait for the socket.
    pending: AtomicU64,
    rates: Mutex<Rates>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    looked_at: Option<Instant>,
    received: u64,
    sent: u64,
    received_per_second: f64,
    sent_per_second: f64,
}

impl ConnectionTraffic {
    /// What has passed by now, and what waits to be sent.
    pub fn set(&self, traffic: SocketTraffic, pending: usize) {
        self.received.store(traffic.received, Ordering::Relaxed);
        self.reads.store(traffic.reads, Ordering::Relaxed);
        self.sent.store(traffic.sent, Ordering::Relaxed);
        self.writes.store(traffic.writes, Ordering::Relaxed);
        self.pending.store(pending as u64, Ordering::Relaxed);
    }

    /// What has passed, as last told.
    #[must_use]
    pub fn passed(&self) -> SocketTraffic {
        SocketTraffic {
            received: self.received.load(Ordering::Relaxed),
            reads: self.reads.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }

    /// Bytes that wait for the socket.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Looks at the counters: the rates are those since the look before.
    pub fn sample(&self, now: Instant) {
        let passed = self.passed();
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = rates.looked_at {
            let seconds = now.duration_since(before).as_secs_f64().max(0.001);
            let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
            rates.received_per_second = rate(rates.received, passed.received);
            rates.sent_per_second = rate(rates.sent, passed.sent);
        }
        rates.looked_at = Some(now);
        (rates.received, rates.sent) = (passed.received, passed.sent);
    }

    /// Bytes a second that came and that were sent, between the last two looks.
    #[must_use]
    pub fn rates(&self) -> (f64, f64) {
        let rates = *self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        (rates.received_per_second, rates.sent_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rates_are_those_between_two_looks() {
        let traffic = ConnectionTraffic::default();
        let start = Instant::now();
        let passed = SocketTraffic { received: 1000, reads: 2, sent: 500, writes: 1 };
        traffic.set(passed, 7);
        traffic.sample(start);
        assert_eq!((traffic.passed(), traffic.pending()), (passed, 7));
        assert_eq!(traffic.rates(), (0.0, 0.0));
        traffic.set(SocketTraffic { received: 3000, sent: 600, ..passed }, 0);
        traffic.sample(start + Duration::from_secs(2));
        assert_eq!(traffic.rates(), (1000.0, 50.0));
        traffic.sample(start + Duration::from_secs(4));
        assert_eq!(traffic.rates(), (0.0, 0.0));
    }
}
