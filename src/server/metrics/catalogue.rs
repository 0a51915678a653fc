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

/// Lag of a queue.
pub const QUEUE_LAG: Metric = gauge(
    "forebay_queue_lag_messages",
    Unit::Count,
    "Messages of the queue that are not done: ready and unacked, without those whose delay runs.",
);
/// Size of a queue.
pub const QUEUE_BYTES: Metric = gauge(
    "forebay_queue_bytes",
    Unit::Bytes,
    "Octets of the bodies of the messages in the queue, ready and unacked.",
);
/// Age of the oldest message.
pub const QUEUE_OLDEST_AGE: Metric = gauge(
    "forebay_queue_oldest_message_age_seconds",
    Unit::Seconds,
    "Time since the oldest message of the queue was published, ready or unacked; 0 when there is none; no sample while it is not known after a restart.",
);
/// Age of the next message.
pub const QUEUE_HEAD_WAIT: Metric = gauge(
    "forebay_queue_head_wait_seconds",
    Unit::Seconds,
    "Time since the message that will be delivered next was published; 0 when none is ready.",
);
/// Time to work off the lag.
pub const QUEUE_DRAIN: Metric = gauge(
    "forebay_queue_drain_seconds",
    Unit::Seconds,
    "Lag divided by the rate of acknowledgements of about the last minute: how long the consumers need for what is there now; +Inf when they finish nothing.",
);
/// Room at consumers.
pub const QUEUE_UTILISATION: Metric = gauge(
    "forebay_queue_consumer_utilisation_ratio",
    Unit::Count,
    "Share of the last minute in which a consumer had room for a message, sampled every 5 s: near 0 with a backlog means more consumers or a larger prefetch are needed.",
);
/// Into a queue.
pub const QUEUE_PUBLISHED: Metric =
    counter("forebay_queue_messages_published_total", Unit::Count, "Messages added to the queue.");
/// Out of a queue.
pub const QUEUE_DELIVERED: Metric = counter(
    "forebay_queue_messages_delivered_total",
    Unit::Count,
    "Deliveries from the queue, redeliveries included.",
);
/// Done in a queue.
pub const QUEUE_ACKED: Metric = counter(
    "forebay_queue_messages_acked_total",
    Unit::Count,
    "Messages that a consumer settled for good: acknowledged, rejected without requeue, or delivered without acknowledgement.",
);
/// Back to a queue.
pub const QUEUE_REDELIVERED: Metric = counter(
    "forebay_queue_messages_redelivered_total",
    Unit::Count,
    "Deliveries that came back, to be repeated or to become dead letters, by reason: nack (or reject, with requeue), recover, disconnect, timeout.",
);
/// Given up in a queue.
pub const QUEUE_DEAD_LETTERED: Metric = counter(
    "forebay_queue_messages_dead_lettered_total",
    Unit::Count,
    "Messages of the queue that became dead letters, by reason: rejected, expired, maxlen, delivery_limit.",
);
/// Expired in a queue.
pub const QUEUE_EXPIRED: Metric = counter(
    "forebay_queue_messages_expired_total",
    Unit::Count,
    "Messages whose time to live passed, dead letters or not.",
);
/// No room in a queue.
pub const QUEUE_DROPPED: Metric = counter(
    "forebay_queue_messages_dropped_total",
    Unit::Count,
    "Messages that the queue had no room for, old ones or new ones, dead letters or not.",
);
/// Lost.
pub const MESSAGES_MISSING: Metric = counter(
    "forebay_messages_missing_total",
    Unit::Count,
    "Messages that the store should have had and did not: anything but 0 is damage.",
);
/// Time in a queue.
pub const MESSAGE_WAIT: Metric = histogram(
    "forebay_message_wait_seconds",
    Unit::Seconds,
    "Time from publishing a message to its first delivery.",
);
/// Time at a consumer.
pub const MESSAGE_PROCESSING: Metric = histogram(
    "forebay_message_processing_seconds",
    Unit::Seconds,
    "Time from a delivery to its acknowledgement.",
);
/// Failures before the end.
pub const MESSAGE_FAILED_DELIVERIES: Metric = histogram(
    "forebay_message_failed_deliveries",
    Unit::Count,
    "Failed deliveries that a message had when it was acknowledged.",
);
/// Cache.
pub const CACHED: Metric = gauge(
    "forebay_memory_cached_bytes",
    Unit::Bytes,
    "Octets of stored messages that are kept in memory for consumers.",
);
/// Transient messages.
pub const VOLATILE: Metric = gauge(
    "forebay_memory_volatile_bytes",
    Unit::Bytes,
    "Octets of messages that are in memory alone.",
);
/// Before the commit.
pub const UNCOMMITTED: Metric = gauge(
    "forebay_memory_uncommitted_bytes",
    Unit::Bytes,
    "Octets of messages that wait for their commit.",
);
/// Store.
pub const STORE_BYTES: Metric = gauge(
    "forebay_store_bytes",
    Unit::Bytes,
    "Octets that the store takes on the disk, journals included.",
);
/// Written.
pub const STORE_WRITTEN: Metric = counter(
    "forebay_store_written_bytes_total",
    Unit::Bytes,
    "Octets of keys and values handed to the journal.",
);
/// Syncs.
pub const STORE_SYNCS: Metric =
    counter("forebay_store_syncs_total", Unit::Count, "Times the store waited for stable storage.");
/// Free disk.
pub const DISK_AVAILABLE: Metric = gauge(
    "forebay_disk_available_bytes",
    Unit::Bytes,
    "Octets that are free on the disk of the data directory.",
);
/// Disk.
pub const DISK_SIZE: Metric =
    gauge("forebay_disk_size_bytes", Unit::Bytes, "Size of the disk of the data directory.");
/// Memory.
pub const MEMORY_LIMIT: Metric = gauge(
    "forebay_memory_limit_bytes",
    Unit::Bytes,
    "Memory that the broker may use: of its control group, or else of the machine.",
);
/// Memory in use.
pub const PROCESS_MEMORY: Metric =
    gauge("process_resident_memory_bytes", Unit::Bytes, "Resident memory of the broker.");
/// Open files.
pub const PROCESS_FILES: Metric = gauge("process_open_fds", Unit::Count, "Open file descriptors.");
/// Most open files.
pub const PROCESS_FILES_MAX: Metric =
    gauge("process_max_fds", Unit::Count, "Most file descriptors that may be open.");
/// Start.
pub const PROCESS_START: Metric = gauge(
    "process_start_time_seconds",
    Unit::Seconds,
    "When the broker started, in seconds since 1970.",
);

/// All of them.
pub const ALL: [Metric; 51] = [
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
    QUEUE_LAG,
    QUEUE_BYTES,
    QUEUE_OLDEST_AGE,
    QUEUE_HEAD_WAIT,
    QUEUE_DRAIN,
    QUEUE_UTILISATION,
    QUEUE_PUBLISHED,
    QUEUE_DELIVERED,
    QUEUE_ACKED,
    QUEUE_REDELIVERED,
    QUEUE_DEAD_LETTERED,
    QUEUE_EXPIRED,
    QUEUE_DROPPED,
    MESSAGES_MISSING,
    MESSAGE_WAIT,
    MESSAGE_PROCESSING,
    MESSAGE_FAILED_DELIVERIES,
    CACHED,
    VOLATILE,
    UNCOMMITTED,
    STORE_BYTES,
    STORE_WRITTEN,
    STORE_SYNCS,
    DISK_AVAILABLE,
    DISK_SIZE,
    MEMORY_LIMIT,
    PROCESS_MEMORY,
    PROCESS_FILES,
    PROCESS_FILES_MAX,
    PROCESS_START,
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
            let is_ours = metric.name.starts_with("forebay_");
            assert!(is_ours || metric.name.starts_with("process_"), "{}", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{}",
                metric.name
            );
            let says = |part| metric.name.contains(part);
            assert!(metric.unit != Unit::Seconds || says("_seconds"), "{}", metric.name);
            assert!(metric.unit != Unit::Bytes || says("_bytes"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
