//! What the broker tells of itself. Handles are kept in structs, nothing is looked up by name
//! where messages pass; what the shard knows is asked for when somebody scrapes.

mod alarm_families;
mod broker_rates;
pub mod catalogue;
mod commit;
mod connection_totals;
#[cfg(test)]
mod documentation;
pub mod endpoint;
mod exposition;
mod lag_families;
mod message_stats;
pub(crate) mod process;
mod queue_families;
mod queue_rates;
mod rabbitmq;
mod shard_families;

pub(crate) use broker_rates::BrokerCounts;
pub use broker_rates::BrokerRates;
pub use commit::CommitMetrics;
pub use connection_totals::{ConnectionTotals, OpenShare};
pub(crate) use message_stats::{MESSAGE_COUNTERS, message_counts};
pub(crate) use queue_rates::Flow;
pub use queue_rates::QueueRates;

use crate::otlp::SpanCounts;
use metrics_exporter_prometheus::BuildError;
use std::sync::Arc;

/// What is counted where it happens.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// By the committer.
    pub commit: CommitMetrics,
    /// By the connections.
    pub connections: Arc<ConnectionTotals>,
    /// By the exporter of spans.
    pub spans: Arc<SpanCounts>,
}

impl Metrics {
    /// All at 0.
    ///
    /// # Errors
    /// When the exporter refuses the buckets of a histogram.
    pub fn new() -> Result<Self, BuildError> {
        let (connections, spans) = (Arc::default(), Arc::default());
        Ok(Self { commit: CommitMetrics::new()?, connections, spans })
    }
}
