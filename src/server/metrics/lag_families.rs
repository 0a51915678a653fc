//! What lag is normal for each queue, and what is wrong with it.

use super::catalogue::{self, Metric};
use super::exposition::Page;
use super::queue_families::labels;
use super::queue_rates::lag;
use crate::lag::QueueLag;
use forebay_engine::model::QueueId;
use forebay_engine::shard::QueueReport;
use forebay_lag::Symptom;
use std::collections::HashMap;

const DAY_SECONDS: f64 = 86_400.0;

type Value = fn(&QueueReport, &QueueLag) -> Option<f64>;

const VALUES: [(&Metric, Value); 10] = [
    (&catalogue::QUEUE_LAG_NORMAL_PEAK, |_, lag| lag.assessment.normal_peak),
    (&catalogue::QUEUE_LAG_ALERT_LINE, |_, lag| lag.assessment.line),
    (&catalogue::QUEUE_LAG_RATIO, |queue, now| now.assessment.ratio(lag(&queue.statistics))),
    (&catalogue::QUEUE_LAG_ABOVE_LINE, |_, lag| {
        Some(lag.assessment.above_since.map_or(0, |since| lag.at.saturating_sub(since)) as f64)
    }),
    (&catalogue::QUEUE_LAG_HISTORY, |_, lag| Some(lag.days as f64 * DAY_SECONDS)),
    (&catalogue::QUEUE_DRAIN_LINE, |_, lag| lag.assessment.drain_line_seconds),
    (&catalogue::QUEUE_OLDEST_AGE_LINE, |_, lag| lag.assessment.age_line_seconds),
    (&catalogue::QUEUE_NEEDED, |_, lag| lag.assessment.needed_seconds),
    (&catalogue::QUEUE_SERVICE, |_, lag| lag.assessment.service_seconds),
    (&catalogue::QUEUE_STALL_LINE, |_, lag| lag.assessment.stall_line_seconds),
];

/// Adds them: of at most `queues_max` queues, but the symptoms of all.
pub(super) fn write(
    page: &mut Page,
    queues: &[QueueReport],
    lag: &HashMap<QueueId, QueueLag>,
    queues_max: usize,
) {
    // A queue that was made since the last look has none yet.
    let known = || queues.iter().filter_map(|queue| Some((queue, lag.get(&queue.record.id)?)));
    let shown: Vec<_> =
        known().take(queues_max).map(|(queue, now)| (queue, now, labels(queue))).collect();
    page.family(&catalogue::QUEUE_INFO);
    for (_, now, labels) in &shown {
        page.sample_with(catalogue::QUEUE_INFO.name, labels, ("role", now.role.name()), 1_u64);
    }
    for (metric, value) in VALUES {
        page.family(metric);
        for (queue, now, labels) in &shown {
            if let Some(value) = value(queue, now) {
                page.sample(metric.name, labels, value);
            }
        }
    }
    page.family(&catalogue::QUEUE_SYMPTOM);
    for (queue, now) in known().filter(|(_, now)| now.assessment.has_any()) {
        let labels = labels(queue);
        for symptom in Symptom::ALL.into_iter().filter(|symptom| now.assessment.has(*symptom)) {
            page.sample_with(
                catalogue::QUEUE_SYMPTOM.name,
                &labels,
                ("symptom", symptom.name()),
                1_u64,
            );
        }
    }
}
