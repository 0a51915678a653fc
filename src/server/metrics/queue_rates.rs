//! What takes two looks at a queue: how fast it is worked off, and how often its consumers had
//! room. Looked at in a fixed interval, so that it does not matter who scrapes, and how often.

use forebay_engine::ids::QueueId;
use forebay_engine::shard::{QueueReport, QueueStatistics};
use std::collections::HashMap;
use std::time::Duration;

/// Seconds over which rates are averaged, older looks weighing exponentially less.
const AVERAGE_SECONDS: f64 = 60.0;

/// The rates of all queues.
#[derive(Debug, Default)]
pub(super) struct QueueRates {
    queues: HashMap<QueueId, Rate>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    settled: u64,
    settling: SettlingRate,
    utilisation: f64,
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
    /// A look, `elapsed` after the last one. Queues that are gone are forgotten.
    pub(super) fn look(&mut self, elapsed: Duration, queues: &[QueueReport]) {
        let before = std::mem::take(&mut self.queues);
        self.queues.reserve(queues.len());
        for queue in queues {
            let settled = settled(&queue.statistics);
            let has_room = f64::from(u8::from(queue.statistics.has_credit));
            let rate = match before.get(&queue.id) {
                None => Rate { settled, settling: SettlingRate::default(), utilisation: has_room },
                Some(last) => {
                    let mut settling = last.settling;
                    let new = settled.saturating_sub(last.settled) as f64;
                    settling.look(elapsed, new, lag(&queue.statistics) as f64);
                    let weight = weight(elapsed.as_secs_f64());
                    let utilisation = last.utilisation + weight * (has_room - last.utilisation);
                    Rate { settled, settling, utilisation }
                }
            };
            self.queues.insert(queue.id, rate);
        }
    }

    /// How long the queue's lag takes at the rate at which it is worked off; infinite when it is
    /// not.
    pub(super) fn drain_seconds(&self, queue: &QueueReport) -> f64 {
        let rate = self.queues.get(&queue.id).map(|rate| rate.settling).unwrap_or_default();
        rate.drain_seconds(lag(&queue.statistics) as f64)
    }

    /// The share of looks at which a consumer had room.
    pub(super) fn utilisation(&self, queue: &QueueReport) -> f64 {
        self.queues.get(&queue.id).map_or(0.0, |rate| rate.utilisation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn report(ready: u64, acked: u64, has_credit: bool) -> QueueReport {
        let statistics = QueueStatistics { ready, acked, has_credit, ..Default::default() };
        QueueReport {
            id: QueueId(1),
            vhost: "/".try_into().unwrap(),
            name: "q".try_into().unwrap(),
            statistics,
        }
    }

    #[test]
    fn drain_time_is_lag_by_rate() {
        let mut rates = QueueRates::default();
        assert_eq!(rates.drain_seconds(&report(0, 0, true)), 0.0);
        assert_eq!(rates.drain_seconds(&report(10, 0, true)), f64::INFINITY);
        rates.look(SECOND, &[report(1000, 0, true)]);
        rates.look(SECOND, &[report(900, 100, true)]);
        assert_eq!(rates.drain_seconds(&report(900, 100, true)), 9.0);
        for second in 2..600 {
            rates.look(SECOND, &[report(900, 100 + second * 10, false)]);
        }
        let now = report(900, 0, false);
        assert!((rates.drain_seconds(&now) - 90.0).abs() < 1.0);
        assert!(rates.utilisation(&now) < 0.01);
        // Nothing to do: what the consumers can is not forgotten.
        let idle = report(0, 7000, true);
        for _ in 0..600 {
            rates.look(SECOND, std::slice::from_ref(&idle));
        }
        assert!(rates.drain_seconds(&now) < 91.0);
        rates.look(SECOND, &[]);
        assert_eq!(rates.drain_seconds(&now), f64::INFINITY);
    }
}
