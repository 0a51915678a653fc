//! One recorded series: which queue it is of, and what it measures.

/// What a series measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Measure {
    Lag,
    Ready,
    Unacked,
    OldestAge,
    Arrivals(Flow),
    Settled(Flow),
    Consumers,
    /// How long consumers hold deliveries until they settle them: the time of 99 of 100.
    HoldTime(TimeUnit),
}

/// In what a time is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimeUnit {
    Seconds,
    Milliseconds,
}

/// How a flow of messages is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flow {
    PerSecond,
    PerMinute,
    /// A counter, which begins at 0 again now and then.
    Total,
    /// Whichever the values look like.
    Unsaid,
}

/// One recorded series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    /// Virtual host and queue, or the file when it does not say.
    pub(super) queue: String,
    pub(super) measure: Measure,
    /// Seconds and values, ascending.
    pub(super) points: Vec<(f64, f64)>,
}

/// What tells that a column was worked out of lag.
const WORKED_OUT: [&str; 11] = [
    "quantile",
    "normal",
    "line",
    "ratio",
    "threshold",
    "expected",
    "baseline",
    "alert",
    "fire",
    "truth",
    "incident",
];

impl Measure {
    /// What a column or metric of this name measures; `None` when it is something else.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        let flow = || match () {
            () if has(&["per_minute", "per_min", "/min", "_pm"]) => Flow::PerMinute,
            () if has(&["rate", "per_second", "per_sec", "/s", "_ps"]) => Flow::PerSecond,
            () if has(&["_total", "_count", "cumulative", "counter"]) => Flow::Total,
            () => Flow::Unsaid,
        };
        // What was worked out of lag is not lag.
        if has(&WORKED_OUT) {
            return None;
        }
        if has(&["service_time", "service_s", "service_ms", "service_p", "hold_", "held_"])
            || name == "held"
        {
            let is_milliseconds = name.ends_with("_ms") || has(&["milliseconds"]);
            let unit = if is_milliseconds { TimeUnit::Milliseconds } else { TimeUnit::Seconds };
            return Some(Self::HoldTime(unit));
        }
        Some(match name.as_str() {
            "consumers" | "workers" | "consumer_count" | "num_consumers" => Self::Consumers,
            "in" | "input" => Self::Arrivals(Flow::Unsaid),
            "out" | "output" | "done" => Self::Settled(Flow::Unsaid),
            "value" | "messages" | "size" | "length" | "y" | "count" => Self::Lag,
            _ if has(&[
                "redeliver",
                "drain_seconds",
                "drain_time",
                "dead",
                "expired",
                "dropped",
                "bytes",
            ]) =>
            {
                return None;
            }
            _ if has(&["queue_consumers", "messages_consumers"]) => Self::Consumers,
            _ if has(&["oldest", "age_s", "age_m"]) || name == "age" => Self::OldestAge,
            _ if has(&[
                "publish", "arriv", "produce", "enqueue", "incoming", "ingress", "in_rate",
            ]) =>
            {
                Self::Arrivals(flow())
            }
            _ if has(&["unack", "in_flight", "inflight", "unacknowledged"]) => Self::Unacked,
            _ if has(&["ready"]) => Self::Ready,
            _ if has(&["lag", "backlog", "depth", "waiting", "pending"]) => Self::Lag,
            _ if has(&[
                "ack", "settle", "consume", "serv", "process", "deliver", "outgoing", "egress",
                "out_rate", "done",
            ]) =>
            {
                Self::Settled(flow())
            }
            _ if has(&["queue_messages", "queue_size", "queue_length"]) => Self::Lag,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_what_they_say() {
        let cases = [
            ("forebay_queue_lag_messages", Some(Measure::Lag)),
            ("Lag", Some(Measure::Lag)),
            ("queue_depth", Some(Measure::Lag)),
            ("rabbitmq_queue_messages", Some(Measure::Lag)),
            ("rabbitmq_queue_messages_ready", Some(Measure::Ready)),
            ("messages_unacknowledged", Some(Measure::Unacked)),
            ("forebay_queue_oldest_message_age_seconds", Some(Measure::OldestAge)),
            ("forebay_queue_messages_published_total", Some(Measure::Arrivals(Flow::Total))),
            ("arrivals", Some(Measure::Arrivals(Flow::Unsaid))),
            ("forebay_queue_messages_acked_total", Some(Measure::Settled(Flow::Total))),
            ("acked_per_second", Some(Measure::Settled(Flow::PerSecond))),
            ("service_rate", Some(Measure::Settled(Flow::PerSecond))),
            ("consumers", Some(Measure::Consumers)),
            ("forebay_queue_consumers", Some(Measure::Consumers)),
            ("forebay_queue_lag_alert_line_messages", None),
            ("expected", None),
            ("forebay_queue_service_seconds", Some(Measure::HoldTime(TimeUnit::Seconds))),
            ("service_p99_ms", Some(Measure::HoldTime(TimeUnit::Milliseconds))),
            ("held_seconds", Some(Measure::HoldTime(TimeUnit::Seconds))),
            ("forebay_queue_messages_redelivered_total", None),
            ("temperature", None),
        ];
        for (name, measure) in cases {
            assert_eq!(Measure::named(name), measure, "{name}");
        }
    }
}
