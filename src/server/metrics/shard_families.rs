//! The families of the shard as a whole and of the store.

use super::catalogue;
use super::exposition::{Page, Scale};
use forebay_engine::shard::{QueueStatistics, ShardStatistics};
use forebay_store::Statistics;

/// Adds them; without the figures of the store when it has just been closed.
pub(super) fn write(page: &mut Page, shard: &ShardStatistics, store: Option<&Statistics>) {
    let timings = &shard.timings;
    page.distribution(&catalogue::MESSAGE_WAIT, Scale::Milliseconds, &timings.waited);
    page.distribution(&catalogue::MESSAGE_PROCESSING, Scale::Milliseconds, &timings.processed);
    page.distribution(&catalogue::MESSAGE_FAILED_DELIVERIES, Scale::Count, &timings.failures);
    let sum = |value: fn(&QueueStatistics) -> u64| -> u64 {
        shard.queues.iter().map(|queue| value(&queue.statistics)).sum()
    };
    // With what was counted by queues that are gone: a counter never goes backwards.
    let total = |value: fn(&QueueStatistics) -> u64| sum(value) + value(&shard.gone);
    let damaged = shard.queues.iter().filter(|queue| queue.state.is_damaged()).count();
    let schedules = &shard.schedules;
    let families = [
        (&catalogue::QUEUES, shard.queues.len() as u64),
        (&catalogue::QUEUES_DAMAGED, damaged as u64),
        (&catalogue::CONSUMERS, sum(|queue| queue.consumers)),
        (&catalogue::MESSAGES_ENQUEUED, total(|queue| queue.published)),
        (&catalogue::MESSAGES_DELIVERED, total(|queue| queue.delivered)),
        (&catalogue::MESSAGES_ACKED, total(|queue| queue.acked)),
        (&catalogue::MESSAGES_REDELIVERED, total(|queue| queue.redelivered)),
        (&catalogue::DEAD_LETTERS_DROPPED, total(|queue| queue.dead_dropped)),
        (&catalogue::MESSAGES_MISSING, total(|queue| queue.missing)),
        (&catalogue::SCHEDULES, schedules.schedules),
        (&catalogue::SCHEDULE_MESSAGES, schedules.fired),
        (&catalogue::SCHEDULE_MESSAGES_FAILED, schedules.failed),
        (&catalogue::SCHEDULE_DUE_TIMES_MISSED, schedules.missed),
        (&catalogue::CACHED, shard.cached_bytes),
        (&catalogue::VOLATILE, shard.volatile_bytes),
        (&catalogue::UNCOMMITTED, shard.uncommitted_bytes),
    ];
    for (metric, value) in families {
        page.single(metric, value);
    }
    if let Some(store) = store {
        write_store(page, store);
    }
}

fn write_store(page: &mut Page, store: &Statistics) {
    let families = [
        (&catalogue::STORE_BYTES, store.disk_bytes),
        (&catalogue::STORE_WRITTEN, store.bytes_written),
        (&catalogue::STORE_SYNCS, store.synced),
        (&catalogue::SCRUB_ROUNDS, store.scrub_rounds),
        (&catalogue::SCRUB_BYTES, store.scrub_bytes),
        (&catalogue::STORE_FILES_DAMAGED, store.files_damaged),
    ];
    for (metric, value) in families {
        page.single(metric, value);
    }
}
