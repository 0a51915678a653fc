//! What a run came to.

use super::super::table;
use super::Fault;
use super::seen::Seen;
use super::stamp::Source;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];

/// Microseconds up to ten minutes, three digits.
pub(super) fn latencies() -> Histogram<u64> {
    // The bounds are constants that the constructor accepts.
    Histogram::new_with_bounds(1, 600_000_000, 3).unwrap_or_else(|_| unreachable!("valid bounds"))
}

/// What became of messages, as their publisher was told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcomes {
    pub(super) confirmed: u64,
    pub(super) returned: u64,
    pub(super) nacked: u64,
    pub(super) unknown: u64,
}

pub(super) struct Produced {
    pub(super) source: Source,
    pub(super) sent: u64,
    pub(super) outcomes: Outcomes,
    /// What must arrive.
    pub(super) expected: Seen,
    pub(super) latencies: Histogram<u64>,
    /// Why it ended early.
    pub(super) fault: Option<Fault>,
}

impl Produced {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            sent: 0,
            outcomes: Outcomes::default(),
            expected: Seen::default(),
            latencies: latencies(),
            fault: None,
        }
    }
}

pub(super) struct Consumed {
    pub(super) received: u64,
    pub(super) redelivered: u64,
    /// Came twice to this consumer.
    pub(super) twice: u64,
    pub(super) seen: HashMap<Source, Seen>,
    pub(super) latencies: Histogram<u64>,
    /// Why it ended early.
    pub(super) fault: Option<Fault>,
}

pub(super) struct Report {
    producers: u16,
    consumers: u32,
    sent: u64,
    outcomes: Outcomes,
    received: u64,
    redelivered: u64,
    twice: u64,
    expected: HashMap<Source, Seen>,
    seen: HashMap<Source, Seen>,
    confirm: Histogram<u64>,
    delivery: Histogram<u64>,
    /// Until the last confirm.
    pub(super) publish_time: Duration,
    /// Until the last delivery.
    pub(super) total_time: Duration,
    /// A signal ended it before its time.
    pub(super) is_interrupted: bool,
    /// Why producers and consumers ended early.
    pub(super) faults: Vec<Fault>,
}

impl Report {
    pub(super) fn new(producers: u16) -> Self {
        Self {
            producers,
            consumers: 0,
            sent: 0,
            outcomes: Outcomes::default(),
            received: 0,
            redelivered: 0,
            twice: 0,
            expected: HashMap::new(),
            seen: HashMap::new(),
            confirm: latencies(),
            delivery: latencies(),
            publish_time: Duration::ZERO,
            total_time: Duration::ZERO,
            is_interrupted: false,
            faults: Vec::new(),
        }
    }

    pub(super) fn add_produced(&mut self, produced: Produced) {
        self.sent += produced.sent;
        self.outcomes.confirmed += produced.outcomes.confirmed;
        self.outcomes.returned += produced.outcomes.returned;
        self.outcomes.nacked += produced.outcomes.nacked;
        self.outcomes.unknown += produced.outcomes.unknown;
        self.expected.insert(produced.source, produced.expected);
        self.faults.extend(produced.fault);
        // Histograms with equal bounds always add up.
        let _ = self.confirm.add(&produced.latencies);
    }

    pub(super) fn add_consumed(&mut self, consumed: Consumed) {
        self.consumers += 1;
        self.received += consumed.received;
        self.redelivered += consumed.redelivered;
        self.twice += consumed.twice;
        for (source, seen) in consumed.seen {
            self.twice += self.seen.entry(source).or_default().merge(&seen);
        }
        self.faults.extend(consumed.fault);
        let _ = self.delivery.add(&consumed.latencies);
    }

    /// Confirmed (without confirms: sent) and never received; `None` without consumers.
    fn never(&self) -> Option<u64> {
        let nothing = Seen::default();
        let missing = |(source, expected): (&Source, &Seen)| {
            expected.missing_in(self.seen.get(source).unwrap_or(&nothing))
        };
        (self.consumers > 0 && self.producers > 0).then(|| self.expected.iter().map(missing).sum())
    }

    /// No message was lost, refused, or of unknown fate.
    pub(super) fn is_clean(&self) -> bool {
        let Outcomes { returned, nacked, unknown, .. } = self.outcomes;
        self.never().unwrap_or(0) == 0 && returned + nacked + unknown == 0 && self.faults.is_empty()
    }

    fn publish_rate(&self) -> f64 {
        self.sent as f64 / self.publish_time.as_secs_f64().max(1e-9)
    }

    fn receive_rate(&self) -> f64 {
        self.received as f64 / self.total_time.as_secs_f64().max(1e-9)
    }

    pub(super) fn json(&self) -> Value {
        let Outcomes { confirmed, returned, nacked, unknown } = self.outcomes;
        json!({
            "sent": self.sent,
            "confirmed": confirmed,
            "returned": returned,
            "nacked": nacked,
            "unknown": unknown,
            "received": self.received,
            "redelivered": self.redelivered,
            "received_twice": self.twice,
            "never_received": self.never(),
            "publish_seconds": self.publish_time.as_secs_f64(),
            "total_seconds": self.total_time.as_secs_f64(),
            "publish_rate": self.publish_rate(),
            "receive_rate": self.receive_rate(),
            "confirm_latency_ms": percentiles(&self.confirm),
            "delivery_latency_ms": percentiles(&self.delivery),
        })
    }

    pub(super) fn text(&self, width: Option<u16>) -> String {
        let Outcomes { confirmed, returned, nacked, unknown } = self.outcomes;
        let never = self.never().map_or_else(|| "not known".to_owned(), |never| never.to_string());
        let rate = |messages: u64, rate: f64, time: Duration| {
            format!("{messages:>12}   {rate:>10.0}/s for {:.1} s", time.as_secs_f64())
        };
        let refused = format!("returned {returned}, nacked {nacked}, unknown {unknown}");
        let mut rows = vec![
            ("sent", rate(self.sent, self.publish_rate(), self.publish_time)),
            ("confirmed", format!("{confirmed:>12}   {refused}")),
            ("received", rate(self.received, self.receive_rate(), self.total_time)),
            ("  twice", format!("{:>12}   marked redelivered {}", self.twice, self.redelivered)),
            ("  never", format!("{never:>12}")),
        ];
        for (label, histogram) in [("confirm ms", &self.confirm), ("delivery ms", &self.delivery)] {
            if !histogram.is_empty() {
                let latency = |(name, at)| format!("{name} {:.2}", milliseconds(histogram, at));
                rows.push((label, PERCENTILES.map(latency).join("  ")));
            }
        }
        table::fields(rows, width)
    }
}

fn milliseconds(histogram: &Histogram<u64>, percentile: f64) -> f64 {
    histogram.value_at_percentile(percentile) as f64 / 1_000.0
}

fn percentiles(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    PERCENTILES
        .iter()
        .map(|(label, at)| ((*label).to_owned(), milliseconds(histogram, *at).into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_fits_any_terminal() {
        let mut report = Report::new(1);
        report.add_produced(Produced {
            sent: 1_000_000,
            ..Produced::new(Source { run: 1, producer: 0 })
        });
        report.confirm.saturating_record(1_234);
        (report.publish_time, report.total_time) = (Duration::from_secs(1), Duration::from_secs(1));
        let whole = report.text(None);
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for width in 30..100 {
            let text = report.text(Some(width));
            assert!(text.lines().all(|line| line.len() <= width.into()), "{width}:\n{text}");
            assert_eq!(words(&text), words(&whole), "{width}");
        }
        assert!(whole.contains("p99 1.23  p99.9 1.23"), "{whole}");
    }
}
