//! Metrics with a sample for each queue.

use super::{Metric, counter, gauge};
use metrics::Unit;

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
/// Set aside.
pub const QUEUE_DAMAGED: Metric = gauge(
    "forebay_queue_damaged",
    Unit::Count,
    "1 for a queue that is set aside because stored messages of it are damaged; other queues have no sample.",
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
    "Bytes of the bodies of the messages in the queue, ready and unacked.",
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
    "Lag divided by the rate of acknowledgements of about the last minute in which there was something to do: how long the consumers need for what is there now; +Inf when none was ever finished.",
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
    "Deliveries that came back, to be repeated or to become dead letters, by reason: nack, reject (both with requeue), recover, disconnect (lost, or closed for an error or by the broker), timeout, close (returned by its client in good order).",
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
/// Undone in a queue.
pub const QUEUE_DROPPED: Metric = counter(
    "forebay_queue_messages_dropped_total",
    Unit::Count,
    "Messages that left undone or were kept out, dead letters or not, by reason: maxlen (pushed out, no room), refused (kept out, no room), delivery_limit (failed too often), purged.",
);

/// All of them, in the order of the documentation.
pub(super) const OF_QUEUES: [Metric; 17] = [
    QUEUE_MESSAGES_READY,
    QUEUE_MESSAGES_UNACKED,
    QUEUE_CONSUMERS,
    QUEUE_DAMAGED,
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
];
