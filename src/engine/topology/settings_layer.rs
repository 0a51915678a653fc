//! The settings of a queue that arguments and policies both can give, and how they add up.

use super::arguments::{Arguments, BadArgument};
use super::message_group::GroupKey;
use super::settings::{DEDUP_SIZE, DEDUP_WINDOW, RATE_BURST, RATE_LIMIT};
use crate::limits::{
    DEDUP_SIZE_MAX, LAG_LINE_PERCENT, RATE_LIMIT_MAX, RETRY_MULTIPLIER, TRACE_MESSAGES,
};
use crate::model::ObjectName;
use forebay_lag::Role;
use forebay_wire::ShortStr;

/// What one source says; nothing where it says nothing. The fields are those of
/// [`super::QueueSettings`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SettingsLayer {
    pub(crate) message_ttl: Option<u64>,
    pub(crate) expires: Option<u64>,
    pub(crate) length_max: Option<u64>,
    pub(crate) length_bytes_max: Option<u64>,
    pub(crate) overflow: Option<Overflow>,
    pub(crate) dead_letter_exchange: Option<ShortStr>,
    pub(crate) dead_letter_routing_key: Option<ShortStr>,
    pub(crate) delivery_limit: Option<DeliveryLimit>,
    pub(crate) consumer_timeout: Option<u64>,
    pub(crate) max_in_flight: Option<u64>,
    pub(crate) rate_limit: Option<u64>,
    pub(crate) rate_burst: Option<u64>,
    pub(crate) dedup_window: Option<u64>,
    pub(crate) dedup_size: Option<u64>,
    pub(crate) lag_line_percent: Option<u64>,
    pub(crate) age_max: Option<u64>,
    pub(crate) role: Option<Role>,
    pub(crate) retry_type: Option<RetryType>,
    pub(crate) retry_min: Option<u64>,
    pub(crate) retry_max: Option<u64>,
    pub(crate) retry_multiplier: Option<u64>,
    pub(crate) message_group: Option<GroupKey>,
    pub(crate) trace: Option<u64>,
}

/// Which messages wait that came back (`x-delayed-retry-type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryType {
    /// None: they are ready at once.
    #[default]
    Disabled,
    /// Each that came back.
    All,
    /// Those whose delivery failed: what counts for the delivery limit.
    Failed,
    /// Those that a client gave back: by `basic.nack`, or by closing in good order.
    Returned,
}

impl RetryType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Disabled, Self::All, Self::Failed, Self::Returned];

    /// As clients name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::All => "all",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }
}

/// What gives way when a queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest messages.
    #[default]
    DropHead,
    /// The newcomer, and its publisher is told.
    RejectPublish,
    /// The newcomer, its publisher is told, and it is dead-lettered.
    RejectPublishDlx,
}

/// How many failed deliveries a message may have; ordered by how much they allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryLimit {
    /// So many; the next one makes it a dead letter.
    Failures(u32),
    /// As many as it likes (-1).
    Unlimited,
}

impl SettingsLayer {
    /// Reads what the arguments or the definition of a policy say.
    ///
    /// # Errors
    /// A value of a wrong type or out of bounds.
    pub(crate) fn read(arguments: Arguments<'_>) -> Result<Self, BadArgument> {
        let overflows = [
            ("drop-head", Overflow::DropHead),
            ("reject-publish", Overflow::RejectPublish),
            ("reject-publish-dlx", Overflow::RejectPublishDlx),
        ];
        Ok(Self {
            message_ttl: arguments.duration("x-message-ttl", 0)?,
            expires: arguments.duration("x-expires", 1)?,
            length_max: arguments.unsigned("x-max-length", 0)?,
            length_bytes_max: arguments.unsigned("x-max-length-bytes", 0)?,
            overflow: arguments.choice("x-overflow", &overflows)?,
            dead_letter_exchange: arguments
                .object_name("x-dead-letter-exchange")?
                .map(ObjectName::into_short),
            dead_letter_routing_key: arguments.short_string("x-dead-letter-routing-key")?,
            delivery_limit: read_delivery_limit(arguments)?,
            consumer_timeout: arguments.unsigned("x-consumer-timeout", 1)?,
            max_in_flight: arguments.unsigned("x-max-in-flight", 1)?,
            rate_limit: read_rate(arguments, RATE_LIMIT)?,
            rate_burst: read_rate(arguments, RATE_BURST)?,
            dedup_window: arguments.duration(DEDUP_WINDOW, 1)?,
            dedup_size: arguments
                .integer(DEDUP_SIZE, 1..=i128::from(DEDUP_SIZE_MAX))?
                .and_then(|keys| u64::try_from(keys).ok()),
            lag_line_percent: arguments
                .integer("x-lag-line-percent", LAG_LINE_PERCENT)?
                .and_then(|percent| u64::try_from(percent).ok()),
            age_max: arguments.duration("x-max-age-slo", 1)?,
            role: arguments.choice("x-queue-role", &Role::ALL.map(|role| (role.name(), role)))?,
            retry_type: arguments
                .choice("x-delayed-retry-type", &RetryType::ALL.map(|kind| (kind.name(), kind)))?,
            retry_min: arguments.duration("x-delayed-retry-min", 1)?,
            retry_max: read_retry_max(arguments)?,
            retry_multiplier: arguments
                .integer("x-delayed-retry-multiplier", RETRY_MULTIPLIER)?
                .and_then(|multiplier| u64::try_from(multiplier).ok()),
            message_group: GroupKey::read(arguments)?,
            trace: arguments
                .integer("x-trace", TRACE_MESSAGES)?
                .and_then(|messages| u64::try_from(messages).ok()),
        })
    }

    /// These arguments together with the policies, as RabbitMQ adds them up: of limits the lowest
    /// holds, whoever sets it; of other settings the operator's policy goes before the policy, and
    /// the arguments go before both.
    pub(crate) fn over_policies(self, policy: Option<&Self>, operator: Option<&Self>) -> Self {
        let policies = operator.into_iter().chain(policy).cloned();
        policies.fold(self, Self::over)
    }

    fn over(self, below: Self) -> Self {
        Self {
            message_ttl: lowest(self.message_ttl, below.message_ttl),
            expires: lowest(self.expires, below.expires),
            length_max: lowest(self.length_max, below.length_max),
            length_bytes_max: lowest(self.length_bytes_max, below.length_bytes_max),
            delivery_limit: lowest(self.delivery_limit, below.delivery_limit),
            consumer_timeout: lowest(self.consumer_timeout, below.consumer_timeout),
            max_in_flight: lowest(self.max_in_flight, below.max_in_flight),
            rate_limit: lowest(self.rate_limit, below.rate_limit),
            rate_burst: lowest(self.rate_burst, below.rate_burst),
            dedup_window: self.dedup_window.or(below.dedup_window),
            dedup_size: self.dedup_size.or(below.dedup_size),
            lag_line_percent: self.lag_line_percent.or(below.lag_line_percent),
            age_max: self.age_max.or(below.age_max),
            role: self.role.or(below.role),
            retry_type: self.retry_type.or(below.retry_type),
            retry_min: self.retry_min.or(below.retry_min),
            retry_max: self.retry_max.or(below.retry_max),
            retry_multiplier: self.retry_multiplier.or(below.retry_multiplier),
            message_group: self.message_group.or(below.message_group),
            trace: self.trace.or(below.trace),
            overflow: self.overflow.or(below.overflow),
            dead_letter_exchange: self.dead_letter_exchange.or(below.dead_letter_exchange),
            dead_letter_routing_key: self.dead_letter_routing_key.or(below.dead_letter_routing_key),
        }
    }
}

fn lowest<T: Ord>(left: Option<T>, right: Option<T>) -> Option<T> {
    left.into_iter().chain(right).min()
}

fn read_rate(arguments: Arguments<'_>, name: &str) -> Result<Option<u64>, BadArgument> {
    let rate = arguments.integer(name, 1..=i128::from(RATE_LIMIT_MAX))?;
    Ok(rate.and_then(|rate| u64::try_from(rate).ok()))
}

fn read_delivery_limit(arguments: Arguments<'_>) -> Result<Option<DeliveryLimit>, BadArgument> {
    let limit = arguments.integer("x-delivery-limit", -1..=i128::from(u32::MAX))?;
    Ok(limit.map(|limit| {
        u32::try_from(limit).map_or(DeliveryLimit::Unlimited, DeliveryLimit::Failures)
    }))
}

/// The longest wait, which is not below the shortest where both stand together.
fn read_retry_max(arguments: Arguments<'_>) -> Result<Option<u64>, BadArgument> {
    let least = arguments.duration("x-delayed-retry-min", 1)?.unwrap_or(1);
    let max = arguments.duration("x-delayed-retry-max", 1)?;
    if max.is_some_and(|max| max < least) {
        let min = arguments.sent_name("x-delayed-retry-min");
        let allowed = format!("an integer not below '{min}', which is {least}");
        return Err(arguments.refused("x-delayed-retry-max", &allowed));
    }
    Ok(max)
}
