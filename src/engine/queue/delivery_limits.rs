//! What is behind the consumers of a queue is spared: so many deliveries at a time (`x-max-in-flight`), so
//! many in a second (`x-rate-limit`), and none at all while the queue is paused, whatever the number of
//! consumers and `basic.get`s.

use super::delivery_pass::{DeliveryPass, GetKind};
use super::{PriorityLevel, Queue, Rules};
use crate::model::Monotonic;
use crate::token_bucket::TokenBucket;

/// What holds messages back that a consumer could take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// The queue is paused.
    Paused,
    /// As many are delivered and not settled as may be.
    MaxInFlight,
    /// The next one comes when its time is there.
    RateLimit,
}

impl HeldBack {
    /// As in policies and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::MaxInFlight => "max-in-flight",
            Self::RateLimit => "rate-limit",
        }
    }
}

/// How fast a queue may deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateLimit {
    /// Deliveries in a second, above 0.
    pub(crate) rate: u64,
    /// Deliveries at once after a pause, above 0.
    pub(crate) burst: u64,
}

/// How far a queue has used up its limits.
#[derive(Debug, Default)]
pub(super) struct DeliveryLimits {
    bucket: Option<TokenBucket>,
    /// What held messages back when the queue had its last turn.
    held_back: Option<HeldBack>,
    /// When the next delivery may be.
    next_at: Option<Monotonic>,
}

impl DeliveryLimits {
    pub(super) fn new(rules: &Rules) -> Self {
        let limit = rules.rate_limit;
        let bucket = limit.and_then(|limit| TokenBucket::with_burst(limit.rate, limit.burst));
        Self { bucket, held_back: None, next_at: None }
    }

    /// When the queue wants a turn because of it.
    pub(super) fn poll_timeout(&self) -> Option<Monotonic> {
        self.next_at
    }

    /// What held messages back when the queue had its last turn.
    pub(super) fn held_back(&self) -> Option<HeldBack> {
        self.held_back
    }
}

impl Queue {
    /// A turn begins.
    pub(super) fn begin_limits(&mut self, pass: &mut DeliveryPass) {
        (self.limits.held_back, self.limits.next_at) = (None, None);
        if self.rules.max_in_flight.is_some() {
            pass.in_flight = self.levels.iter().map(PriorityLevel::in_flight).sum();
        }
    }

    /// Whether a limit holds back what a consumer could take now.
    pub(super) fn is_held_back(&mut self, now: Monotonic, pass: &DeliveryPass) -> bool {
        let limit = self.limit_reached(now, pass);
        if limit.is_none() || self.ready() == 0 {
            return false;
        }
        self.limits.held_back = limit;
        if limit == Some(HeldBack::RateLimit) {
            self.limits.next_at = self.limits.bucket.map(|bucket| bucket.next_at(now));
        }
        true
    }

    /// Whether a limit leaves a `basic.get` without a message. An operator who looks is no consumer.
    pub(super) fn is_get_held_back(
        &self,
        kind: GetKind,
        now: Monotonic,
        pass: &DeliveryPass,
    ) -> bool {
        kind != GetKind::Inspect && self.limit_reached(now, pass).is_some()
    }

    /// A message is delivered.
    pub(super) fn use_limits(&mut self, no_ack: bool, now: Monotonic, pass: &mut DeliveryPass) {
        pass.in_flight += u64::from(!no_ack);
        if let Some(bucket) = &mut self.limits.bucket {
            bucket.take(now, 1);
        }
    }

    /// The limits changed: from now on these hold. One that is set anew lets a burst pass.
    pub(super) fn change_limits(&mut self) {
        self.limits = DeliveryLimits::new(&self.rules);
    }

    fn limit_reached(&self, now: Monotonic, pass: &DeliveryPass) -> Option<HeldBack> {
        if self.rules.paused {
            return Some(HeldBack::Paused);
        }
        if self.rules.max_in_flight.is_some_and(|most| pass.in_flight >= most) {
            return Some(HeldBack::MaxInFlight);
        }
        let bucket = self.limits.bucket.filter(|bucket| bucket.next_at(now) > now);
        bucket.map(|_| HeldBack::RateLimit)
    }
}
