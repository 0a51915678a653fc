//! The families of the shard as a whole and of the store.

use super::catalogue;
use super::exposition::{Page, Scale};
use forebay_engine::shard::ShardStatistics;
use forebay_store::Statistics;

/// Adds them.
pub(super) fn write(page: &mut Page, shard: &ShardStatistics, store: &Statistics) {
    let timings = &shard.timings;
    page.distribution(&catalogue::MESSAGE_WAIT, Scale::Milliseconds, &timings.waited);
    page.distribution(&catalogue::MESSAGE_PROCESSING, Scale::Milliseconds, &timings.processed);
    page.distribution(&catalogue::MESSAGE_FAILED_DELIVERIES, Scale::Count, &timings.failures);
    let missing: u64 = shard.queues.iter().map(|queue| queue.statistics.missing).sum();
    let families = [
        (&catalogue::MESSAGES_MISSING, missing + shard.gone.missing),
        (&catalogue::CACHED, shard.cached_octets),
        (&catalogue::VOLATILE, shard.volatile_octets),
        (&catalogue::UNCOMMITTED, shard.uncommitted_octets),
        (&catalogue::STORE_BYTES, store.disk_octets),
        (&catalogue::STORE_WRITTEN, store.octets_written),
        (&catalogue::STORE_SYNCS, store.synced),
    ];
    for (metric, value) in families {
        page.single(metric, value as f64);
    }
}
