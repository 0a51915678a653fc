//! What holds for a queue: its arguments and policies, and where they say nothing the defaults.
//! Made by the shard when the queue is made and whenever its settings change.

use super::delivery_limits::RateLimit;
use crate::deduplication::DedupRule;
use crate::limits::{
    CONSUMER_TIMEOUT_DEFAULT_MS, DEDUP_SIZE_DEFAULT, DELIVERY_LIMIT_DEFAULT,
    RABBITMQ_QUORUM_DELIVERY_LIMIT, RATE_BURST_SHARE, RETRY_DELAY_MIN_DEFAULT_MS,
    RETRY_DELAY_MS_MAX, RETURN_LIMIT,
};
use crate::model::DeathReason;
use crate::queue::retry_rule::RetryRule;
use crate::topology::{
    DeliveryLimit, GroupKey, Overflow, QueueKind, QueueRecord, QueueSettings, RetryType,
    dead_letter_queue_name, is_dead_letter_queue,
};
use forebay_wire::ShortStr;

/// How the names begin that the server chose.
const GENERATED_NAME_PREFIX: &[u8] = b"amq.gen-";

/// What an operator may choose for queues that don't say themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDefaults {
    /// Failed deliveries after which a message of a durable shared queue becomes a dead letter;
    /// `None`: it is delivered without limit.
    pub delivery_limit: Option<u32>,
    /// The delivery limit of queues declared with `x-queue-type: quorum`.
    pub quorum_delivery_limit: Option<u32>,
    /// Whether a durable shared queue has a dead-letter queue `<queue>.dlq`.
    pub dead_letter_queues: bool,
    /// How long a consumer may hold a message, in ms; `None`: without limit.
    pub consumer_timeout: Option<u64>,
}

/// What holds for one queue: what it says itself, or else the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultsInForce {
    /// Failed deliveries after which a message becomes a dead letter; nothing: it is delivered for ever.
    pub delivery_limit: Option<u32>,
    /// How long a consumer may hold a message, in ms; nothing: for ever.
    pub consumer_timeout: Option<u64>,
    /// Deliveries at once after a pause, where there is a rate limit.
    pub rate_burst: Option<u64>,
    /// Keys that a queue with a deduplication window remembers at most.
    pub dedup_size: Option<u64>,
    /// Where messages go that failed too often, when the settings name no exchange.
    pub dead_letter_queue: Option<ShortStr>,
}

impl QueueDefaults {
    /// What holds for a queue where it has a say, for people.
    #[must_use]
    pub fn in_force(self, record: &QueueRecord) -> DefaultsInForce {
        let rules = Rules::new(record, self);
        DefaultsInForce {
            delivery_limit: rules.delivery_limit,
            consumer_timeout: rules.consumer_timeout,
            rate_burst: rules.rate_limit.map(|limit| limit.burst),
            dedup_size: rules.dedup.map(|rule| rule.size),
            dead_letter_queue: (rules.dead_letters == DeadLetters::DefaultQueue)
                .then(|| dead_letter_queue_name(&record.name)),
        }
    }

    /// As RabbitMQ 4 has them: classic queues deliver for ever, quorum queues give up after some
    /// failures, and what is given up is dropped.
    #[must_use]
    pub fn rabbitmq() -> Self {
        Self {
            delivery_limit: None,
            quorum_delivery_limit: Some(RABBITMQ_QUORUM_DELIVERY_LIMIT),
            dead_letter_queues: false,
            ..Self::default()
        }
    }
}

impl Default for QueueDefaults {
    fn default() -> Self {
        Self {
            delivery_limit: Some(DELIVERY_LIMIT_DEFAULT),
            quorum_delivery_limit: Some(DELIVERY_LIMIT_DEFAULT),
            dead_letter_queues: true,
            consumer_timeout: Some(CONSUMER_TIMEOUT_DEFAULT_MS),
        }
    }
}

/// Where dead letters go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadLetters {
    /// Nowhere: they are dropped.
    Dropped,
    /// To `<queue>.dlq`: those that failed. What expires or has no room is dropped.
    DefaultQueue,
    /// To the exchange that the settings name, for whatever reason.
    Exchange,
}

/// The rules of one queue.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) durable: bool,
    /// Nothing is delivered.
    pub(crate) paused: bool,
    pub(crate) single_active: bool,
    pub(crate) priority_max: u8,
    pub(crate) dead_letters: DeadLetters,
    /// Whether it may have a dead-letter queue `<queue>.dlq`, also beside an exchange.
    pub(crate) has_dead_letter_queue: bool,
    /// Failed deliveries after which a message is a dead letter, at least 1.
    pub(crate) delivery_limit: Option<u32>,
    /// In ms.
    pub(crate) message_ttl: Option<u64>,
    pub(crate) length_max: Option<u64>,
    pub(crate) length_bytes_max: Option<u64>,
    pub(crate) overflow: Overflow,
    /// In ms.
    pub(crate) consumer_timeout: Option<u64>,
    /// In ms.
    pub(crate) expires: Option<u64>,
    /// Whether and how long messages wait that came back.
    pub(crate) retry: Option<RetryRule>,
    /// Messages that may be delivered and not settled.
    pub(crate) max_in_flight: Option<u64>,
    pub(crate) rate_limit: Option<RateLimit>,
    /// Which messages are duplicates; `None`: none is.
    pub(crate) dedup: Option<DedupRule>,
    /// Where messages name their groups; `None`: they have none.
    pub(crate) group: Option<GroupKey>,
    /// Of how many messages the lives are kept; `None`: of none.
    pub(crate) trace: Option<u64>,
}

impl Rules {
    /// What holds for the queue of this record.
    pub(crate) fn new(record: &QueueRecord, defaults: QueueDefaults) -> Self {
        let settings = &record.settings;
        let name = record.name.as_bytes();
        let is_shared = record.durable
            && record.exclusive_owner.is_none()
            && !record.auto_delete
            && !name.starts_with(GENERATED_NAME_PREFIX);
        let has_defaults = is_shared && !is_dead_letter_queue(&record.name);
        let has_dead_letter_queue = has_defaults && defaults.dead_letter_queues;
        let dead_letters = if settings.dead_letter_exchange.is_some() {
            DeadLetters::Exchange
        } else if has_dead_letter_queue {
            DeadLetters::DefaultQueue
        } else {
            DeadLetters::Dropped
        };
        let delivery_limit = match settings.delivery_limit {
            Some(DeliveryLimit::Failures(limit)) => Some(limit),
            Some(DeliveryLimit::Unlimited) => None,
            None if !has_defaults => None,
            None => match settings.kind {
                QueueKind::Classic => defaults.delivery_limit,
                QueueKind::Quorum => defaults.quorum_delivery_limit,
            },
        };
        Self {
            durable: record.durable,
            paused: record.pause.is_some(),
            single_active: settings.single_active_consumer,
            priority_max: settings.priority_max,
            dead_letters,
            has_dead_letter_queue,
            delivery_limit: delivery_limit.map(|limit| limit.max(1)),
            message_ttl: settings.message_ttl,
            length_max: settings.length_max,
            length_bytes_max: settings.length_bytes_max,
            overflow: settings.overflow,
            consumer_timeout: settings.consumer_timeout.or(defaults.consumer_timeout),
            expires: settings.expires,
            retry: retry_rule(settings),
            max_in_flight: settings.max_in_flight,
            rate_limit: settings.rate_limit.map(|rate| RateLimit {
                rate,
                burst: settings.rate_burst.unwrap_or((rate / RATE_BURST_SHARE).max(1)),
            }),
            dedup: settings.dedup_window.map(|window| DedupRule {
                window,
                size: settings.dedup_size.unwrap_or(DEDUP_SIZE_DEFAULT),
            }),
            group: settings.message_group.clone(),
            trace: settings.trace,
        }
    }

    /// Deliveries that were returned in good order after which a message is a dead letter. A return
    /// never counts for more than a failure.
    pub(crate) fn return_limit(&self) -> Option<u32> {
        self.delivery_limit.map(|limit| limit.max(RETURN_LIMIT))
    }

    /// Whether a message that leaves for this reason goes anywhere.
    pub(crate) fn has_destination(&self, reason: DeathReason) -> bool {
        match self.dead_letters {
            DeadLetters::Dropped => false,
            DeadLetters::Exchange => true,
            DeadLetters::DefaultQueue => {
                matches!(reason, DeathReason::Rejected | DeathReason::DeliveryLimit)
            }
        }
    }

    /// Whether so many messages and bytes are more than the queue may have.
    pub(crate) fn is_over(&self, messages: u64, bytes: u64) -> bool {
        self.length_max.is_some_and(|limit| messages > limit)
            || self.length_bytes_max.is_some_and(|limit| bytes > limit)
    }

    /// Whether newcomers give way when the queue is full.
    pub(crate) fn refuses_newcomers(&self) -> bool {
        self.overflow != Overflow::DropHead
            && (self.length_max.is_some() || self.length_bytes_max.is_some())
    }
}

fn retry_rule(settings: &QueueSettings) -> Option<RetryRule> {
    let kind = Some(settings.retry_type).filter(|kind| *kind != RetryType::Disabled)?;
    Some(RetryRule {
        kind,
        min: settings.retry_min.unwrap_or(RETRY_DELAY_MIN_DEFAULT_MS),
        max: settings.retry_max.unwrap_or(RETRY_DELAY_MS_MAX),
        multiplier: settings.retry_multiplier,
    })
}
