//! Counts what a connection publishes, by exchange. Most publish to one exchange at a time: its counts
//! are added up here and handed on when another one is meant, and at the end of a turn.

use crate::topology::{ExchangeCounters, Routes};
use forebay_wire::ShortStr;
use std::sync::Arc;

/// What was published to one exchange and not handed on yet.
#[derive(Debug, Default)]
pub(crate) struct ExchangeFlow {
    exchange: ShortStr,
    /// The table version of the routes in which the counters were found.
    version: u64,
    counters: Option<Arc<ExchangeCounters>>,
    published: u64,
    routed: u64,
}

impl ExchangeFlow {
    /// A message was published, and goes to so many queues.
    pub(crate) fn count(
        &mut self,
        routes: &Routes,
        vhost: &ShortStr,
        exchange: &ShortStr,
        queues: usize,
    ) {
        let is_other = self.version != routes.table_version() || self.exchange != *exchange;
        if is_other || self.counters.is_none() {
            self.flush();
            self.version = routes.table_version();
            self.exchange = exchange.detached();
            self.counters = routes.exchange_counters(vhost, exchange).cloned();
        }
        self.published += 1;
        self.routed += queues as u64;
    }

    /// Hands on what was counted.
    pub(crate) fn flush(&mut self) {
        if self.published == 0 {
            return;
        }
        let (published, routed) =
            (std::mem::take(&mut self.published), std::mem::take(&mut self.routed));
        if let Some(counters) = &self.counters {
            counters.add(published, routed);
        }
    }
}
