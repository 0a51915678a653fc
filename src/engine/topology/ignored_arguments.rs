//! Settings that RabbitMQ knows and that change nothing here, in arguments and in policies: they
//! are checked and kept for the sake of clients and of definitions. What belongs to streams is
//! refused, as there are none.

use super::arguments::{Arguments, BadArgument};
use forebay_wire::FieldValue;

/// Arguments of queues among them.
pub(crate) const IGNORED_ARGUMENTS: [&str; 8] = [
    "x-dead-letter-strategy",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-queue-leader-locator",
    "x-queue-master-locator",
    "x-queue-mode",
    "x-queue-version",
    "x-quorum-initial-group-size",
];

/// Settings of policies among them.
pub(super) const IGNORED_SETTINGS: [&str; 15] = [
    "dead-letter-strategy",
    "ha-mode",
    "ha-params",
    "ha-promote-on-failure",
    "ha-promote-on-shutdown",
    "ha-sync-batch-size",
    "ha-sync-mode",
    "initial-cluster-size",
    "max-in-memory-bytes",
    "max-in-memory-length",
    "queue-leader-locator",
    "queue-master-locator",
    "queue-mode",
    "queue-version",
    "target-group-size",
];

/// Arguments of streams.
const STREAM_ARGUMENTS: [&str; 4] = [
    "x-initial-cluster-size",
    "x-max-age",
    "x-stream-filter-size-bytes",
    "x-stream-max-segment-size-bytes",
];

/// Arguments of consumers of streams.
const STREAM_CONSUMER_ARGUMENTS: [&str; 3] =
    ["x-stream-filter", "x-stream-match-unfiltered", "x-stream-offset"];

/// What both arguments and policies may say.
fn check_both(settings: Arguments<'_>) -> Result<(), BadArgument> {
    let words = |name, words: &[&str]| {
        let choices: Vec<_> = words.iter().map(|word| (*word, ())).collect();
        settings.choice(name, &choices).map(drop)
    };
    words("x-dead-letter-strategy", &["at-most-once", "at-least-once"])?;
    words("x-queue-mode", &["default", "lazy"])?;
    words("x-queue-leader-locator", &["client-local", "balanced", "random", "least-leaders"])?;
    words("x-queue-master-locator", &["min-masters", "client-local", "random"])?;
    settings.integer("x-queue-version", 1..=2)?;
    settings.unsigned("x-max-in-memory-bytes", 0)?;
    settings.unsigned("x-max-in-memory-length", 0)?;
    Ok(())
}

/// Checks the arguments of a queue.
///
/// # Errors
/// A value of a wrong type or out of bounds, and any argument of streams.
pub(super) fn check_arguments(arguments: Arguments<'_>) -> Result<(), BadArgument> {
    check_both(arguments)?;
    arguments.unsigned("x-quorum-initial-group-size", 1)?;
    match STREAM_ARGUMENTS.into_iter().find(|name| arguments.has(name)) {
        Some(name) => Err(arguments.refused(name, "no such argument, as there are no streams")),
        None => Ok(()),
    }
}

/// Checks the definition of a policy.
///
/// # Errors
/// A value of a wrong type or out of bounds.
pub(super) fn check_policy(settings: Arguments<'_>) -> Result<(), BadArgument> {
    check_both(settings)?;
    settings.choice("ha-mode", &[("all", ()), ("exactly", ()), ("nodes", ())])?;
    settings.choice("ha-sync-mode", &[("manual", ()), ("automatic", ())])?;
    for name in ["ha-promote-on-failure", "ha-promote-on-shutdown"] {
        settings.choice(name, &[("always", ()), ("when-synced", ())])?;
    }
    for name in ["ha-sync-batch-size", "initial-cluster-size", "target-group-size"] {
        settings.unsigned(name, 1)?;
    }
    settings.accept("ha-params", "an integer of 1 or more, or a list of nodes", |value| {
        let is_count = value.as_integer().is_some_and(|count| count >= 1);
        is_count || matches!(value, FieldValue::Array(_))
    })
}

/// Checks the arguments of a consumer.
///
/// # Errors
/// A value of a wrong type, and any argument of streams.
pub(crate) fn check_consumer(arguments: Arguments<'_>) -> Result<(), BadArgument> {
    arguments.boolean("x-cancel-on-ha-failover")?;
    match STREAM_CONSUMER_ARGUMENTS.into_iter().find(|name| arguments.has(name)) {
        Some(name) => Err(arguments.refused(name, "no such argument, as there are no streams")),
        None => Ok(()),
    }
}
