//! Every metric that the broker exposes: name, kind, unit and help in one place. A name that is
//! not here is not exposed.

mod broker;
mod queue;

pub use broker::*;
pub use queue::*;

use metrics::Unit;

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes either way.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

impl Kind {
    /// As in the text exposition format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// The name as scraped.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What one is.
    pub unit: Unit,
    /// What it tells an operator.
    pub help: &'static str,
}

const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit, help }
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, help }
}

const fn histogram(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, unit, help }
}

/// All of them, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    OF_BROKER.iter().chain(&OF_QUEUES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_follow_prometheus_habits() {
        let names: BTreeSet<_> = all().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all().count());
        for metric in all() {
            let is_ours = metric.name.starts_with("forebay_");
            assert!(is_ours || metric.name.starts_with("process_"), "{}", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{}",
                metric.name
            );
            let says = |part| metric.name.contains(part);
            assert!(metric.unit != Unit::Seconds || says("_seconds"), "{}", metric.name);
            assert!(metric.unit != Unit::Bytes || says("_bytes"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
