//! What is counted of a queue's messages, under the names of RabbitMQ's `message_stats`.

use forebay_engine::shard::QueueStatistics;

/// A counter and its name.
pub(crate) struct MessageCounter {
    pub(crate) name: &'static str,
    pub(crate) value: fn(&QueueStatistics) -> u64,
}

const fn counter(name: &'static str, value: fn(&QueueStatistics) -> u64) -> MessageCounter {
    MessageCounter { name, value }
}

/// How many [`MESSAGE_COUNTERS`] there are.
const MESSAGE_COUNTERS_COUNT: usize = 9;

/// All of them, by name.
pub(crate) const MESSAGE_COUNTERS: [MessageCounter; MESSAGE_COUNTERS_COUNT] = [
    counter("ack", |queue| queue.acked),
    counter("deliver", |queue| {
        let gets = queue.got.saturating_sub(queue.got_no_ack);
        queue.delivered.saturating_sub(queue.delivered_no_ack).saturating_sub(gets)
    }),
    counter("deliver_get", |queue| queue.delivered),
    counter("deliver_no_ack", |queue| queue.delivered_no_ack.saturating_sub(queue.got_no_ack)),
    counter("get", |queue| queue.got.saturating_sub(queue.got_no_ack)),
    counter("get_empty", |queue| queue.gets_empty),
    counter("get_no_ack", |queue| queue.got_no_ack),
    counter("publish", |queue| queue.published),
    counter("redeliver", |queue| queue.redelivered),
];

/// A value for each of [`MESSAGE_COUNTERS`].
pub(crate) type PerCounter<T> = [T; MESSAGE_COUNTERS_COUNT];

/// What a queue, or several added up, counted.
pub(crate) fn message_counts(statistics: &QueueStatistics) -> PerCounter<u64> {
    MESSAGE_COUNTERS.map(|counter| (counter.value)(statistics))
}
