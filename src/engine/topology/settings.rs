//! What is in force for a queue: its arguments, typed and checked, and what policies add.

use super::arguments::{Arguments, BadArgument};
use super::ignored_arguments;
use super::message_group::GroupKey;
use super::reserved;
use super::settings_layer::{DeliveryLimit, Overflow, RetryType, SettingsLayer};
use forebay_lag::Role;
use forebay_wire::{FieldTable, ShortStr};

/// The argument that names the type of a queue.
pub(super) const QUEUE_TYPE: &str = "x-queue-type";

/// The argument that says for how long a message's key is remembered.
pub(super) const DEDUP_WINDOW: &str = "x-dedup-window";

/// The argument that says how many keys are.
pub(super) const DEDUP_SIZE: &str = "x-dedup-size";

/// The argument that says how many deliveries there may be in a second.
pub(super) const RATE_LIMIT: &str = "x-rate-limit";

/// The argument that says how many may come at once.
pub(super) const RATE_BURST: &str = "x-rate-burst";

/// Every argument of `queue.declare` that means something to us: these and the
/// [`IGNORED_ARGUMENTS`](super::ignored_arguments::IGNORED_ARGUMENTS), and only these, are compared when a queue is
/// declared again.
pub(crate) const QUEUE_ARGUMENTS: [&str; 26] = [
    "x-consumer-timeout",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    DEDUP_SIZE,
    DEDUP_WINDOW,
    "x-delayed-retry-max",
    "x-delayed-retry-min",
    "x-delayed-retry-multiplier",
    "x-delayed-retry-type",
    "x-delivery-limit",
    "x-expires",
    "x-lag-line-percent",
    "x-max-age-slo",
    "x-max-in-flight",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-message-group",
    "x-message-ttl",
    "x-overflow",
    "x-queue-role",
    QUEUE_TYPE,
    RATE_BURST,
    RATE_LIMIT,
    "x-single-active-consumer",
    "x-trace",
];

/// Settings of a queue. Nothing where neither an argument nor a policy says anything: what holds
/// then is the configuration's to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueSettings {
    /// `x-queue-type`.
    pub kind: QueueKind,
    /// `x-message-ttl`, ms.
    pub message_ttl: Option<u64>,
    /// `x-expires`, ms without use, above 0.
    pub expires: Option<u64>,
    /// `x-max-length`, messages.
    pub length_max: Option<u64>,
    /// `x-max-length-bytes`, bytes of bodies.
    pub length_bytes_max: Option<u64>,
    /// `x-overflow`.
    pub overflow: Overflow,
    /// `x-dead-letter-exchange`.
    pub dead_letter_exchange: Option<ShortStr>,
    /// `x-dead-letter-routing-key`; only with an exchange.
    pub dead_letter_routing_key: Option<ShortStr>,
    /// `x-delivery-limit`.
    pub delivery_limit: Option<DeliveryLimit>,
    /// `x-consumer-timeout`, ms, above 0.
    pub consumer_timeout: Option<u64>,
    /// `x-max-in-flight`: messages that may be delivered and not settled, above 0.
    pub max_in_flight: Option<u64>,
    /// `x-rate-limit`: deliveries in a second, above 0.
    pub rate_limit: Option<u64>,
    /// `x-rate-burst`: deliveries at once after a pause, above 0.
    pub rate_burst: Option<u64>,
    /// `x-dedup-window`, ms, above 0: for how long a message's key makes others duplicates.
    pub dedup_window: Option<u64>,
    /// `x-dedup-size`: keys that are remembered at most, above 0.
    pub dedup_size: Option<u64>,
    /// `x-lag-line-percent`: where the alert line is, in hundredths of the normal peak.
    pub lag_line_percent: Option<u64>,
    /// `x-max-age-slo`, ms: no message may be older.
    pub age_max: Option<u64>,
    /// `x-queue-role`: what the queue is for, where its use does not tell.
    pub role: Option<Role>,
    /// `x-delayed-retry-type`; where it is not given, `x-delayed-retry-min` stands for `failed`.
    pub retry_type: RetryType,
    /// `x-delayed-retry-min`, ms, above 0.
    pub retry_min: Option<u64>,
    /// `x-delayed-retry-max`, ms, above 0.
    pub retry_max: Option<u64>,
    /// `x-delayed-retry-multiplier`.
    pub retry_multiplier: Option<u64>,
    /// `x-message-group`: where a message names its group.
    pub message_group: Option<GroupKey>,
    /// `x-trace`: of how many messages the lives are kept, above 0.
    pub trace: Option<u64>,
    /// `x-max-priority`: the highest level; 0: one level.
    pub priority_max: u8,
    /// `x-single-active-consumer`.
    pub single_active_consumer: bool,
}

/// An argument of a declare that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ArgumentError {
    /// The argument's name.
    pub field: String,
    /// What was found there and what is allowed.
    pub reason: String,
}

/// What the client takes the queue for. One kind of queue serves both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// `classic`, also when nothing is said.
    #[default]
    Classic,
    /// `quorum`: must be durable, and neither exclusive nor auto-delete.
    Quorum,
}

impl QueueKind {
    /// As clients name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }

    /// The kind that clients name so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Classic, Self::Quorum].into_iter().find(|kind| kind.name() == name)
    }
}

impl QueueSettings {
    /// Whether a queue may be declared with these arguments.
    ///
    /// # Errors
    /// Names the first argument that has a wrong type or value, or no effect yet.
    pub fn check(arguments: &FieldTable) -> Result<(), ArgumentError> {
        if let Some(name) = reserved::queue_argument(arguments) {
            let (field, reason) = (name.to_owned(), reserved::REASON.to_owned());
            return Err(ArgumentError { field, reason });
        }
        let checked = Self::effective(arguments, None, None);
        checked.map(drop).map_err(|bad| ArgumentError { field: bad.name, reason: bad.reason })
    }

    /// What is in force for a queue with these arguments, under the policy and the operator policy
    /// that match it. This is the one place where it is computed.
    ///
    /// # Errors
    /// When a known argument has a wrong type or value, or stands without one that it needs.
    /// Unknown arguments are nobody's business.
    pub(crate) fn effective(
        table: &FieldTable,
        policy: Option<&SettingsLayer>,
        operator: Option<&SettingsLayer>,
    ) -> Result<Self, BadArgument> {
        let arguments = Arguments::new(table);
        let kinds = [("classic", QueueKind::Classic), ("quorum", QueueKind::Quorum)];
        let kind = arguments.choice(QUEUE_TYPE, &kinds)?.unwrap_or_default();
        ignored_arguments::check_arguments(arguments)?;
        let declared = SettingsLayer::read(arguments)?;
        if declared.dead_letter_routing_key.is_some() && declared.dead_letter_exchange.is_none() {
            let allowed = "it only together with 'x-dead-letter-exchange'";
            return Err(arguments.refused("x-dead-letter-routing-key", allowed));
        }
        if declared.retry_type.is_none() && declared.retry_min.is_none() {
            let alone = [
                ("x-delayed-retry-max", declared.retry_max),
                ("x-delayed-retry-multiplier", declared.retry_multiplier),
            ];
            if let Some((name, _)) = alone.iter().find(|(_, value)| value.is_some()) {
                let allowed =
                    "it only together with 'x-delayed-retry-type' or 'x-delayed-retry-min'";
                return Err(arguments.refused(name, allowed));
            }
        }
        if declared.rate_burst.is_some() && declared.rate_limit.is_none() {
            let allowed = "it only together with 'x-rate-limit'";
            return Err(arguments.refused(RATE_BURST, allowed));
        }
        if declared.dedup_size.is_some() && declared.dedup_window.is_none() {
            let allowed = "it only together with 'x-dedup-window'";
            return Err(arguments.refused(DEDUP_SIZE, allowed));
        }
        let layer = declared.over_policies(policy, operator);
        let retry_implied = layer.retry_min.map(|_| RetryType::Failed);
        Ok(Self {
            kind,
            message_ttl: layer.message_ttl,
            expires: layer.expires,
            length_max: layer.length_max,
            length_bytes_max: layer.length_bytes_max,
            overflow: layer.overflow.unwrap_or_default(),
            dead_letter_routing_key: layer
                .dead_letter_routing_key
                .filter(|_| layer.dead_letter_exchange.is_some()),
            dead_letter_exchange: layer.dead_letter_exchange,
            delivery_limit: layer.delivery_limit,
            consumer_timeout: layer.consumer_timeout,
            max_in_flight: layer.max_in_flight,
            rate_limit: layer.rate_limit,
            rate_burst: layer.rate_burst,
            dedup_window: layer.dedup_window,
            dedup_size: layer.dedup_size,
            lag_line_percent: layer.lag_line_percent,
            age_max: layer.age_max,
            role: layer.role,
            retry_type: layer.retry_type.or(retry_implied).unwrap_or_default(),
            retry_min: layer.retry_min,
            retry_max: layer.retry_max,
            retry_multiplier: layer.retry_multiplier,
            message_group: layer.message_group,
            trace: layer.trace,
            priority_max: arguments
                .integer("x-max-priority", 0..=i128::from(u8::MAX))?
                .and_then(|value| u8::try_from(value).ok())
                .unwrap_or(0),
            single_active_consumer: arguments.boolean("x-single-active-consumer")?.unwrap_or(false),
        })
    }
}
