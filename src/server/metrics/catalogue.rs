//! Every metric that the broker exposes: name, kind, unit and help in one place. A name that is
//! not here is not exposed.

use metrics::Unit;

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes either way.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

impl Kind {
    /// As in the text exposition format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// The name as scraped.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What one is.
    pub unit: Unit,
    /// What it tells an operator.
    pub help: &'static str,
}

const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit, help }
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, help }
}

const fn histogram(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, unit, help }
}

/// The version, as a label of a gauge that is always 1.
pub const BUILD_INFO: Metric =
    gauge("forebay_build_info", Unit::Count, "Always 1; the labels tell the version.");
/// Open sockets.
pub const CONNECTIONS: Metric =
    gauge("forebay_connections", Unit::Count, "Client connections that are open.");
/// Accepted sockets.
pub const CONNECTIONS_OPENED: Metric = counter(
    "forebay_connections_opened_total",
    Unit::Count,
    "Client connections accepted since the start.",
);
/// Refused logins.
pub const LOGINS_REFUSED: Metric = counter(
    "forebay_logins_refused_total",
    Unit::Count,
    "Logins refused since the start: unknown user, wrong password, or a place it may not come from.",
);
/// Open channels.
pub const CHANNELS: Metric = gauge("forebay_channels", Unit::Count, "Channels that are open.");
/// Queues.
pub const QUEUES: Metric = gauge("forebay_queues", Unit::Count, "Queues that exist.");
/// Consumers.
pub const CONSUMERS: Metric =
    gauge("forebay_consumers", Unit::Count, "Consumers on all queues together.");
/// Published.
pub const MESSAGES_PUBLISHED: Metric = counter(
    "forebay_messages_published_total",
    Unit::Count,
    "Messages from publishers that were routed to at least one queue.",
);
/// Enqueued.
pub const MESSAGES_ENQUEUED: Metric = counter(
    "forebay_messages_enqueued_total",
    Unit::Count,
    "Messages added to queues: one that is routed to three queues counts three times.",
);
/// Confirmed.
pub const MESSAGES_CONFIRMED: Metric = counter(
    "forebay_messages_confirmed_total",
    Unit::Count,
    "Messages confirmed to their publishers after they were on stable storage.",
);
/// Delivered.
pub const MESSAGES_DELIVERED: Metric = counter(
    "forebay_messages_delivered_total",
    Unit::Count,
    "Messages sent to consumers or fetched by basic.get, redeliveries included.",
);
/// Acknowledged.
pub const MESSAGES_ACKED: Metric =
    counter("forebay_messages_acked_total", Unit::Count, "Messages acknowledged by consumers.");
/// Redelivered.
pub const MESSAGES_REDELIVERED: Metric = counter(
    "forebay_messages_redelivered_total",
    Unit::Count,
    "Deliveries of messages that may have been delivered before.",
);
/// Budget in use.
pub const PUBLISH_BUDGET_USED: Metric = gauge(
    "forebay_publish_budget_used_bytes",
    Unit::Bytes,
    "Octets of published messages on their way to stable storage; at the limit publishers are held.",
);
/// Budget.
pub const PUBLISH_BUDGET: Metric = gauge(
    "forebay_publish_budget_bytes",
    Unit::Bytes,
    "Limit of forebay_publish_budget_used_bytes.",
);
/// Commit latency.
pub const COMMIT_DURATION: Metric = histogram(
    "forebay_commit_duration_seconds",
    Unit::Seconds,
    "Time to write one group of operations, with its sync to stable storage where one is needed.",
);
/// Group size.
pub const COMMIT_OPERATIONS: Metric = counter(
    "forebay_commit_operations_total",
    Unit::Count,
    "Operations written; divided by the number of commits it is the group size.",
);
/// Ready messages of a queue.
pub const QUEUE_MESSAGES_READY: Metric = gauge(
    "forebay_queue_messages_ready",
    Unit::Count,
    "Messages of the queue that wait for a consumer.",
);
/// Unacked messages of a queue.
pub const QUEUE_MESSAGES_UNACKED: Metric = gauge(
    "forebay_queue_messages_unacked",
    Unit::Count,
    "Messages of the queue that are delivered and not yet acknowledged.",
);
/// Consumers of a queue.
pub const QUEUE_CONSUMERS: Metric =
    gauge("forebay_queue_consumers", Unit::Count, "Consumers of the queue.");
/// Queues without metrics of their own.
pub const QUEUES_WITHOUT_METRICS: Metric = gauge(
    "forebay_queues_without_metrics",
    Unit::Count,
    "Queues beyond the limit of queues that have metrics of their own.",
);

/// All of them.
pub const ALL: [Metric; 21] = [
    BUILD_INFO,
    CONNECTIONS,
    CONNECTIONS_OPENED,
    LOGINS_REFUSED,
    CHANNELS,
    QUEUES,
    CONSUMERS,
    MESSAGES_PUBLISHED,
    MESSAGES_ENQUEUED,
    MESSAGES_CONFIRMED,
    MESSAGES_DELIVERED,
    MESSAGES_ACKED,
    MESSAGES_REDELIVERED,
    PUBLISH_BUDGET_USED,
    PUBLISH_BUDGET,
    COMMIT_DURATION,
    COMMIT_OPERATIONS,
    QUEUE_MESSAGES_READY,
    QUEUE_MESSAGES_UNACKED,
    QUEUE_CONSUMERS,
    QUEUES_WITHOUT_METRICS,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_follow_prometheus_habits() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            assert!(metric.name.starts_with("forebay_"), "{}", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{}",
                metric.name
            );
            match metric.unit {
                Unit::Seconds => assert!(metric.name.contains("_seconds"), "{}", metric.name),
                Unit::Bytes => assert!(metric.name.contains("_bytes"), "{}", metric.name),
                _ => {}
            }
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
