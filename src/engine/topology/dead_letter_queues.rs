//! Which queues take dead letters, as far as names, settings and bindings tell.

use super::Topology;
use crate::command::Destination;
use crate::object_name::ObjectName;
use crate::queue::DEAD_LETTER_QUEUE_SUFFIX;
use forebay_wire::ShortStr;
use std::collections::{BTreeMap, BTreeSet};

impl Topology {
    /// The queues of a virtual host that are named like default dead-letter queues, or that some
    /// queue's dead-letter exchange leads to.
    #[must_use]
    pub fn dead_letter_queues(&self, vhost: &ShortStr) -> BTreeSet<ShortStr> {
        let queues = || self.queues().filter(|queue| queue.vhost == *vhost);
        let is_default =
            |name: &ShortStr| name.as_bytes().ends_with(DEAD_LETTER_QUEUE_SUFFIX.as_bytes());
        let named = queues().map(|queue| &queue.name).filter(|name| is_default(name));
        let mut found: BTreeSet<ShortStr> = named.cloned().collect();
        let mut exchanges = Vec::new();
        for queue in queues() {
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
