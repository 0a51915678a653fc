//! What happened to each queue since its broker started, kept by what clients did, and held against
//! what the broker says of it.

use crate::harness::PATIENCE;
use crate::harness::broker::{Broker, http_get};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// What happened to one queue since the broker started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// In the queue when the broker started.
    pub(crate) carried: u64,
    pub(crate) unacked: u64,
    pub(crate) consumers: u64,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) acked: u64,
    pub(crate) expired: u64,
    pub(crate) nack: u64,
    pub(crate) reject: u64,
    pub(crate) recover: u64,
    pub(crate) disconnect: u64,
    pub(crate) timeout: u64,
    pub(crate) close: u64,
    pub(crate) maxlen: u64,
    pub(crate) refused: u64,
    pub(crate) delivery_limit: u64,
    pub(crate) purged: u64,
    /// Dead letters, by reason.
    pub(crate) dead: HashMap<&'static str, u64>,
}

impl Account {
    pub(crate) fn lag(&self) -> u64 {
        let out = self.acked + self.expired + self.maxlen + self.delivery_limit + self.purged;
        self.carried + self.published - out
    }

    /// After a restart: what was there is there, and nothing was counted.
    pub(crate) fn carried_over(&self) -> Self {
        Self { carried: self.lag(), ..Self::default() }
    }

    /// Every sample of the queue that says how much; RabbitMQ's from the page of single queues.
    fn samples(&self, queue: &str) -> BTreeMap<String, u64> {
        let labels = format!("vhost=\"/\",queue=\"{queue}\"");
        let ready = self.lag() - self.unacked;
        let plain = [
            ("forebay_queue_lag_messages", self.lag()),
            ("forebay_queue_messages_ready", ready),
            ("forebay_queue_messages_unacked", self.unacked),
            ("forebay_queue_consumers", self.consumers),
            ("forebay_queue_messages_published_total", self.published),
            ("forebay_queue_messages_delivered_total", self.delivered),
            ("forebay_queue_messages_acked_total", self.acked),
            ("forebay_queue_messages_expired_total", self.expired),
            ("rabbitmq_queue_messages", self.lag()),
            ("rabbitmq_queue_messages_ready", ready),
            ("rabbitmq_queue_messages_unacked", self.unacked),
            ("rabbitmq_queue_messages_published_total", self.published),
        ];
        let dead = |reason: &str| self.dead.get(reason).copied().unwrap_or(0);
        let by_reason = [
            ("forebay_queue_messages_redelivered_total", "nack", self.nack),
            ("forebay_queue_messages_redelivered_total", "reject", self.reject),
            ("forebay_queue_messages_redelivered_total", "recover", self.recover),
            ("forebay_queue_messages_redelivered_total", "disconnect", self.disconnect),
            ("forebay_queue_messages_redelivered_total", "timeout", self.timeout),
            ("forebay_queue_messages_redelivered_total", "close", self.close),
            ("forebay_queue_messages_dropped_total", "maxlen", self.maxlen),
            ("forebay_queue_messages_dropped_total", "refused", self.refused),
            ("forebay_queue_messages_dropped_total", "delivery_limit", self.delivery_limit),
            ("forebay_queue_messages_dropped_total", "purged", self.purged),
            ("forebay_queue_messages_dead_lettered_total", "rejected", dead("rejected")),
            ("forebay_queue_messages_dead_lettered_total", "expired", dead("expired")),
            ("forebay_queue_messages_dead_lettered_total", "maxlen", dead("maxlen")),
            (
                "forebay_queue_messages_dead_lettered_total",
                "delivery_limit",
                dead("delivery_limit"),
            ),
        ];
        let plain = plain.map(|(name, value)| (format!("{name}{{{labels}}}"), value));
        let by_reason = by_reason.map(|(name, reason, value)| {
            (format!("{name}{{{labels},reason=\"{reason}\"}}"), value)
        });
        plain.into_iter().chain(by_reason).collect()
    }
}

/// All queues of a broker.
pub(crate) type Accounts = BTreeMap<&'static str, Account>;

/// The samples that must be on the two pages.
fn expected(accounts: &Accounts) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for (queue, account) in accounts {
        all.extend(account.samples(queue));
    }
    let sum = |value: fn(&Account) -> u64| accounts.values().map(value).sum::<u64>();
    all.extend([
        ("rabbitmq_queue_messages".to_owned(), sum(Account::lag)),
        ("rabbitmq_queue_messages_unacked".to_owned(), sum(|account| account.unacked)),
        ("forebay_messages_enqueued_total".to_owned(), sum(|account| account.published)),
        ("forebay_messages_delivered_total".to_owned(), sum(|account| account.delivered)),
        ("forebay_queues".to_owned(), accounts.len() as u64),
    ]);
    all
}

/// What the broker says where `expected` says something else.
fn differences(broker: &Broker, expected: &BTreeMap<String, u64>) -> Vec<String> {
    let mut found: HashMap<String, f64> = HashMap::new();
    for path in ["/metrics/per-object", "/metrics"] {
        let page = http_get(broker.metrics, path);
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.filter_map(|line| line.rsplit_once(' '));
        found.extend(samples.filter_map(|(name, value)| Some((name.into(), value.parse().ok()?))));
    }
    let mut off = Vec::new();
    for (name, value) in expected {
        let said = found.get(name);
        if said != Some(&(*value as f64)) {
            off.push(format!("{name}: {said:?}, expected {value}"));
        }
    }
    off
}

/// Once it is quiet, the figures are these.
pub(crate) async fn check(broker: &Broker, accounts: &Accounts) {
    let (expected, start) = (expected(accounts), Instant::now());
    loop {
        let off = differences(broker, &expected);
        if off.is_empty() {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{}", off.join("\n"));
        tokio::task::yield_now().await;
    }
}
