//! The series of each queue, put together into samples.

use super::series::{Flow, Measure, Series, TimeUnit};
use forebay_lag::Sample;
use std::collections::BTreeMap;

/// A value of another series counts for so many seconds.
const VALUE_SECONDS_MAX: f64 = 300.0;
/// Two samples of different series within this are of one moment.
const SAME_MOMENT_SECONDS: f64 = 1.0;

/// One queue as it was recorded.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) queue: String,
    pub(crate) samples: Vec<Sample>,
    /// When it was told how long consumers hold deliveries, in seconds since 1970, and milliseconds; ascending.
    pub(crate) hold_times: Vec<(u64, u64)>,
}

/// Puts series together by queue. Series of the same measure, as of a broker that came back as another instance, are one.
pub(super) fn recordings(series: Vec<Series>) -> Vec<Recording> {
    let mut queues: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    for series in series {
        queues.entry(series.queue.clone()).or_default().push(series);
    }
    let recorded = queues.into_iter().filter_map(|(queue, series)| {
        let samples = samples(&series);
        let hold_times = hold_times(&series);
        (!samples.is_empty()).then_some(Recording { queue, samples, hold_times })
    });
    recorded.collect()
}

fn samples(series: &[Series]) -> Vec<Sample> {
    let of = |wanted: &dyn Fn(Measure) -> bool| -> Vec<&Series> {
        series.iter().filter(|series| wanted(series.measure)).collect()
    };
    let exactly = |measure: Measure| move |other: Measure| other == measure;
    let mut lag = merged(&of(&exactly(Measure::Lag)));
    if lag.is_empty() {
        let ready = merged(&of(&exactly(Measure::Ready)));
        let unacked = merged(&of(&exactly(Measure::Unacked)));
        lag = match (ready.is_empty(), unacked.is_empty()) {
            (true, _) => unacked,
            (false, true) => ready,
            (false, false) => {
                let unacked = Latest::new(unacked);
                ready
                    .into_iter()
                    .map(|(at, ready)| (at, ready + unacked.at(at).unwrap_or(0.0)))
                    .collect()
            }
        };
    }
    let age = Latest::new(merged(&of(&exactly(Measure::OldestAge))));
    let consumers = Latest::new(merged(&of(&exactly(Measure::Consumers))));
    let arrivals = flows(&of(&|measure| matches!(measure, Measure::Arrivals(_))));
    let settled = flows(&of(&|measure| matches!(measure, Measure::Settled(_))));
    let mut before: Option<f64> = None;
    let mut samples: Vec<Sample> = Vec::with_capacity(lag.len());
    for (at, lag) in lag {
        if before.is_some_and(|before| at - before < SAME_MOMENT_SECONDS) {
            if let Some(last) = samples.last_mut() {
                last.lag = last.lag.max(lag);
            }
            continue;
        }
        let flow =
            |flows: &Option<FlowSum>| flows.as_ref().and_then(|flows| flows.between(before?, at));
        samples.push(Sample {
            at: at.max(0.0) as u64,
            lag,
            oldest_age_seconds: age.at(at),
            arrived: flow(&arrivals),
            settled: flow(&settled),
            consumers: consumers.at(at),
            ..Sample::default()
        });
        before = Some(at);
    }
    samples
}

fn hold_times(series: &[Series]) -> Vec<(u64, u64)> {
    let told = series.iter().filter_map(|series| match series.measure {
        Measure::HoldTime(TimeUnit::Seconds) => Some((series, 1000.0)),
        Measure::HoldTime(TimeUnit::Milliseconds) => Some((series, 1.0)),
        _ => None,
    });
    let mut times: Vec<(u64, u64)> = told
        .flat_map(|(series, scale)| {
            series.points.iter().map(move |(at, value)| (*at as u64, (value * scale) as u64))
        })
        .collect();
    times.sort_unstable();
    times
}

/// All points by time; where several series tell of one moment, the highest value.
fn merged(series: &[&Series]) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> =
        series.iter().flat_map(|series| series.points.iter().copied()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    points.dedup_by(|later, earlier| later.0 == earlier.0);
    points
}

/// The latest value at a moment.
struct Latest(Vec<(f64, f64)>);

impl Latest {
    fn new(points: Vec<(f64, f64)>) -> Self {
        Self(points)
    }

    fn at(&self, at: f64) -> Option<f64> {
        let after = self.0.partition_point(|(time, _)| *time <= at + SAME_MOMENT_SECONDS / 2.0);
        let (time, value) = self.0.get(after.checked_sub(1)?)?;
        (at - time <= VALUE_SECONDS_MAX).then_some(*value)
    }
}

/// How many messages had come by a moment.
struct FlowSum {
    /// Seconds, and messages since the beginning.
    sums: Vec<(f64, f64)>,
}

impl FlowSum {
    fn between(&self, from: f64, to: f64) -> Option<f64> {
        let sum = |at: f64| {
            let after =
                self.sums.partition_point(|(time, _)| *time <= at + SAME_MOMENT_SECONDS / 2.0);
            let (time, sum) = self.sums.get(after.checked_sub(1)?)?;
            (at - time <= VALUE_SECONDS_MAX).then_some(*sum)
        };
        Some((sum(to)? - sum(from)?).max(0.0))
    }
}

fn flows(series: &[&Series]) -> Option<FlowSum> {
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for series in series {
        let flow = match series.measure {
            Measure::Arrivals(Flow::Unsaid) | Measure::Settled(Flow::Unsaid)
                if is_counter(&series.points) =>
            {
                Flow::Total
            }
            Measure::Arrivals(flow) | Measure::Settled(flow) => flow,
            _ => continue,
        };
        let mut before: Option<(f64, f64)> = None;
        for &(at, value) in &series.points {
            let messages = match (flow, before) {
                (_, None) => 0.0,
                // It began at 0 again.
                (Flow::Total, Some((_, last))) if value < last => value,
                (Flow::Total, Some((_, last))) => value - last,
                (Flow::PerMinute, Some((time, _))) => {
                    value / 60.0 * (at - time).min(VALUE_SECONDS_MAX)
                }
                (_, Some((time, _))) => value * (at - time).min(VALUE_SECONDS_MAX),
            };
            steps.push((at, messages));
            before = Some((at, value));
        }
    }
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut sum = 0.0;
    let sums: Vec<(f64, f64)> = steps
        .into_iter()
        .map(|(at, messages)| {
            sum += messages;
            (at, sum)
        })
        .collect();
    (!sums.is_empty()).then_some(FlowSum { sums })
}

/// Whether values that do not say what they are look like a counter: they rise, and fall only to begin again.
fn is_counter(points: &[(f64, f64)]) -> bool {
    let pairs = || points.iter().zip(points.iter().skip(1));
    let falls = pairs().filter(|(before, after)| after.1 < before.1).count();
    let rises = pairs().filter(|(before, after)| after.1 > before.1).count();
    rises > 2 && falls * 100 <= rises
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;

    fn read(text: &str) -> Vec<Recording> {
        recordings(tables::parse(text, "orders", 60.0).unwrap())
    }

    fn lags(recording: &Recording) -> Vec<(u64, f64)> {
        recording.samples.iter().map(|sample| (sample.at, sample.lag)).collect()
    }

    #[test]
    fn columns_are_found_by_their_names_whatever_else_there_is() {
        for text in [
            "time,lag\n0,5\n60,7\n",
            "# a comment\ntimestamp;queue_depth;expected_alert\n0;5;1\n60;7;0\n",
            "0,5\n60,7\n",
            "lag\n5\n7\n",
            "minute\tlag\n0\t5\n1\t7\n",
            "time,ready,unacked,consumers\n0,3,2,1\n60,7,0,1\n",
            "date,orders\n1970-01-01 00:00,5\n1970-01-01 00:01,7\n",
            r#"[{"time":0,"lag":5},{"time":60,"lag":7}]"#,
            r#"{"name":"orders","step":60,"lag":[5,7],"fires":[0,0]}"#,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"forebay_queue_lag_messages","queue":"orders"},"values":[[0,"5"],[60,"7"]]}]}}"#,
            "Time,\"forebay_queue_lag_messages{queue=\"\"orders\"\",vhost=\"\"/\"\"}\"\n0,5\n60,7\n",
            "time,metric,value\n0,forebay_queue_lag_messages,5\n60,forebay_queue_lag_messages,7\n",
            "time,lag\n0,5\n30,NaN\n60,7\n",
        ] {
            let read = read(text);
            assert_eq!(read.len(), 1, "{text}");
            assert_eq!(read[0].queue, "orders", "{text}");
            assert_eq!(lags(&read[0]), [(0, 5.0), (60, 7.0)], "{text}");
        }
    }

    #[test]
    fn several_queues_and_instances_are_told_apart_and_put_together() {
        let two = read("time,queue,instance,lag\n0,a,x,1\n0,b,x,2\n60,a,y,3\n60,b,y,4\n");
        assert_eq!(two.len(), 2);
        assert_eq!(lags(&two[0]), [(0, 1.0), (60, 3.0)]);
        let wide = read("time,orders,payments\n0,1,2\n60,3,4\n");
        assert_eq!(
            wide.iter().map(|queue| queue.queue.as_str()).collect::<Vec<_>>(),
            ["orders", "payments"]
        );
    }

    #[test]
    fn flows_are_told_as_rates_or_counters_that_begin_again() {
        let settled = |text: &str| {
            let read = read(text);
            read[0].samples.iter().map(|sample| sample.settled).collect::<Vec<_>>()
        };
        let rates = settled("time,lag,acked_per_second\n0,5,1\n60,7,2\n120,7,3\n");
        assert_eq!(rates, [None, Some(120.0), Some(180.0)]);
        let counter = settled("time,lag,acked_total\n0,5,100\n60,7,160\n120,7,20\n");
        assert_eq!(counter, [None, Some(60.0), Some(20.0)]);
        let another =
            "time,instance,lag,acked_total\n0,x,5,100\n60,x,7,160\n120,y,7,0\n180,y,7,30\n";
        assert_eq!(settled(another), [None, Some(60.0), Some(0.0), Some(30.0)]);
        assert_eq!(settled("time,lag\n0,5\n"), [None]);
    }

    #[test]
    fn hold_times_are_told_in_seconds_or_milliseconds() {
        let held = |text: &str| read(text)[0].hold_times.clone();
        assert_eq!(
            held("time,lag,service_p99_seconds\n0,5,0.5\n60,7,\n120,7,2\n"),
            [(0, 500), (120, 2000)]
        );
        assert_eq!(held("time,lag,held_ms\n0,5,500\n60,7,20\n"), [(0, 500), (60, 20)]);
        assert_eq!(held("time,lag,acked_total\n0,5,500\n60,7,20\n"), []);
    }

    #[test]
    fn what_is_no_recording_is_told() {
        let error = |text: &str| tables::parse(text, "orders", 60.0).unwrap_err();
        assert!(error("time,temperature_name\n0,warm\n").contains("no column is known for lag"));
        assert!(error("{\"a\": 1}").contains("no series"));
        assert!(error("{\"status\":\"error\",\"error\":\"too long\"}").contains("too long"));
        assert!(error("time,lag\nsoon,5\n").contains("row 1"));
        assert!(error("").contains("lag"));
    }
}
