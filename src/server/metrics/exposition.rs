//! The figures of single queues as Prometheus text. Written directly and not kept in the
//! recorder: a queue that is gone is gone from the next scrape.

use super::catalogue::{self, Metric};
use crate::limits::METRICS_QUEUES_MAX;
use forebay_engine::shard::QueueReport;
use forebay_engine::shard::QueueStatistics;
use std::fmt::Write;

type Value = fn(&QueueStatistics) -> u64;

const FAMILIES: [(&Metric, Value); 3] = [
    (&catalogue::QUEUE_MESSAGES_READY, |queue| queue.ready),
    (&catalogue::QUEUE_MESSAGES_UNACKED, |queue| queue.unacked),
    (&catalogue::QUEUE_CONSUMERS, |queue| queue.consumers),
];

/// Adds the families of all queues, up to [`METRICS_QUEUES_MAX`] of them, to `text`.
pub(super) fn write_queues(text: &mut String, queues: &[QueueReport]) {
    let shown = queues.get(..METRICS_QUEUES_MAX).unwrap_or(queues);
    let labels: Vec<String> = shown.iter().map(labels).collect();
    for (metric, value) in FAMILIES {
        write_header(text, metric);
        for (queue, labels) in shown.iter().zip(&labels) {
            write_sample(text, metric, labels, value(&queue.statistics));
        }
    }
    write_header(text, &catalogue::QUEUES_WITHOUT_METRICS);
    let hidden = (queues.len() - shown.len()) as u64;
    write_sample(text, &catalogue::QUEUES_WITHOUT_METRICS, "", hidden);
}

fn write_header(text: &mut String, metric: &Metric) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "# HELP {} {}", metric.name, metric.help);
    let _ = writeln!(text, "# TYPE {} {}", metric.name, metric.kind.name());
}

fn write_sample(text: &mut String, metric: &Metric, labels: &str, value: u64) {
    let _ = writeln!(text, "{}{labels} {value}", metric.name);
}

fn labels(queue: &QueueReport) -> String {
    let mut labels = String::from("{vhost=\"");
    escape(&mut labels, &queue.vhost.to_string());
    labels.push_str("\",queue=\"");
    escape(&mut labels, &queue.name.to_string());
    labels.push_str("\"}");
    labels
}

fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = String::new();
        escape(&mut text, "a\"b\\c\nd");
        assert_eq!(text, "a\\\"b\\\\c\\nd");
    }
}
