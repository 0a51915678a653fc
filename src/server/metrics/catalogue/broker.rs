//! Metrics of the broker as a whole and of its process.

use super::{Metric, counter, gauge, histogram};
use metrics::Unit;

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
/// Logins.
pub const LOGINS_ACCEPTED: Metric =
    counter("forebay_logins_accepted_total", Unit::Count, "Logins since the start.");
/// Refused logins.
pub const LOGINS_REFUSED: Metric = counter(
    "forebay_logins_refused_total",
    Unit::Count,
    "Logins refused since the start: unknown user, wrong password, or a place it may not come from.",
);
/// Open channels.
pub const CHANNELS: Metric = gauge("forebay_channels", Unit::Count, "Channels that are open.");
/// Opened channels.
pub const CHANNELS_OPENED: Metric =
    counter("forebay_channels_opened_total", Unit::Count, "Channels opened since the start.");
/// Publishing channels.
pub const PUBLISHERS: Metric =
    gauge("forebay_publishers", Unit::Count, "Open channels that have published.");
/// Queues.
pub const QUEUES: Metric = gauge("forebay_queues", Unit::Count, "Queues that exist.");
/// Consumers.
pub const CONSUMERS: Metric =
    gauge("forebay_consumers", Unit::Count, "Consumers on all queues together.");
/// Received.
pub const MESSAGES_RECEIVED: Metric = counter(
    "forebay_messages_received_total",
    Unit::Count,
    "Messages from publishers, whether a queue took them or not.",
);
/// Published.
pub const MESSAGES_PUBLISHED: Metric = counter(
    "forebay_messages_published_total",
    Unit::Count,
    "Messages from publishers that were routed to at least one queue.",
);
/// Returned.
pub const MESSAGES_RETURNED: Metric = counter(
    "forebay_messages_returned_total",
    Unit::Count,
    "Mandatory messages that no queue took, given back to their publishers.",
);
/// Dropped on arrival.
pub const MESSAGES_UNROUTABLE: Metric = counter(
    "forebay_messages_unroutable_dropped_total",
    Unit::Count,
    "Messages that no queue took and that were not mandatory: gone. A binding or a queue is missing.",
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
    "Bytes of published messages on their way to stable storage; at the limit publishers are held.",
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
/// Sync latency.
pub const SYNC_DURATION: Metric = histogram(
    "forebay_sync_duration_seconds",
    Unit::Seconds,
    "The same for those groups alone that waited for stable storage: fsync and the write before it.",
);
/// Group size.
pub const COMMIT_OPERATIONS: Metric = counter(
    "forebay_commit_operations_total",
    Unit::Count,
    "Operations written; divided by the number of commits it is the group size.",
);
/// Queues without metrics of their own.
pub const QUEUES_WITHOUT_METRICS: Metric = gauge(
    "forebay_queues_without_metrics",
    Unit::Count,
    "Queues beyond the limit of queues that have metrics of their own.",
);
/// Queues that are set aside.
pub const QUEUES_DAMAGED: Metric = gauge(
    "forebay_queues_damaged",
    Unit::Count,
    "Queues that are set aside because stored messages of them are damaged: they deliver nothing and refuse what is published to them.",
);
/// Dead letters without a place.
pub const DEAD_LETTERS_DROPPED: Metric = counter(
    "forebay_dead_letters_dropped_total",
    Unit::Count,
    "Dead letters that no queue took: nothing is bound to the dead-letter exchange, it is gone, or they would have gone in circles.",
);
/// Lost.
pub const MESSAGES_MISSING: Metric = counter(
    "forebay_messages_missing_total",
    Unit::Count,
    "Messages that the store should have had and did not: anything but 0 is damage.",
);
/// Schedules.
pub const SCHEDULES: Metric =
    gauge("forebay_schedules", Unit::Count, "Recurring schedules that exist, paused or not.");
/// What they published.
pub const SCHEDULE_MESSAGES: Metric = counter(
    "forebay_schedule_messages_total",
    Unit::Count,
    "Messages of schedules that reached their queues.",
);
/// What they published in vain.
pub const SCHEDULE_MESSAGES_FAILED: Metric = counter(
    "forebay_schedule_messages_failed_total",
    Unit::Count,
    "Messages of schedules that reached no queue or that a queue refused: the exchange is gone, nothing is bound, or a queue is full.",
);
/// What they did not publish.
pub const SCHEDULE_DUE_TIMES_MISSED: Metric = counter(
    "forebay_schedule_due_times_missed_total",
    Unit::Count,
    "Due times of schedules without a message, which passed while the broker was down or its clock was set forward.",
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
    "Bytes of stored messages that are kept in memory for consumers.",
);
/// Transient messages.
pub const VOLATILE: Metric = gauge(
    "forebay_memory_volatile_bytes",
    Unit::Bytes,
    "Bytes that messages which are in memory alone take, with what it takes to keep them.",
);
/// Before the commit.
pub const UNCOMMITTED: Metric = gauge(
    "forebay_memory_uncommitted_bytes",
    Unit::Bytes,
    "Bytes of messages that wait for their commit.",
);
/// Store.
pub const STORE_BYTES: Metric = gauge(
    "forebay_store_bytes",
    Unit::Bytes,
    "Bytes that the store takes on the disk, journals included.",
);
/// Written.
pub const STORE_WRITTEN: Metric = counter(
    "forebay_store_written_bytes_total",
    Unit::Bytes,
    "Bytes of keys and values handed to the journal.",
);
/// Syncs.
pub const STORE_SYNCS: Metric =
    counter("forebay_store_syncs_total", Unit::Count, "Times the store waited for stable storage.");
/// Rounds of the scrub.
pub const SCRUB_ROUNDS: Metric = counter(
    "forebay_scrub_rounds_total",
    Unit::Count,
    "Rounds in which everything in tables was read again to find damage.",
);
/// Its progress.
pub const SCRUB_BYTES: Metric =
    counter("forebay_scrub_bytes_total", Unit::Bytes, "Bytes that were read again to find damage.");
/// What it found.
pub const STORE_FILES_DAMAGED: Metric = gauge(
    "forebay_store_files_damaged",
    Unit::Count,
    "Files of the store that are damaged and still in use; the log names queues and offsets.",
);
/// Free disk.
pub const DISK_AVAILABLE: Metric = gauge(
    "forebay_disk_available_bytes",
    Unit::Bytes,
    "Bytes that are free on the disk of the data directory.",
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
/// Alarms.
pub const ALARM_ACTIVE: Metric = gauge(
    "forebay_alarm_active",
    Unit::Count,
    "1 while this resource is short and publishers wait: disk or memory.",
);
/// Blocked connections.
pub const CONNECTIONS_BLOCKED: Metric = gauge(
    "forebay_connections_blocked",
    Unit::Count,
    "Connections that published during an alarm and are not read until it is over.",
);
/// Paced connections.
pub const CONNECTIONS_PACED: Metric = gauge(
    "forebay_connections_paced",
    Unit::Count,
    "Connections that published faster than a publish rate lets them and wait for their turn.",
);
/// Disk watermark.
pub const DISK_FREE_LIMIT: Metric = gauge(
    "forebay_disk_free_limit_bytes",
    Unit::Bytes,
    "Free space on the disk of the data directory below which publishers wait.",
);
/// Memory watermark.
pub const MEMORY_HIGH_WATERMARK: Metric = gauge(
    "forebay_memory_high_watermark_bytes",
    Unit::Bytes,
    "Resident memory above which publishers wait.",
);
/// Spans that left.
pub const SPANS_EXPORTED: Metric = counter(
    "forebay_otlp_spans_exported_total",
    Unit::Count,
    "Spans of messages that the collector took since the start.",
);
/// Spans that did not.
pub const SPANS_DROPPED: Metric = counter(
    "forebay_otlp_spans_dropped_total",
    Unit::Count,
    "Spans of messages that were dropped since the start: the collector did not take them, or too many waited.",
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

/// All of them, in the order of the documentation.
pub(super) const OF_BROKER: [Metric; 58] = [
    BUILD_INFO,
    CONNECTIONS,
    CONNECTIONS_OPENED,
    LOGINS_ACCEPTED,
    LOGINS_REFUSED,
    CHANNELS,
    CHANNELS_OPENED,
    PUBLISHERS,
    QUEUES,
    QUEUES_DAMAGED,
    CONSUMERS,
    MESSAGES_RECEIVED,
    MESSAGES_PUBLISHED,
    MESSAGES_RETURNED,
    MESSAGES_UNROUTABLE,
    MESSAGES_ENQUEUED,
    MESSAGES_CONFIRMED,
    MESSAGES_DELIVERED,
    MESSAGES_ACKED,
    MESSAGES_REDELIVERED,
    PUBLISH_BUDGET_USED,
    PUBLISH_BUDGET,
    COMMIT_DURATION,
    SYNC_DURATION,
    COMMIT_OPERATIONS,
    QUEUES_WITHOUT_METRICS,
    DEAD_LETTERS_DROPPED,
    MESSAGES_MISSING,
    SCHEDULES,
    SCHEDULE_MESSAGES,
    SCHEDULE_MESSAGES_FAILED,
    SCHEDULE_DUE_TIMES_MISSED,
    MESSAGE_WAIT,
    MESSAGE_PROCESSING,
    MESSAGE_FAILED_DELIVERIES,
    CACHED,
    VOLATILE,
    UNCOMMITTED,
    STORE_BYTES,
    STORE_WRITTEN,
    STORE_SYNCS,
    SCRUB_ROUNDS,
    SCRUB_BYTES,
    STORE_FILES_DAMAGED,
    DISK_AVAILABLE,
    DISK_SIZE,
    MEMORY_LIMIT,
    ALARM_ACTIVE,
    CONNECTIONS_BLOCKED,
    CONNECTIONS_PACED,
    DISK_FREE_LIMIT,
    MEMORY_HIGH_WATERMARK,
    SPANS_EXPORTED,
    SPANS_DROPPED,
    PROCESS_MEMORY,
    PROCESS_FILES,
    PROCESS_FILES_MAX,
    PROCESS_START,
];
