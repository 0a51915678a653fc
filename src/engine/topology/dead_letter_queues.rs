//! Which queues take dead letters, as far as names, settings and bindings tell.

use super::Topology;
use super::settings::QueueSettings;
use crate::model::{Destination, ObjectName};
use bytes::Bytes;
use forebay_wire::ShortStr;
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64;

/// How the name of a default dead-letter queue ends.
const SUFFIX: &str = ".dlq";

/// Bytes that the name of an object may have.
const NAME_BYTES_MAX: usize = 255;

/// Bytes of the name of a queue that its dead-letter queue has in common when the whole does not
/// fit: behind them come `~`, 16 hexadecimal digits that tell one long name from another, and the
/// suffix.
const NAME_KEPT_BYTES_MAX: usize = NAME_BYTES_MAX - 1 - 16 - SUFFIX.len();

/// The name of the dead-letter queue that the broker makes for a queue: `<queue>.dlq`.
#[must_use]
pub(crate) fn dead_letter_queue_name(queue: &ShortStr) -> ShortStr {
    let name = queue.as_bytes();
    let whole = [name, SUFFIX.as_bytes()].concat();
    if whole.len() <= NAME_BYTES_MAX {
        return ShortStr::try_from(Bytes::from(whole)).unwrap_or_default();
    }
    // Not in the middle of a character.
    let is_start = |at: &usize| name.get(*at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let cut = (0..=NAME_KEPT_BYTES_MAX).rev().find(is_start).unwrap_or(NAME_KEPT_BYTES_MAX);
    let tail = format!("~{:016x}{SUFFIX}", xxh3_64(name));
    let short = [name.get(..cut).unwrap_or_default(), tail.as_bytes()].concat();
    ShortStr::try_from(Bytes::from(short)).unwrap_or_default()
}

/// Whether a queue of this name is one that takes dead letters by default, whoever made it: it has
/// no such queue of its own, and a policy applies to it only when its pattern says so.
#[must_use]
pub(crate) fn is_dead_letter_queue(name: &ShortStr) -> bool {
    name.as_bytes().ends_with(SUFFIX.as_bytes())
}

impl Topology {
    /// The queues of a virtual host that are named like default dead-letter queues, or that some
    /// queue's dead-letter exchange leads to.
    #[must_use]
    pub fn dead_letter_queues(&self, vhost: &ShortStr) -> BTreeSet<ShortStr> {
        self.dead_letter_queues_from(vhost, |_| true)
    }

    /// The queues of a virtual host that are named like default dead-letter queues, or that the dead-letter exchange of one
    /// with such settings leads to.
    #[must_use]
    pub fn dead_letter_queues_from(
        &self,
        vhost: &ShortStr,
        is_source: impl Fn(&QueueSettings) -> bool,
    ) -> BTreeSet<ShortStr> {
        let queues = || self.queues_of(vhost);
        let named = queues().map(|queue| &queue.name).filter(|name| is_dead_letter_queue(name));
        let mut found: BTreeSet<ShortStr> = named.cloned().collect();
        let mut exchanges = Vec::new();
        for queue in queues().filter(|queue| is_source(&queue.settings)) {
            let Some(exchange) = &queue.settings.dead_letter_exchange else { continue };
            match &queue.settings.dead_letter_routing_key {
                Some(key) => {
                    let keys = std::slice::from_ref(key);
                    let targets = self.routes.route_from_broker(vhost, exchange, keys, &|| None);
                    let records = targets.iter().filter_map(|target| self.queue_by_id(*target));
                    found.extend(records.map(|record| record.name.clone()));
                }
                // The keys are those of the messages, which nobody knows beforehand.
                None => exchanges.push(exchange.clone()),
            }
        }
        found.extend(self.reached_from(vhost, exchanges));
        found
    }

    /// The queues that bindings lead to from these exchanges.
    fn reached_from(&self, vhost: &ShortStr, exchanges: Vec<ShortStr>) -> Vec<ShortStr> {
        if exchanges.is_empty() {
            return Vec::new();
        }
        let mut leads: BTreeMap<ObjectName, Vec<Destination>> = BTreeMap::new();
        for binding in self.bindings(vhost) {
            leads.entry(binding.source).or_default().push(binding.destination);
        }
        let mut queues = Vec::new();
        let mut seen: BTreeSet<ShortStr> = exchanges.iter().cloned().collect();
        let mut pending = exchanges;
        while let Some(exchange) = pending.pop() {
            for destination in leads.get(exchange.as_bytes()).into_iter().flatten() {
                match destination {
                    Destination::Queue(name) => queues.push(name.clone().into_short()),
                    Destination::Exchange(name) if seen.insert(name.clone().into_short()) => {
                        pending.push(name.clone().into_short());
                    }
                    Destination::Exchange(_) => {}
                }
            }
        }
        queues
    }
}
