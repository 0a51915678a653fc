//! What is in force for a queue: its arguments, typed and checked.

use super::arguments::Arguments;
use super::limits::{RETRY_MULTIPLIER_DEFAULT, RETRY_MULTIPLIER_MAX, RETRY_MULTIPLIER_MIN};
use super::names::Resource;
use crate::fault::Fault;
use forebay_wire::{FieldTable, FieldValue, ReplyCode, ShortStr};

/// Every argument of `queue.declare` that we know: these, and only these, are compared when a
/// queue is declared again.
pub(crate) const QUEUE_ARGUMENTS: [&str; 21] = [
    "x-consumer-timeout",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dedup-window",
    "x-delivery-limit",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-message-group",
    "x-message-ttl",
    "x-overflow",
    "x-queue-leader-locator",
    "x-queue-mode",
    "x-queue-type",
    "x-queue-version",
    "x-quorum-initial-group-size",
    "x-retry-delay",
    "x-retry-delay-max",
    "x-retry-multiplier",
    "x-single-active-consumer",
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
    /// `x-max-length-bytes`, octets of bodies.
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
    /// `x-max-priority`: the highest level; 0: one level.
    pub priority_max: u8,
    /// `x-single-active-consumer`.
    pub single_active_consumer: bool,
    /// `x-retry-delay` and what belongs to it.
    pub retry: Option<Retry>,
    /// `x-message-group`.
    pub message_group: Option<MessageGroup>,
    /// `x-dedup-window`, ms, above 0.
    pub dedup_window: Option<u64>,
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

/// How many failed deliveries a message may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryLimit {
    /// As many as it likes (-1).
    Unlimited,
    /// So many; the next one makes it a dead letter.
    Failures(u32),
}

/// How long a failed message waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// `x-retry-delay`: ms after the first failure, above 0.
    pub delay: u64,
    /// `x-retry-delay-max`: ms at most, `>= delay`.
    pub delay_max: Option<u64>,
    /// `x-retry-multiplier`: the factor with each further failure, 1 to 1000.
    pub multiplier: f64,
}

/// What names a message's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageGroup {
    /// Its routing key.
    RoutingKey,
    /// The header of this name.
    Header(ShortStr),
}

impl QueueSettings {
    /// What is in force for a queue with these arguments. This is the one place where it is
    /// computed: a policy's values join here, below the arguments, and the operator's limits above.
    ///
    /// # Errors
    /// 406 (closes the channel) when a known argument has a wrong type or value, or stands without
    /// one that it needs; 540 (closes the connection) for a type of queue that we don't have.
    /// Unknown arguments are nobody's business.
    pub(crate) fn effective(table: &FieldTable, resource: Resource<'_>) -> Result<Self, Fault> {
        let arguments = Arguments::new(table, resource);
        let kind = read_kind(table, arguments)?;
        check_without_effect(arguments)?;
        let settings = Self {
            kind,
            message_ttl: arguments.unsigned("x-message-ttl", 0)?,
            expires: arguments.unsigned("x-expires", 1)?,
            length_max: arguments.unsigned("x-max-length", 0)?,
            length_bytes_max: arguments.unsigned("x-max-length-bytes", 0)?,
            overflow: read_overflow(arguments)?,
            dead_letter_exchange: arguments.name("x-dead-letter-exchange")?,
            dead_letter_routing_key: arguments.name("x-dead-letter-routing-key")?,
            delivery_limit: read_delivery_limit(arguments)?,
            consumer_timeout: arguments.unsigned("x-consumer-timeout", 1)?,
            priority_max: arguments
                .integer("x-max-priority", 0..=i128::from(u8::MAX))?
                .and_then(|value| u8::try_from(value).ok())
                .unwrap_or(0),
            single_active_consumer: arguments.boolean("x-single-active-consumer")?.unwrap_or(false),
            retry: read_retry(arguments)?,
            message_group: read_message_group(arguments)?,
            dedup_window: arguments.unsigned("x-dedup-window", 1)?,
        };
        if settings.dead_letter_routing_key.is_some() && settings.dead_letter_exchange.is_none() {
            let allowed = "it only together with 'x-dead-letter-exchange'";
            return Err(arguments.refused("x-dead-letter-routing-key", allowed));
        }
        Ok(settings)
    }
}

fn read_kind(table: &FieldTable, arguments: Arguments<'_>) -> Result<QueueKind, Fault> {
    const NAME: &str = "x-queue-type";
    if table.get(NAME).and_then(FieldValue::as_long_str).is_some_and(|kind| kind == "stream") {
        let refused = arguments.refused(NAME, "'classic' or 'quorum', as there are no streams");
        return Err(Fault::connection(ReplyCode::NotImplemented, refused.text));
    }
    let kinds = [("classic", QueueKind::Classic), ("quorum", QueueKind::Quorum)];
    Ok(arguments.choice(NAME, &kinds)?.unwrap_or_default())
}

/// Arguments that are accepted for the sake of clients and change nothing.
fn check_without_effect(arguments: Arguments<'_>) -> Result<(), Fault> {
    arguments.choice("x-queue-mode", &[("default", ()), ("lazy", ())])?;
    arguments.integer("x-queue-version", 1..=2)?;
    let locators = ["client-local", "balanced", "random", "least-leaders"];
    arguments.choice("x-queue-leader-locator", &locators.map(|locator| (locator, ())))?;
    arguments.unsigned("x-quorum-initial-group-size", 1)?;
    Ok(())
}

fn read_overflow(arguments: Arguments<'_>) -> Result<Overflow, Fault> {
    let overflows = [
        ("drop-head", Overflow::DropHead),
        ("reject-publish", Overflow::RejectPublish),
        ("reject-publish-dlx", Overflow::RejectPublishDlx),
    ];
    Ok(arguments.choice("x-overflow", &overflows)?.unwrap_or_default())
}

fn read_delivery_limit(arguments: Arguments<'_>) -> Result<Option<DeliveryLimit>, Fault> {
    let limit = arguments.integer("x-delivery-limit", -1..=i128::from(u32::MAX))?;
    Ok(limit.map(|limit| {
        u32::try_from(limit).map_or(DeliveryLimit::Unlimited, DeliveryLimit::Failures)
    }))
}

fn read_retry(arguments: Arguments<'_>) -> Result<Option<Retry>, Fault> {
    let delay = arguments.unsigned("x-retry-delay", 1)?;
    let delay_max = arguments.unsigned("x-retry-delay-max", 1)?;
    let multipliers = RETRY_MULTIPLIER_MIN..=RETRY_MULTIPLIER_MAX;
    let multiplier = arguments.number("x-retry-multiplier", multipliers)?;
    let Some(delay) = delay else {
        let dependents = ["x-retry-delay-max", "x-retry-multiplier"];
        return match dependents.into_iter().find(|name| arguments.has(name)) {
            Some(name) => Err(arguments.refused(name, "it only together with 'x-retry-delay'")),
            None => Ok(None),
        };
    };
    if delay_max.is_some_and(|delay_max| delay_max < delay) {
        let allowed = format!("at least 'x-retry-delay', which is {delay}");
        return Err(arguments.refused("x-retry-delay-max", &allowed));
    }
    let multiplier = multiplier.unwrap_or(RETRY_MULTIPLIER_DEFAULT);
    Ok(Some(Retry { delay, delay_max, multiplier }))
}

fn read_message_group(arguments: Arguments<'_>) -> Result<Option<MessageGroup>, Fault> {
    const NAME: &str = "x-message-group";
    let Some(header) = arguments.name(NAME)? else { return Ok(None) };
    if header.is_empty() {
        return Err(arguments.refused(NAME, "'routing-key' or the name of a header"));
    }
    Ok(Some(match header.as_bytes() {
        b"routing-key" => MessageGroup::RoutingKey,
        _ => MessageGroup::Header(header),
    }))
}
