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
/// Parked messages of a queue.
pub const QUEUE_MESSAGES_PARKED: Metric = gauge(
    "forebay_queue_messages_parked",
    Unit::Count,
    "Messages of the queue that came back and wait for their next delivery; they are no lag.",
);
/// Delayed messages of a queue.
pub const QUEUE_MESSAGES_DELAYED: Metric = gauge(
    "forebay_queue_messages_delayed",
    Unit::Count,
    "Messages of the queue that wait for a time of their own (x-delay, x-deliver-at); neither ready nor unacked, and no lag.",
);
/// The next of them.
pub const QUEUE_DELAYED_NEXT_DUE: Metric = gauge(
    "forebay_queue_delayed_next_due_timestamp_seconds",
    Unit::Seconds,
    "UNIX time at which the first delayed message of the queue is due; no sample when none is delayed.",
);
/// Messages of a queue behind others of their groups.
pub const QUEUE_MESSAGES_BLOCKED: Metric = gauge(
    "forebay_queue_messages_blocked",
    Unit::Count,
    "Ready messages of the queue that were looked at and wait behind another one of their group.",
);
/// Groups of a queue that are held.
pub const QUEUE_GROUPS_HELD: Metric = gauge(
    "forebay_queue_groups_held",
    Unit::Count,
    "Groups of the queue of which a message is delivered, or came back and is not done.",
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
/// Paused by an operator.
pub const QUEUE_PAUSED: Metric = gauge(
    "forebay_queue_paused",
    Unit::Count,
    "1 for a queue that an operator has paused: it delivers nothing until somebody resumes it; other queues have no sample. Of all queues, also those beyond the limit.",
);
/// Lag of a queue.
pub const QUEUE_LAG: Metric = gauge(
    "forebay_queue_lag_messages",
    Unit::Count,
    "Messages of the queue that are not done: ready and unacked, without those whose delay runs and those that wait for a retry.",
);
/// Size of a queue.
pub const QUEUE_BYTES: Metric = gauge(
    "forebay_queue_bytes",
    Unit::Bytes,
    "Bytes of the bodies of the messages in the queue, ready, unacked and parked.",
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

/// More time for what is held.
pub const QUEUE_EXTENDED: Metric = counter(
    "forebay_queue_deliveries_extended_total",
    Unit::Count,
    "Times that a consumer asked for more time for a message that it holds.",
);
/// Held back by a limit.
pub const QUEUE_HELD_BACK: Metric = gauge(
    "forebay_queue_held_back",
    Unit::Count,
    "1 while something holds messages back that a consumer could take, by reason: paused, max-in-flight, rate-limit; no sample while nothing does. More consumers would get no more.",
);
/// Kept out as duplicates.
pub const QUEUE_DEDUPLICATED: Metric = counter(
    "forebay_queue_messages_deduplicated_total",
    Unit::Count,
    "Messages that the queue dropped because one with their key had come within its deduplication window; no sample for a queue without a window.",
);
/// Keys of a window.
pub const QUEUE_DEDUP_KEYS: Metric = gauge(
    "forebay_queue_dedup_keys",
    Unit::Count,
    "Keys of messages that the queue remembers to know duplicates; no sample for a queue without a deduplication window.",
);
/// Keys forgotten early.
pub const QUEUE_DEDUP_KEYS_EVICTED: Metric = counter(
    "forebay_queue_dedup_keys_evicted_total",
    Unit::Count,
    "Keys forgotten before the deduplication window had passed, because there were more than dedup-size: from then on duplicates may come through; no sample for a queue without a window.",
);

/// What a queue is for.
pub const QUEUE_INFO: Metric = gauge(
    "forebay_queue_info",
    Unit::Count,
    "Always 1; the label role tells what the queue is for: work, delay, dead-letters or reply.",
);
/// What lag is normal.
pub const QUEUE_LAG_NORMAL_PEAK: Metric = gauge(
    "forebay_queue_lag_normal_peak_messages",
    Unit::Count,
    "The highest lag that is normal at this time of day, from the queue's own history of five weeks; no sample while that is too young.",
);
/// Above which lag is not normal.
pub const QUEUE_LAG_ALERT_LINE: Metric = gauge(
    "forebay_queue_lag_alert_line_messages",
    Unit::Count,
    "Lag above this is not normal: twice the normal peak, or what was set, and more for small queues; no sample while the history is too young.",
);
/// How much of normal it is.
pub const QUEUE_LAG_RATIO: Metric = gauge(
    "forebay_queue_lag_ratio",
    Unit::Count,
    "Lag divided by its normal peak, or by 1 where that is less; no sample while the history is too young.",
);
/// For how long.
pub const QUEUE_LAG_ABOVE_LINE: Metric = gauge(
    "forebay_queue_lag_above_line_seconds",
    Unit::Seconds,
    "For how long lag has been above the alert line; 0 while it is not.",
);
/// How far the rest is to be trusted.
pub const QUEUE_LAG_HISTORY: Metric = gauge(
    "forebay_queue_lag_history_seconds",
    Unit::Seconds,
    "Length of the history that the normal peak rests on, in whole days that were watched: none is told below three days, and it is exact from six on.",
);
/// Which drain time is too long.
pub const QUEUE_DRAIN_LINE: Metric = gauge(
    "forebay_queue_drain_line_seconds",
    Unit::Seconds,
    "Drain times above this are much longer than usual; no sample while that is not known.",
);
/// Which age is too high.
pub const QUEUE_OLDEST_AGE_LINE: Metric = gauge(
    "forebay_queue_oldest_message_age_line_seconds",
    Unit::Seconds,
    "Ages of the oldest message above this are not normal, or more than was allowed by max-age-slo; no sample while that is not known.",
);
/// What an autoscaler follows.
pub const QUEUE_NEEDED: Metric = gauge(
    "forebay_queue_needed_seconds",
    Unit::Seconds,
    "Time that the consumers need for what is there and for what comes in the next minute, if each does as much as the fastest did in the last six to eight hours: 60 when they just keep up, half of it with twice the consumers; 3600 when they need longer or there are none.",
);
/// How long jobs take.
pub const QUEUE_SERVICE: Metric = gauge(
    "forebay_queue_service_seconds",
    Unit::Seconds,
    "Time within which 99 of 100 deliveries are acknowledged or rejected by their clients, from the queue's own history; no sample until one was.",
);
/// Which pause is a stall.
pub const QUEUE_STALL_LINE: Metric = gauge(
    "forebay_queue_stall_line_seconds",
    Unit::Seconds,
    "While there are messages and consumers, a pause between two settlements above this is a stall: three times the service time, and more where such pauses are usual; no sample while that is not known.",
);
/// What is wrong.
pub const QUEUE_SYMPTOM: Metric = gauge(
    "forebay_queue_symptom",
    Unit::Count,
    "1 while the queue has this symptom: above-line, slow-drain, too-old, stalled, no-consumers, growing or paused; no sample while it has not. Of all queues, also those beyond the limit.",
);

/// All of them, in the order of the documentation.
pub(super) const OF_QUEUES: [Metric; 40] = [
    QUEUE_MESSAGES_READY,
    QUEUE_MESSAGES_UNACKED,
    QUEUE_MESSAGES_PARKED,
    QUEUE_MESSAGES_DELAYED,
    QUEUE_DELAYED_NEXT_DUE,
    QUEUE_MESSAGES_BLOCKED,
    QUEUE_GROUPS_HELD,
    QUEUE_CONSUMERS,
    QUEUE_DAMAGED,
    QUEUE_PAUSED,
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
    QUEUE_EXTENDED,
    QUEUE_HELD_BACK,
    QUEUE_DEDUPLICATED,
    QUEUE_DEDUP_KEYS,
    QUEUE_DEDUP_KEYS_EVICTED,
    QUEUE_INFO,
    QUEUE_LAG_NORMAL_PEAK,
    QUEUE_LAG_ALERT_LINE,
    QUEUE_LAG_RATIO,
    QUEUE_LAG_ABOVE_LINE,
    QUEUE_LAG_HISTORY,
    QUEUE_DRAIN_LINE,
    QUEUE_OLDEST_AGE_LINE,
    QUEUE_NEEDED,
    QUEUE_SERVICE,
    QUEUE_STALL_LINE,
    QUEUE_SYMPTOM,
];
