//! What the broker tells of itself. Handles are kept in structs, nothing is looked up by name
//! where messages pass; what the shard knows is asked for when somebody scrapes.

pub mod catalogue;
#[cfg(test)]
mod documentation;
pub mod endpoint;
mod exposition;
mod process;
mod queue_families;
mod queue_rates;
mod rabbitmq;
mod shard_families;

use catalogue::{Kind, Metric};
use forebay_engine::shard::QueueStatistics;
use forebay_engine::shard::ShardStatistics;
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds of the commit histogram, in seconds: from a fast disk to one in trouble.
const COMMIT_BUCKETS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// The handles of all metrics that are counted where things happen, or set on a scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// For the committer.
    pub commit: CommitMetrics,
    /// Counted by the connections.
    pub logins_refused: Counter,
    /// Open channels, counted by the connections.
    pub channels: Gauge,
    /// Messages published to a queue, counted by the connections.
    pub published: Counter,
    /// Messages confirmed, counted by the connections.
    pub confirmed: Counter,
    published_count: Arc<AtomicU64>,
    confirmed_count: Arc<AtomicU64>,
    channels_count: Arc<AtomicU64>,
    scraped: ScrapedMetrics,
    handle: PrometheusHandle,
}

/// What the committer counts.
#[derive(Clone, Debug)]
pub struct CommitMetrics {
    duration: Histogram,
    operations: Counter,
}

#[derive(Clone, Debug)]
struct ScrapedMetrics {
    connections: Gauge,
    connections_opened: Counter,
    channels: Gauge,
    published: Counter,
    confirmed: Counter,
    queues: Gauge,
    consumers: Gauge,
    enqueued: Counter,
    delivered: Counter,
    acked: Counter,
    redelivered: Counter,
    budget_used: Gauge,
}

impl Metrics {
    /// Registers every metric, so that each is there from the first scrape.
    ///
    /// # Errors
    /// When the exporter refuses the buckets.
    pub fn new() -> Result<Self, BuildError> {
        let duration = Matcher::Full(catalogue::COMMIT_DURATION.name.to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(duration, &COMMIT_BUCKETS)?
            .build_recorder();
        let version = Label::new("version", env!("CARGO_PKG_VERSION"));
        gauge(&recorder, &catalogue::BUILD_INFO, vec![version]).set(1.0);
        let budget = gauge(&recorder, &catalogue::PUBLISH_BUDGET, Vec::new());
        budget.set(crate::limits::PUBLISH_BUDGET_OCTETS_MAX as f64);
        let [published_count, confirmed_count, channels_count] =
            std::array::from_fn(|_| Arc::new(AtomicU64::new(0)));
        let counter = |metric| counter(&recorder, metric);
        let gauge = |metric| gauge(&recorder, metric, Vec::new());
        Ok(Self {
            commit: CommitMetrics {
                duration: histogram(&recorder, &catalogue::COMMIT_DURATION),
                operations: counter(&catalogue::COMMIT_OPERATIONS),
            },
            logins_refused: counter(&catalogue::LOGINS_REFUSED),
            channels: Gauge::from_arc(Arc::clone(&channels_count)),
            published: Counter::from_arc(Arc::clone(&published_count)),
            confirmed: Counter::from_arc(Arc::clone(&confirmed_count)),
            published_count,
            confirmed_count,
            channels_count,
            scraped: ScrapedMetrics {
                connections: gauge(&catalogue::CONNECTIONS),
                connections_opened: counter(&catalogue::CONNECTIONS_OPENED),
                channels: gauge(&catalogue::CHANNELS),
                published: counter(&catalogue::MESSAGES_PUBLISHED),
                confirmed: counter(&catalogue::MESSAGES_CONFIRMED),
                queues: gauge(&catalogue::QUEUES),
                consumers: gauge(&catalogue::CONSUMERS),
                enqueued: counter(&catalogue::MESSAGES_ENQUEUED),
                delivered: counter(&catalogue::MESSAGES_DELIVERED),
                acked: counter(&catalogue::MESSAGES_ACKED),
                redelivered: counter(&catalogue::MESSAGES_REDELIVERED),
                budget_used: gauge(&catalogue::PUBLISH_BUDGET_USED),
            },
            handle: recorder.handle(),
        })
    }

    /// Messages routed to a queue so far.
    fn published_total(&self) -> u64 {
        self.published_count.load(Ordering::Relaxed)
    }

    /// Messages confirmed so far.
    fn confirmed_total(&self) -> u64 {
        self.confirmed_count.load(Ordering::Relaxed)
    }

    /// Channels that are open; the gauge keeps the bits of a float.
    fn channels_open(&self) -> f64 {
        f64::from_bits(self.channels_count.load(Ordering::Relaxed))
    }

    /// Shows what was counted outside the recorder.
    fn show_counted(&self) {
        self.scraped.published.absolute(self.published_total());
        self.scraped.confirmed.absolute(self.confirmed_total());
        self.scraped.channels.set(self.channels_open());
    }

    /// Folds the histograms' newest observations, so that they take no more memory while nobody
    /// scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl ScrapedMetrics {
    fn set(&self, statistics: &ShardStatistics) {
        let sum = |value: fn(&QueueStatistics) -> u64| -> u64 {
            statistics.queues.iter().map(|queue| value(&queue.statistics)).sum()
        };
        // With what was counted by queues that are gone: a counter never goes backwards.
        let total = |value: fn(&QueueStatistics) -> u64| sum(value) + value(&statistics.gone);
        self.queues.set(statistics.queues.len() as f64);
        self.consumers.set(sum(|queue| queue.consumers) as f64);
        self.enqueued.absolute(total(|queue| queue.published));
        self.delivered.absolute(total(|queue| queue.delivered));
        self.acked.absolute(total(|queue| queue.acked));
        self.redelivered.absolute(total(|queue| queue.redelivered));
    }
}

/// How many channels one connection has open, counted into a gauge of all; taken back when
/// dropped.
#[derive(Debug)]
pub struct ChannelCount {
    gauge: Gauge,
    count: usize,
}

impl ChannelCount {
    /// None so far.
    #[must_use]
    pub fn new(gauge: Gauge) -> Self {
        Self { gauge, count: 0 }
    }

    /// So many now.
    pub fn set(&mut self, count: usize) {
        if count != self.count {
            self.gauge.increment(count as f64 - self.count as f64);
            self.count = count;
        }
    }
}

impl Drop for ChannelCount {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl CommitMetrics {
    /// One commit was written.
    pub fn record(&self, operations: usize, duration: Duration) {
        self.duration.record(duration.as_secs_f64());
        self.operations.increment(operations as u64);
    }
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

fn counter(recorder: &PrometheusRecorder, metric: &Metric) -> Counter {
    debug_assert_eq!(metric.kind, Kind::Counter);
    recorder.describe_counter(metric.name.into(), Some(metric.unit), metric.help.into());
    recorder.register_counter(&Key::from_name(metric.name), &METADATA)
}

fn gauge(recorder: &PrometheusRecorder, metric: &Metric, labels: Vec<Label>) -> Gauge {
    debug_assert_eq!(metric.kind, Kind::Gauge);
    recorder.describe_gauge(metric.name.into(), Some(metric.unit), metric.help.into());
    recorder.register_gauge(&Key::from_parts(metric.name, labels), &METADATA)
}

fn histogram(recorder: &PrometheusRecorder, metric: &Metric) -> Histogram {
    debug_assert_eq!(metric.kind, Kind::Histogram);
    recorder.describe_histogram(metric.name.into(), Some(metric.unit), metric.help.into());
    recorder.register_histogram(&Key::from_name(metric.name), &METADATA)
}
