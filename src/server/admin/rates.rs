//! How fast queues' counters grow: between two looks that lie at least some seconds apart, taken
//! when somebody asks.

use crate::limits::ADMIN_RATES_INTERVAL_MIN;
use forebay_engine::ids::QueueId;
use forebay_engine::shard::{QueueStatistics, ShardStatistics};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Counters of one look, and the rates since the one before.
#[derive(Debug, Default)]
pub(super) struct Rates {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: Option<Instant>,
    queues: HashMap<QueueId, Sample>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    counters: QueueStatistics,
    rate: QueueRates,
}

/// Events of one queue per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct QueueRates {
    pub(super) published: f64,
    pub(super) delivered: f64,
    pub(super) acked: f64,
    pub(super) redelivered: f64,
}

impl Rates {
    /// The rates by queue, renewed when the last look is old enough.
    pub(super) fn renew(&self, statistics: &ShardStatistics) -> HashMap<QueueId, QueueRates> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = state.taken.map(|taken| taken.elapsed());
        if elapsed.is_none_or(|elapsed| elapsed >= ADMIN_RATES_INTERVAL_MIN) {
            let seconds = elapsed.map_or(0.0, |elapsed| elapsed.as_secs_f64());
            let queues = statistics.queues.iter().map(|queue| {
                let before = state.queues.get(&queue.id).map(|sample| sample.counters);
                let rate = before.map(|before| rate(&before, &queue.statistics, seconds));
                (queue.id, Sample { counters: queue.statistics, rate: rate.unwrap_or_default() })
            });
            state.queues = queues.collect();
            state.taken = Some(Instant::now());
        }
        state.queues.iter().map(|(queue, sample)| (*queue, sample.rate)).collect()
    }
}

fn rate(before: &QueueStatistics, after: &QueueStatistics, seconds: f64) -> QueueRates {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let per_second = |before: u64, after: u64| {
        if seconds > 0.0 { after.saturating_sub(before) as f64 / seconds } else { 0.0 }
    };
    QueueRates {
        published: per_second(before.published, after.published),
        delivered: per_second(before.delivered, after.delivered),
        acked: per_second(before.acked, after.acked),
        redelivered: per_second(before.redelivered, after.redelivered),
    }
}
