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
    /// Expects `basic.qos` without `global` to act on the consumers that exist already.
    ///
    /// py-amqp's callers (kombu, so Celery) raise the prefetch of a running worker while tasks with
    /// an ETA wait in it. From a broker named RabbitMQ they ask with `global` set; from any other
    /// one with `global` clear, in the meaning of the standard: the whole channel. Taken as
    /// RabbitMQ takes it, for new consumers only, the change would do nothing and the worker would
    /// starve.
    pub(crate) qos_acts_on_existing_consumers: bool,
}

impl ClientProfile {
    pub(crate) fn new(properties: &FieldTable) -> Self {
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
            qos_acts_on_existing_consumers: product == b"py-amqp",
        }
    }
}

/// What the client calls this connection (`connection_name`), for people who look at it: its
/// beginning when it is long.
pub(crate) fn connection_name(properties: &FieldTable) -> Option<ShortStr> {
    let Some(FieldValue::LongStr(name)) = properties.get("connection_name") else { return None };
    ShortStr::try_from(name.slice(..name.len().min(SHORT_STR_LENGTH_MAX))).ok()
}
