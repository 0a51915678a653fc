//! Publish rates of users and virtual hosts over all connections: whose turn it is to publish.
//!
//! A connection that reached its share of a limit asks for a turn of a few messages and waits, unread,
//! until the time that it is given. Turns are given in the order in which they were asked for, so
//! that all who publish under one limit get as much of it.

use crate::limits::{PUBLISH_TURN_DURATION, PUBLISH_TURN_MESSAGES_MAX, PUBLISH_TURN_RECHECK};
use crate::system::clock::Clock;
use arc_swap::ArcSwap;
use forebay_engine::BrokerSnapshot;
use forebay_engine::access::Limit;
use forebay_engine::model::Monotonic;
use forebay_engine::token_bucket::TokenBucket;
use forebay_wire::ShortStr;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::{Instant, sleep_until};

/// The pace of a broker's publishers. Clones are the same.
#[derive(Clone)]
pub struct PublishPace {
    clock: Clock,
    snapshot: Arc<ArcSwap<BrokerSnapshot>>,
    /// Of those whose rate is limited and who have published since.
    buckets: Arc<Mutex<HashMap<(Limit, ShortStr), TokenBucket>>>,
}

/// What limits one connection, as it was when a turn was given.
type Rates = [Option<u64>; 2];

impl PublishPace {
    /// Goes by the limits in `snapshot`.
    #[must_use]
    pub fn new(clock: Clock, snapshot: Arc<ArcSwap<BrokerSnapshot>>) -> Self {
        Self { clock, snapshot, buckets: Arc::default() }
    }

    /// Waits until this user may publish in this virtual host; how many messages, which is at most
    /// `most` and at least one.
    pub async fn turn(&self, vhost: &ShortStr, user: &ShortStr, most: u32) -> u32 {
        loop {
            let rates = self.rates(vhost, user);
            let messages = turn_messages(rates).min(most);
            let at = self.take(rates, vhost, user, messages);
            // A limit that was changed meanwhile makes the time that was given meaningless.
            while self.rates(vhost, user) == rates {
                if at.is_some_and(|at| at <= self.clock.now().monotonic) {
                    return messages;
                }
                let again = Instant::now() + PUBLISH_TURN_RECHECK;
                let at = at.and_then(|at| self.clock.instant(at));
                sleep_until(at.map_or(again, |at| at.min(again))).await;
            }
        }
    }

    fn rates(&self, vhost: &ShortStr, user: &ShortStr) -> Rates {
        self.snapshot.load().access.limits().publish_rates(vhost, user)
    }

    /// When so many messages may pass under both limits; nothing when one of them lets none pass.
    fn take(
        &self,
        rates: Rates,
        vhost: &ShortStr,
        user: &ShortStr,
        messages: u32,
    ) -> Option<Monotonic> {
        let now = self.clock.now().monotonic;
        let [of_user, of_vhost] = rates;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = now;
        for (limit, owner, rate) in
            [(Limit::UserPublishRate, user, of_user), (Limit::VhostPublishRate, vhost, of_vhost)]
        {
            let Some(rate) = rate else { continue };
            let full = TokenBucket::new(rate)?;
            let key = (limit, owner.clone());
            if buckets.get(&key).is_none_or(|bucket| bucket.rate() != rate) {
                let snapshot = self.snapshot.load();
                // Those whose limit is gone are forgotten when another comes.
                buckets.retain(|(limit, owner), _| {
                    snapshot.access.limits().get(*limit, owner).is_some()
                });
                buckets.insert(key.clone(), full);
            }
            if let Some(bucket) = buckets.get_mut(&key) {
                at = at.max(bucket.take(now, messages.into()));
            }
        }
        Some(at)
    }
}

/// Messages of one turn: what the lower of two rates lets pass in a short time.
fn turn_messages(rates: Rates) -> u32 {
    let rate = rates.into_iter().flatten().min().unwrap_or(u64::MAX);
    let turns_per_s = 1_000 / PUBLISH_TURN_DURATION.as_millis() as u64;
    u32::try_from(rate / turns_per_s).unwrap_or(u32::MAX).clamp(1, PUBLISH_TURN_MESSAGES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_engine::access::AccessControl;
    use std::time::Duration;

    fn shop() -> ShortStr {
        ShortStr::from_static("shop")
    }

    fn app() -> ShortStr {
        ShortStr::from_static("app")
    }

    fn snapshot(limits: &[(Limit, ShortStr, u64)]) -> BrokerSnapshot {
        let mut access = AccessControl::new();
        for (limit, owner, most) in limits {
            access.set_limit(*limit, owner, Some(*most));
        }
        BrokerSnapshot { access: access.snapshot().clone(), ..BrokerSnapshot::default() }
    }

    fn pace(limits: &[(Limit, ShortStr, u64)]) -> PublishPace {
        PublishPace::new(Clock::start(), Arc::new(ArcSwap::from_pointee(snapshot(limits))))
    }

    #[tokio::test]
    async fn a_turn_is_some_milliseconds_of_the_lower_rate() {
        let both =
            [(Limit::UserPublishRate, app(), 5_000), (Limit::VhostPublishRate, shop(), 50_000)];
        let pace = pace(&both);
        assert_eq!(pace.turn(&shop(), &app(), u32::MAX).await, 50);
        assert_eq!(pace.turn(&shop(), &app(), 1).await, 1);
        assert_eq!(pace.turn(&shop(), &ShortStr::from_static("other"), u32::MAX).await, 500);
        let unlimited = pace.turn(&ShortStr::EMPTY, &ShortStr::EMPTY, u32::MAX).await;
        assert_eq!(unlimited, PUBLISH_TURN_MESSAGES_MAX);
    }

    #[tokio::test]
    async fn turns_under_one_limit_come_in_the_order_in_which_they_were_asked_for() {
        let pace = pace(&[(Limit::UserPublishRate, app(), 10)]);
        let mut times = Vec::new();
        for _ in 0..30 {
            times.push(pace.take([Some(10), None], &shop(), &app(), 1).unwrap());
        }
        assert!(times.is_sorted());
        // Ten at once, and twenty that come by tenths of a second.
        assert!(times[29].0 - times[9].0 >= 1_900, "{times:?}");
    }

    #[tokio::test]
    async fn a_limit_that_is_lifted_lets_go_whoever_waits() {
        let pace = pace(&[(Limit::VhostPublishRate, shop(), 0)]);
        let waiting = tokio::spawn({
            let pace = pace.clone();
            async move { pace.turn(&shop(), &app(), 7).await }
        });
        tokio::time::timeout(Duration::from_millis(5), async {
            pace.turn(&shop(), &app(), 7).await
        })
        .await
        .unwrap_err();
        pace.snapshot.store(Arc::new(snapshot(&[])));
        assert_eq!(waiting.await.unwrap(), 7);
        assert!(pace.buckets.lock().unwrap().is_empty());
    }
}
