//! The families with a sample for each queue, up to a number of queues.
//!
//! What the others have is added up under one name of its own, gauges only: a counter of a sum
//! whose members change would jump.

use super::catalogue::{self, Metric};
use super::exposition::{Page, escape};
use super::queue_rates::{QueueRates, lag, settled};
use forebay_engine::shard::{QueueReport, QueueStatistics};

type Value = fn(&QueueStatistics) -> u64;
/// A time in seconds, when it is known.
type Time<'a> = &'a dyn Fn(&QueueReport) -> Option<f64>;
type ByReason = &'static [(&'static str, Value)];

const SIZES: [(&Metric, Value); 9] = [
    (&catalogue::QUEUE_LAG, lag),
    (&catalogue::QUEUE_MESSAGES_READY, |queue| queue.ready),
    (&catalogue::QUEUE_MESSAGES_UNACKED, |queue| queue.unacked),
    (&catalogue::QUEUE_MESSAGES_PARKED, |queue| queue.parked),
    (&catalogue::QUEUE_MESSAGES_DELAYED, |queue| queue.delayed),
    (&catalogue::QUEUE_MESSAGES_BLOCKED, |queue| queue.blocked),
    (&catalogue::QUEUE_GROUPS_HELD, |queue| queue.groups_held),
    (&catalogue::QUEUE_BYTES, |queue| queue.bytes),
    (&catalogue::QUEUE_CONSUMERS, |queue| queue.consumers),
];

const COUNTERS: [(&Metric, Value); 5] = [
    (&catalogue::QUEUE_PUBLISHED, |queue| queue.published),
    (&catalogue::QUEUE_DELIVERED, |queue| queue.delivered),
    (&catalogue::QUEUE_ACKED, settled),
    (&catalogue::QUEUE_EXPIRED, |queue| queue.expired),
    (&catalogue::QUEUE_EXTENDED, |queue| queue.extended),
];

/// Of queues with a deduplication window.
const OF_WINDOWS: [(&Metric, Value); 3] = [
    (&catalogue::QUEUE_DEDUPLICATED, |queue| queue.deduplicated),
    (&catalogue::QUEUE_DEDUP_KEYS, |queue| queue.dedup_keys),
    (&catalogue::QUEUE_DEDUP_KEYS_EVICTED, |queue| queue.dedup_evicted),
];

const COUNTERS_BY_REASON: [(&Metric, ByReason); 3] = [
    (
        &catalogue::QUEUE_REDELIVERED,
        &[
            ("nack", |queue| queue.nacked),
            ("reject", |queue| queue.rejected),
            ("recover", |queue| queue.recovered),
            ("disconnect", |queue| queue.abandoned),
            ("timeout", |queue| queue.timed_out),
            ("close", |queue| queue.returned),
        ],
    ),
    (
        &catalogue::QUEUE_DEAD_LETTERED,
        &[
            ("rejected", |queue| queue.dead_rejected),
            ("expired", |queue| queue.dead_expired),
            ("maxlen", |queue| queue.dead_overflowed),
            ("delivery_limit", |queue| queue.dead_failed),
        ],
    ),
    (
        &catalogue::QUEUE_DROPPED,
        &[
            ("maxlen", |queue| queue.overflowed),
            ("refused", |queue| queue.refused),
            ("delivery_limit", |queue| queue.failed),
            ("purged", |queue| queue.purged),
        ],
    ),
];

/// The labels of what is added up.
const OTHERS: &str = "{vhost=\"(others)\",queue=\"(others)\"}";

/// Adds all families of single queues; at most `queues_max` of them are told apart.
pub(super) fn write(
    page: &mut Page,
    queues: &[QueueReport],
    rates: &QueueRates,
    queues_max: usize,
) {
    let (shown, hidden) = queues.split_at(queues.len().min(queues_max));
    let labels: Vec<String> = shown.iter().map(labels).collect();
    for (metric, value) in SIZES {
        page.family(metric);
        for (queue, labels) in shown.iter().zip(&labels) {
            page.sample(metric.name, labels, value(&queue.statistics));
        }
        if !hidden.is_empty() {
            let sum: u64 = hidden.iter().map(|queue| value(&queue.statistics)).sum();
            page.sample(metric.name, OTHERS, sum);
        }
    }
    for (metric, value) in COUNTERS {
        page.family(metric);
        for (queue, labels) in shown.iter().zip(&labels) {
            page.sample(metric.name, labels, value(&queue.statistics));
        }
    }
    for (metric, reasons) in COUNTERS_BY_REASON {
        page.family(metric);
        for (queue, labels) in shown.iter().zip(&labels) {
            for (reason, value) in reasons {
                let value = value(&queue.statistics);
                page.sample_with(metric.name, labels, ("reason", reason), value);
            }
        }
    }
    page.family(&catalogue::QUEUE_HELD_BACK);
    for (queue, labels) in shown.iter().zip(&labels) {
        if let Some(limit) = queue.statistics.held_back {
            let reason = ("reason", limit.name());
            page.sample_with(catalogue::QUEUE_HELD_BACK.name, labels, reason, 1_u64);
        }
    }
    for (metric, value) in OF_WINDOWS {
        page.family(metric);
        let queues = shown.iter().zip(&labels);
        for (queue, labels) in
            queues.filter(|(queue, _)| queue.record.settings.dedup_window.is_some())
        {
            page.sample(metric.name, labels, value(&queue.statistics));
        }
    }
    // Of all queues: which one it is must be told however many there are.
    page.family(&catalogue::QUEUE_DAMAGED);
    for queue in queues.iter().filter(|queue| queue.state.is_damaged()) {
        page.sample(catalogue::QUEUE_DAMAGED.name, &self::labels(queue), 1_u64);
    }
    // Of all queues, too: a pause that somebody forgot.
    page.family(&catalogue::QUEUE_PAUSED);
    for queue in queues.iter().filter(|queue| queue.record.pause.is_some()) {
        page.sample(catalogue::QUEUE_PAUSED.name, &self::labels(queue), 1_u64);
    }
    write_times(page, shown, &labels, rates);
    page.single(&catalogue::QUEUES_WITHOUT_METRICS, hidden.len() as u64);
}

fn write_times(page: &mut Page, shown: &[QueueReport], labels: &[String], rates: &QueueRates) {
    let families: [(&Metric, Time<'_>); 5] = [
        (&catalogue::QUEUE_OLDEST_AGE, &|queue| {
            age(lag(&queue.statistics), queue.statistics.oldest_age)
        }),
        (&catalogue::QUEUE_HEAD_WAIT, &|queue| {
            age(queue.statistics.ready, queue.statistics.head_age)
        }),
        (&catalogue::QUEUE_DELAYED_NEXT_DUE, &|queue| {
            queue.statistics.next_delayed.map(|due| due.0 as f64 / 1000.0)
        }),
        (&catalogue::QUEUE_DRAIN, &|queue| Some(rates.drain_seconds(queue))),
        (&catalogue::QUEUE_UTILISATION, &|queue| Some(rates.utilisation(queue))),
    ];
    for (metric, value) in families {
        page.family(metric);
        for (queue, labels) in shown.iter().zip(labels) {
            if let Some(value) = value(queue) {
                page.sample(metric.name, labels, value);
            }
        }
    }
}

/// In seconds; nothing where there are messages and nobody knows.
fn age(messages: u64, milliseconds: Option<u64>) -> Option<f64> {
    if messages == 0 {
        return Some(0.0);
    }
    milliseconds.map(|age| age as f64 / 1000.0)
}

/// Labels in braces.
pub(super) fn labels(queue: &QueueReport) -> String {
    let mut labels = String::from("{vhost=\"");
    escape(&mut labels, &queue.record.vhost.to_string());
    labels.push_str("\",queue=\"");
    escape(&mut labels, &queue.record.name.to_string());
    labels.push_str("\"}");
    labels
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use forebay_engine::model::{QueueId, WallClock};
    use forebay_engine::shard::QueueState;
    use forebay_engine::topology::{Pause, QueueRecord};
    use std::sync::Arc;

    /// A queue "q" and its number.
    pub(in crate::metrics) fn report_of(number: u64, statistics: QueueStatistics) -> QueueReport {
        let record = QueueRecord {
            id: QueueId(number),
            vhost: "/".try_into().unwrap(),
            name: format!("q{number}").as_str().try_into().unwrap(),
            durable: true,
            exclusive_owner: None,
            auto_delete: false,
            arguments: Default::default(),
            settings: Default::default(),
            policy: None,
            operator_policy: None,
            pause: None,
        };
        QueueReport { record: Arc::new(record), statistics, state: Default::default() }
    }

    fn report(number: u64) -> QueueReport {
        let statistics = QueueStatistics { ready: 2, unacked: 1, acked: 5, ..Default::default() };
        report_of(number, statistics)
    }

    #[test]
    fn queues_beyond_the_limit_are_added_up_and_counted() {
        let queues: Vec<_> = (0..13).map(report).collect();
        let mut page = Page::default();
        write(&mut page, &queues, &QueueRates::default(), 10);
        let text = page.into_text();
        assert!(text.contains("forebay_queue_lag_messages{vhost=\"/\",queue=\"q0\"} 3\n"));
        assert!(text.contains(&format!("forebay_queue_lag_messages{OTHERS} 9\n")));
        assert!(text.contains("forebay_queues_without_metrics 3\n"));
        assert!(!text.contains(&format!("forebay_queue_messages_acked_total{OTHERS}")));
    }

    #[test]
    fn a_damaged_queue_is_named_beyond_the_limit_too_and_no_other_is() {
        let mut queues: Vec<_> = (0..13).map(report).collect();
        queues[12].state = QueueState::Damaged("a page is damaged".into());
        let mut page = Page::default();
        write(&mut page, &queues, &QueueRates::default(), 10);
        let text = page.into_text();
        assert!(text.contains("forebay_queue_damaged{vhost=\"/\",queue=\"q12\"} 1\n"), "{text}");
        assert_eq!(text.matches("forebay_queue_damaged{").count(), 1);
    }

    #[test]
    fn a_paused_queue_is_named_beyond_the_limit_too_and_no_other_is() {
        let mut queues: Vec<_> = (0..13).map(report).collect();
        let pause = Pause { since: WallClock(1), by: "operator".try_into().unwrap() };
        Arc::make_mut(&mut queues[12].record).pause = Some(pause);
        let mut page = Page::default();
        write(&mut page, &queues, &QueueRates::default(), 10);
        let text = page.into_text();
        assert!(text.contains("forebay_queue_paused{vhost=\"/\",queue=\"q12\"} 1\n"), "{text}");
        assert_eq!(text.matches("forebay_queue_paused{").count(), 1);
    }

    #[test]
    fn what_came_back_is_told_by_the_way_that_it_came() {
        let statistics = QueueStatistics { nacked: 2, rejected: 3, ..Default::default() };
        let mut page = Page::default();
        write(&mut page, &[report_of(1, statistics)], &QueueRates::default(), 10);
        let text = page.into_text();
        for (reason, count) in [("nack", 2), ("reject", 3), ("recover", 0)] {
            let labels = format!("{{vhost=\"/\",queue=\"q1\",reason=\"{reason}\"}}");
            let sample = format!("forebay_queue_messages_redelivered_total{labels} {count}\n");
            assert!(text.contains(&sample), "{text}");
        }
    }

    #[test]
    fn an_age_that_nobody_knows_is_not_shown() {
        let mut page = Page::default();
        write(&mut page, &[report(1)], &QueueRates::default(), 10);
        let text = page.into_text();
        assert!(!text.contains("forebay_queue_oldest_message_age_seconds{"));
        assert!(text.contains("forebay_queue_drain_seconds{vhost=\"/\",queue=\"q1\"} +Inf\n"));
    }
}
