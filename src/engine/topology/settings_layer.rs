//! The settings of a queue that arguments and policies both can give, and how they add up.

use super::arguments::{Arguments, BadArgument};
use crate::limits::LAG_LINE_PERCENT;
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
    pub(crate) lag_line_percent: Option<u64>,
    pub(crate) age_max: Option<u64>,
    pub(crate) role: Option<Role>,
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
            lag_line_percent: arguments
                .integer("x-lag-line-percent", LAG_LINE_PERCENT)?
                .and_then(|percent| u64::try_from(percent).ok()),
            age_max: arguments.duration("x-max-age-slo", 1)?,
            role: arguments.choice("x-queue-role", &Role::ALL.map(|role| (role.name(), role)))?,
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
            lag_line_percent: self.lag_line_percent.or(below.lag_line_percent),
            age_max: self.age_max.or(below.age_max),
            role: self.role.or(below.role),
            overflow: self.overflow.or(below.overflow),
            dead_letter_exchange: self.dead_letter_exchange.or(below.dead_letter_exchange),
            dead_letter_routing_key: self.dead_letter_routing_key.or(below.dead_letter_routing_key),
        }
    }
}

fn lowest<T: Ord>(left: Option<T>, right: Option<T>) -> Option<T> {
    left.into_iter().chain(right).min()
}

fn read_delivery_limit(arguments: Arguments<'_>) -> Result<Option<DeliveryLimit>, BadArgument> {
    let limit = arguments.integer("x-delivery-limit", -1..=i128::from(u32::MAX))?;
    Ok(limit.map(|limit| {
        u32::try_from(limit).map_or(DeliveryLimit::Unlimited, DeliveryLimit::Failures)
    }))
}
