//! What takes two looks at a queue: how fast messages come and go, how fast it is worked off, and
//! how often its consumers had room. Looked at in a fixed interval by the metrics endpoint, so that
//! it does not matter who asks, there or at the admin listener, and how often.

use super::message_stats::{MESSAGE_COUNTERS, PerCounter, message_counts};
use forebay_engine::model::QueueId;
use forebay_engine::shard::{QueueReport, QueueStatistics};
use std::collections::HashMap;
use std::time::Duration;

/// Seconds over which rates are averaged, older looks weighing exponentially less.
const AVERAGE_SECONDS: f64 = 60.0;

/// The rates of all queues at the last look.
#[derive(Debug, Default)]
pub struct QueueRates {
    queues: HashMap<QueueId, Rate>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    counted: Counted,
    flow: Flow,
    settling: SettlingRate,
    utilisation: f64,
}

/// What a queue had counted by a look; 0 before its first one.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    messages: PerCounter<u64>,
    settled: u64,
    ready: u64,
    unacked: u64,
}

impl Counted {
    fn by(queue: &QueueStatistics) -> Self {
        Self {
            messages: message_counts(queue),
            settled: settled(queue),
            ready: queue.ready,
            unacked: queue.unacked,
        }
    }
}

/// Messages a second between the last two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Flow {
    /// By counter.
    pub(crate) messages: PerCounter<f64>,
    /// By how much the ready messages became more.
    pub(crate) ready: f64,
    /// By how much the unacked messages became more.
    pub(crate) unacked: f64,
}

impl Flow {
    fn between(before: &Counted, after: &Counted, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
        let change = |before: u64, after: u64| (after as f64 - before as f64) / seconds;
        let mut messages = PerCounter::default();
        let counts = before.messages.iter().zip(after.messages);
        for (flow, (before, after)) in messages.iter_mut().zip(counts) {
            *flow = rate(*before, after);
        }
        Self {
            messages,
            ready: change(before.ready, after.ready),
            unacked: change(before.unacked, after.unacked),
        }
    }

    /// Of one counter.
    pub(crate) fn rate(&self, name: &str) -> f64 {
        let rates = MESSAGE_COUNTERS.iter().zip(self.messages);
        rates.filter(|(counter, _)| counter.name == name).map(|(_, rate)| rate).sum()
    }

    pub(crate) fn plus(mut self, other: &Self) -> Self {
        let flows = self.messages.iter_mut().zip(other.messages);
        flows.for_each(|(sum, more)| *sum += more);
        self.ready += other.ready;
        self.unacked += other.unacked;
        self
    }
}

/// How fast a queue is worked off while there is something to do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct SettlingRate {
    /// Nothing before there was something to do.
    per_second: Option<f64>,
}

impl SettlingRate {
    /// So many messages were settled in `elapsed`, so many are left. While there is nothing to do
    /// the rate stays what it was: idle consumers are not slow ones.
    fn look(&mut self, elapsed: Duration, settled: f64, lag: f64) {
        if settled <= 0.0 && lag <= 0.0 {
            return;
        }
        let seconds = elapsed.as_secs_f64().max(0.001);
        let now = settled / seconds;
        let mean = self.per_second.map_or(now, |mean| mean + weight(seconds) * (now - mean));
        self.per_second = Some(mean);
    }

    /// How long `lag` messages take at this rate; infinite when nothing was ever settled.
    fn drain_seconds(&self, lag: f64) -> f64 {
        match self.per_second {
            _ if lag <= 0.0 => 0.0,
            Some(rate) if rate > 0.0 => lag / rate,
            _ => f64::INFINITY,
        }
    }
}

/// What a look weighs that came so long after the last one.
fn weight(seconds: f64) -> f64 {
    1.0 - (-seconds / AVERAGE_SECONDS).exp()
}

/// Messages that consumers are done with.
pub(super) fn settled(queue: &QueueStatistics) -> u64 {
    queue.acked + queue.delivered_no_ack
}

/// Messages that are not done.
pub(super) fn lag(queue: &QueueStatistics) -> u64 {
    queue.ready + queue.unacked
}

impl QueueRates {
    /// What the next look finds, `elapsed` after this one. Queues that are gone are forgotten.
    pub(super) fn next(&self, elapsed: Duration, queues: &[QueueReport]) -> Self {
        let look = |queue: &QueueReport| {
            let counted = Counted::by(&queue.statistics);
            let has_room = f64::from(u8::from(queue.statistics.has_credit));
            let Some(last) = self.queues.get(&queue.record.id) else {
                let flow = Flow::between(&Counted::default(), &counted, elapsed);
                return Rate { counted, flow, utilisation: has_room, ..Rate::default() };
            };
            let mut settling = last.settling;
            let new = counted.settled.saturating_sub(last.counted.settled) as f64;
            settling.look(elapsed, new, lag(&queue.statistics) as f64);
            let weight = weight(elapsed.as_secs_f64());
            let utilisation = last.utilisation + weight * (has_room - last.utilisation);
            let flow = Flow::between(&last.counted, &counted, elapsed);
            Rate { counted, flow, settling, utilisation }
        };
        Self { queues: queues.iter().map(|queue| (queue.record.id, look(queue))).collect() }
    }

    /// How fast messages came and went; not at all in a queue that nobody has looked at yet.
    pub(crate) fn flow(&self, queue: QueueId) -> Flow {
        self.queues.get(&queue).map(|rate| rate.flow).unwrap_or_default()
    }

    /// The queues at the last look, with their lag.
    pub(crate) fn looked_at(&self) -> impl Iterator<Item = (QueueId, u64, &Flow)> {
        let lag = |counted: &Counted| counted.ready + counted.unacked;
        self.queues.iter().map(move |(queue, rate)| (*queue, lag(&rate.counted), &rate.flow))
    }

    /// How long the queue's lag takes at the rate at which it is worked off; infinite when it is
    /// not.
    pub(super) fn drain_seconds(&self, queue: &QueueReport) -> f64 {
        let rate = self.queues.get(&queue.record.id).map(|rate| rate.settling).unwrap_or_default();
        rate.drain_seconds(lag(&queue.statistics) as f64)
    }

    /// The share of looks at which a consumer had room.
    pub(crate) fn utilisation(&self, queue: &QueueReport) -> f64 {
        self.queues.get(&queue.record.id).map_or(0.0, |rate| rate.utilisation)
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue_families::tests::report_of;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn report(ready: u64, acked: u64, has_credit: bool) -> QueueReport {
        let published = ready + acked;
        let statistics =
            QueueStatistics { ready, acked, published, has_credit, ..Default::default() };
        report_of(1, statistics)
    }

    #[test]
    fn messages_flow_from_the_first_look_on() {
        let queue = report(40, 60, true);
        let flow = |rates: &QueueRates| {
            let flow = rates.flow(queue.record.id);
            let named = |name| {
                let at = MESSAGE_COUNTERS.iter().position(|counter| counter.name == name).unwrap();
                flow.messages[at]
            };
            (named("publish"), named("ack"))
        };
        let rates = QueueRates::default();
        assert_eq!(flow(&rates), (0.0, 0.0));
        let rates = rates.next(5 * SECOND, std::slice::from_ref(&queue));
        assert_eq!(flow(&rates), (20.0, 12.0));
        let rates = rates.next(5 * SECOND, &[report(30, 80, true)]);
        assert_eq!(flow(&rates), (2.0, 4.0));
        let rates = rates.next(5 * SECOND, &[report(30, 80, true)]);
        assert_eq!(flow(&rates), (0.0, 0.0));
    }

    #[test]
    fn drain_time_is_lag_by_rate() {
        let rates = QueueRates::default();
        assert_eq!(rates.drain_seconds(&report(0, 0, true)), 0.0);
        assert_eq!(rates.drain_seconds(&report(10, 0, true)), f64::INFINITY);
        let rates = rates.next(SECOND, &[report(1000, 0, true)]);
        let mut rates = rates.next(SECOND, &[report(900, 100, true)]);
        assert_eq!(rates.drain_seconds(&report(900, 100, true)), 9.0);
        for second in 2..600 {
            rates = rates.next(SECOND, &[report(900, 100 + second * 10, false)]);
        }
        let now = report(900, 0, false);
        assert!((rates.drain_seconds(&now) - 90.0).abs() < 1.0);
        assert!(rates.utilisation(&now) < 0.01);
        // Nothing to do: what the consumers can is not forgotten.
        let idle = report(0, 7000, true);
        for _ in 0..600 {
            rates = rates.next(SECOND, std::slice::from_ref(&idle));
        }
        assert!(rates.drain_seconds(&now) < 91.0);
        rates = rates.next(SECOND, &[]);
        assert_eq!(rates.drain_seconds(&now), f64::INFINITY);
    }
}
