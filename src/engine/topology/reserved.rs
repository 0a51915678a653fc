//! Arguments and settings whose names promise something that is not there yet. They are refused with
//! 540 and named, by AMQP, over HTTP and in definitions alike: whoever sets one relies on what it
//! says. What a data directory of an earlier version holds is read all the same, without an effect.

use super::names::Resource;
use crate::model::Fault;
use forebay_wire::{FieldTable, ReplyCode, ShortStr};

/// Arguments of queues.
const QUEUE_ARGUMENTS: [&str; 3] = ["x-retry-delay", "x-retry-delay-max", "x-retry-multiplier"];

/// Arguments of consumers: credit that is given message by message, and a time-out of its own (that
/// of a queue works, and so does `x-lease`).
const CONSUMER_ARGUMENTS: [&str; 2] = ["x-consumer-timeout", "x-credit"];

/// Why something is refused.
pub(super) const REASON: &str = "is not implemented, and without an effect it would mislead";

/// The first of the arguments of a queue that is one of these.
pub(super) fn queue_argument(arguments: &FieldTable) -> Option<&'static str> {
    QUEUE_ARGUMENTS.into_iter().find(|name| arguments.get(name).is_some())
}

/// The first setting of a policy that is one of these.
pub(super) fn setting(definition: &FieldTable) -> Option<&'static str> {
    let settings = QUEUE_ARGUMENTS.into_iter().filter_map(|name| name.strip_prefix("x-"));
    settings.into_iter().find(|name| definition.get(name).is_some())
}

/// Whether a setting of a policy is one of these.
pub(super) fn is_setting(name: &ShortStr) -> bool {
    QUEUE_ARGUMENTS.into_iter().any(|there| there.strip_prefix("x-") == name.as_str())
}

/// Refuses arguments of a queue that have no effect yet.
///
/// # Errors
/// 540 that names the argument; it closes the connection.
pub(super) fn check_queue(arguments: &FieldTable, resource: Resource<'_>) -> Result<(), Fault> {
    queue_argument(arguments).map_or(Ok(()), |name| Err(fault(name, resource)))
}

/// Refuses arguments of a consumer that have no effect yet.
///
/// # Errors
/// 540 that names the argument; it closes the connection.
pub(crate) fn check_consumer(arguments: &FieldTable, resource: Resource<'_>) -> Result<(), Fault> {
    let found = CONSUMER_ARGUMENTS.into_iter().find(|name| arguments.get(name).is_some());
    found.map_or(Ok(()), |name| Err(fault(name, resource)))
}

fn fault(argument: &str, resource: Resource<'_>) -> Fault {
    let text = format!("argument '{argument}' for {resource} {REASON}");
    Fault::connection(ReplyCode::NotImplemented, text)
}
