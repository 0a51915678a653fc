//! How fast connections, channels, queues and messages come and go in the broker as a whole, and how
//! fast messages pass through each exchange: looked at together with [`super::QueueRates`].

use super::connection_totals::Totals;
use forebay_engine::shard::QueueTurnover;
use forebay_engine::topology::{Routes, Topology};
use forebay_wire::ShortStr;
use std::collections::HashMap;
use std::time::Duration;

/// What is counted, under the names of RabbitMQ's management API.
pub(crate) const BROKER_COUNTERS: [&str; 11] = [
    "channel_closed",
    "channel_created",
    "confirm",
    "connection_closed",
    "connection_created",
    "drop_unroutable",
    "publish",
    "queue_created",
    "queue_declared",
    "queue_deleted",
    "return_unroutable",
];

/// A value for each of [`BROKER_COUNTERS`].
type PerCounter<T> = [T; BROKER_COUNTERS.len()];

/// What the broker had counted at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BrokerCounts(PerCounter<u64>);

/// Messages published to an exchange, and from it to queues.
type InAndOut<T> = (T, T);

#[derive(Clone, Copy, Debug, Default)]
struct ExchangeRate {
    counted: InAndOut<u64>,
    flow: InAndOut<f64>,
}

/// The rates at the last look.
#[derive(Debug, Default)]
pub struct BrokerRates {
    counted: BrokerCounts,
    flow: PerCounter<f64>,
    exchanges: HashMap<(ShortStr, ShortStr), ExchangeRate>,
}

impl BrokerCounts {
    /// `open`, `opened`: connections now, and since the start.
    pub(crate) fn new(
        totals: &Totals,
        (open, opened): (usize, u64),
        turnover: &QueueTurnover,
    ) -> Self {
        let channels_open = totals.channels as u64;
        Self([
            totals.traffic.channels_opened.saturating_sub(channels_open),
            totals.traffic.channels_opened,
            totals.confirmed,
            opened.saturating_sub(open as u64),
            opened,
            totals.traffic.dropped,
            totals.traffic.received,
            turnover.created,
            turnover.declared,
            turnover.deleted,
            totals.traffic.returned,
        ])
    }

    pub(crate) fn get(&self, name: &str) -> u64 {
        value(&self.0, name)
    }
}

impl BrokerRates {
    /// What the next look finds, `elapsed` after this one. Exchanges that are gone are forgotten.
    pub(super) fn next(
        &self,
        elapsed: Duration,
        counted: BrokerCounts,
        catalogue: &Topology,
        routes: &Routes,
    ) -> Self {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
        let mut flow = PerCounter::default();
        for (flow, (before, after)) in
            flow.iter_mut().zip(self.counted.0.into_iter().zip(counted.0))
        {
            *flow = rate(before, after);
        }
        let mut exchanges = HashMap::new();
        for vhost in catalogue.vhosts() {
            let names = catalogue.exchanges(vhost).map(|exchange| &exchange.name);
            for name in names.chain([&ShortStr::EMPTY]) {
                let counters = routes.exchange_counters(vhost, name);
                let counted = counters
                    .map_or((0, 0), |counters| (counters.published_in(), counters.published_out()));
                // Where nothing has passed there is nothing to remember.
                if counted == (0, 0) {
                    continue;
                }
                let key = (vhost.clone(), name.clone());
                let before = self.exchanges.get(&key).map_or((0, 0), |rate| rate.counted);
                let flow = (rate(before.0, counted.0), rate(before.1, counted.1));
                exchanges.insert(key, ExchangeRate { counted, flow });
            }
        }
        Self { counted, flow, exchanges }
    }

    /// How fast one of [`BROKER_COUNTERS`] grew.
    pub(crate) fn flow(&self, name: &str) -> f64 {
        value(&self.flow, name)
    }

    /// How fast messages came to an exchange and went from it to queues.
    pub(crate) fn exchange(&self, vhost: &ShortStr, name: &ShortStr) -> InAndOut<f64> {
        let key = (vhost.clone(), name.clone());
        self.exchanges.get(&key).map_or((0.0, 0.0), |rate| rate.flow)
    }
}

fn value<T: Copy + Default>(values: &PerCounter<T>, name: &str) -> T {
    let at = BROKER_COUNTERS.iter().position(|there| *there == name);
    debug_assert!(at.is_some(), "{name}");
    at.and_then(|at| values.get(at)).copied().unwrap_or_default()
}
