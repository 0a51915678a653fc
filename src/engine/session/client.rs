//! What a client says of itself in `connection.start-ok`, as far as we act on it.

use forebay_wire::limits::SHORT_STR_LENGTH_MAX;
use forebay_wire::{FieldTable, FieldValue, ShortStr};

/// A client's capabilities and habits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientProfile {
    /// Wants `connection.close` when its login is refused, not a closed socket.
    pub(crate) authentication_failure_close: bool,
    /// Understands a `basic.cancel` from the broker.
    pub(crate) consumer_cancel_notify: bool,
    /// Understands `connection.blocked`.
    pub(crate) connection_blocked: bool,
    /// Takes `basic.qos` without `global` as the standard has it: for all consumers of the channel
    /// together, those that exist already among them; not on a channel where it is sent again before
    /// the first consumer (`PlainQos`).
    ///
    /// py-amqp's callers (kombu, so Celery) branch on the broker's `product`: they set `global` where
    /// it is RabbitMQ, and leave it clear in the standard's meaning everywhere else. Taken as
    /// RabbitMQ takes it, for each new consumer, a worker of several queues would hold a prefetch of
    /// each, and one that raises its prefetch while tasks with an ETA wait in it would starve.
    pub(crate) qos_is_for_the_channel: bool,
}

impl ClientProfile {
    /// `is_rabbitmq`: what we say we are in `product`.
    pub(crate) fn new(properties: &FieldTable, is_rabbitmq: bool) -> Self {
        let capability = |name: &str| match properties.get("capabilities") {
            Some(FieldValue::Table(table)) => {
                matches!(table.get(name), Some(FieldValue::Bool(true)))
            }
            _ => false,
        };
        let product = match properties.get("product") {
            Some(FieldValue::LongStr(product)) => product.as_ref(),
            _ => b"",
        };
        Self {
            authentication_failure_close: capability("authentication_failure_close"),
            consumer_cancel_notify: capability("consumer_cancel_notify"),
            connection_blocked: capability("connection.blocked"),
            qos_is_for_the_channel: product == b"py-amqp" && !is_rabbitmq,
        }
    }
}

/// What the client calls this connection (`connection_name`), for people who look at it: its
/// beginning when it is long.
pub(crate) fn connection_name(properties: &FieldTable) -> Option<ShortStr> {
    let Some(FieldValue::LongStr(name)) = properties.get("connection_name") else { return None };
    ShortStr::try_from(name.slice(..name.len().min(SHORT_STR_LENGTH_MAX))).ok()
}
