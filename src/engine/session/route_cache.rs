//! The routes that a connection has asked for lately, so that a publish costs no look-up in the
//! topology. Valid for one table version of the routes.

use crate::model::{QueueId, Targets};
use crate::session::limits::{ROUTE_CACHE_ENTRIES_MAX, ROUTE_CACHE_SIZE_MAX};
use forebay_wire::ShortStr;
use std::collections::BTreeMap;

/// (exchange, routing key) → queues.
#[derive(Debug, Default)]
pub(crate) struct RouteCache {
    version: u64,
    routes: BTreeMap<Box<[u8]>, Targets>,
    /// Bytes of all of them, about.
    size: usize,
    /// The key of the last look-up, and what was found: most publishers use one route.
    last_key: Vec<u8>,
    last: Option<Targets>,
}

impl RouteCache {
    /// The cached targets of a route in this table version of the routes.
    pub(crate) fn find(
        &mut self,
        version: u64,
        exchange: &ShortStr,
        routing_key: &ShortStr,
    ) -> Option<&Targets> {
        if self.version != version {
            self.version = version;
            self.clear();
            self.last = None;
        }
        let (exchange, routing_key) = (exchange.as_bytes(), routing_key.as_bytes());
        if self.last.is_none() || !is_key(&self.last_key, exchange, routing_key) {
            write_key(&mut self.last_key, exchange, routing_key);
            self.last = self.routes.get(self.last_key.as_slice()).cloned();
        }
        self.last.as_ref()
    }

    /// Remembers what the route of the last [`Self::find`] leads to.
    pub(crate) fn remember(&mut self, targets: &Targets) {
        self.last = Some(targets.clone());
        let size = self.last_key.len() + targets.len() * size_of::<QueueId>();
        if self.routes.len() >= ROUTE_CACHE_ENTRIES_MAX || self.size + size > ROUTE_CACHE_SIZE_MAX {
            self.clear();
        }
        if size <= ROUTE_CACHE_SIZE_MAX {
            self.size += size;
            self.routes.insert(self.last_key.as_slice().into(), targets.clone());
        }
    }

    fn clear(&mut self) {
        self.routes.clear();
        self.size = 0;
    }
}

/// `exchange_len:u8 exchange routing_key`.
fn write_key(key: &mut Vec<u8>, exchange: &[u8], routing_key: &[u8]) {
    key.clear();
    key.push(exchange.len() as u8);
    key.extend_from_slice(exchange);
    key.extend_from_slice(routing_key);
}

fn is_key(key: &[u8], exchange: &[u8], routing_key: &[u8]) -> bool {
    key.split_first().is_some_and(|(length, rest)| {
        usize::from(*length) == exchange.len()
            && rest.len() == exchange.len() + routing_key.len()
            // Never with nothing: see `ShortStr`'s comparison.
            && (exchange.is_empty() || rest.starts_with(exchange))
            && (routing_key.is_empty() || rest.ends_with(routing_key))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::QueueId;

    fn name(text: &str) -> ShortStr {
        ShortStr::try_from(text).unwrap()
    }

    #[test]
    fn a_route_is_found_until_the_topology_changes() {
        let mut cache = RouteCache::default();
        let one: Targets = [QueueId(1)].into();
        assert!(cache.find(1, &name("x"), &name("k")).is_none());
        cache.remember(&one);
        assert!(cache.find(1, &name("xk"), &name("")).is_none());
        assert!(cache.find(1, &name("x"), &name("k")).is_some());
        assert!(cache.find(2, &name("x"), &name("k")).is_none());
    }

    #[test]
    fn it_stays_small() {
        let mut cache = RouteCache::default();
        let one: Targets = [QueueId(1)].into();
        for key in 0..10_000 {
            cache.find(1, &name("x"), &name(&key.to_string()));
            cache.remember(&one);
            assert!(cache.routes.len() <= ROUTE_CACHE_ENTRIES_MAX);
        }
        // Fan-outs to many queues, and one that is larger than all that may be kept.
        for (key, queues) in (0..1_000).map(|key| (key, 5_000)).chain([(1_000, 100_000)]) {
            let many: Targets = (0..queues).map(QueueId).collect();
            cache.find(1, &name("x"), &name(&key.to_string()));
            cache.remember(&many);
            assert!(cache.size <= ROUTE_CACHE_SIZE_MAX);
            let kept = cache.routes.values().map(|targets| targets.len()).sum::<usize>();
            assert!(kept * size_of::<QueueId>() <= ROUTE_CACHE_SIZE_MAX);
            assert_eq!(cache.find(1, &name("x"), &name(&key.to_string())), Some(&many));
        }
    }
}
