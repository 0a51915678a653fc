//! What the committer measures.

use super::catalogue::{self, Kind, Metric};
use super::exposition::Page;
use forebay_engine::operation::Durability;
use metrics::{Counter, Histogram, Key, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::time::Duration;

/// Bounds in seconds: from a fast disk to one in trouble.
const BUCKETS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// Handles for the committer. Clones are the same.
#[derive(Clone, Debug)]
pub struct CommitMetrics {
    duration: Histogram,
    sync_duration: Histogram,
    operations: Counter,
    handle: PrometheusHandle,
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

impl CommitMetrics {
    /// Registers them, so that each is there from the first scrape.
    ///
    /// # Errors
    /// When the exporter refuses the buckets.
    pub fn new() -> Result<Self, BuildError> {
        let named = |metric: &Metric| Matcher::Full(metric.name.to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(named(&catalogue::COMMIT_DURATION), &BUCKETS)?
            .set_buckets_for_metric(named(&catalogue::SYNC_DURATION), &BUCKETS)?
            .build_recorder();
        Ok(Self {
            duration: histogram(&recorder, &catalogue::COMMIT_DURATION),
            sync_duration: histogram(&recorder, &catalogue::SYNC_DURATION),
            operations: counter(&recorder, &catalogue::COMMIT_OPERATIONS),
            handle: recorder.handle(),
        })
    }

    /// One commit was written, as durable as it asked to be.
    pub fn record(&self, operations: usize, durability: Durability, duration: Duration) {
        self.duration.record(duration.as_secs_f64());
        if durability == Durability::Synced {
            self.sync_duration.record(duration.as_secs_f64());
        }
        self.operations.increment(operations as u64);
    }

    /// Folds the newest observations, so that they take no more memory while nobody scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// A page with these families alone.
    pub(super) fn page(&self) -> Page {
        Page::after(self.handle.render())
    }
}

fn counter(recorder: &PrometheusRecorder, metric: &Metric) -> Counter {
    debug_assert_eq!(metric.kind, Kind::Counter);
    recorder.describe_counter(metric.name.into(), Some(metric.unit), metric.help.into());
    recorder.register_counter(&Key::from_name(metric.name), &METADATA)
}

fn histogram(recorder: &PrometheusRecorder, metric: &Metric) -> Histogram {
    debug_assert_eq!(metric.kind, Kind::Histogram);
    recorder.describe_histogram(metric.name.into(), Some(metric.unit), metric.help.into());
    recorder.register_histogram(&Key::from_name(metric.name), &METADATA)
}
