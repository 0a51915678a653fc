//! An immutable snapshot of the routing table. Connections work by it while the topology that made it
//! may already have changed.
//!
//! A copy costs a few reference counts. A change copies only the path to the changed entry, so that
//! ten thousand declares one by one stay fast, and snapshots that are still held are untouched.

use super::destinations::{Destinations, Endpoint};
use super::exchange_counters::ExchangeCounters;
use super::limits::TARGETS_INLINE;
use super::match_key::MatchKey;
use super::matcher::{Granularity, Matcher};
use super::names::{Resource, vhost_not_found};
use super::persistent::Map;
use crate::model::{Fault, ObjectName, QueueId, Targets};
use forebay_wire::{FieldTable, ReplyCode, ShortStr};
use rpds::RedBlackTreeSetSync;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The routing table as of one version.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    version: u64,
    /// The version in which the routing table last changed.
    table_version: u64,
    vhosts: Map<ShortStr, VhostRoutes>,
    nowhere: Targets,
}

/// Where a virtual host's messages go.
#[derive(Clone, Debug, Default)]
pub(super) struct VhostRoutes {
    /// The default exchange: queues by name.
    queues: Map<ShortStr, Targets>,
    exchanges: Map<ShortStr, ExchangeRoutes>,
    /// Of the default exchange.
    counters: Arc<ExchangeCounters>,
}

/// Where an exchange's messages go.
#[derive(Clone, Debug)]
pub(super) struct ExchangeRoutes {
    pub(super) matcher: Matcher,
    internal: bool,
    /// Takes what matches no binding.
    alternate: Option<ShortStr>,
    /// Every exchange that a binding of this one leads to.
    links: RedBlackTreeSetSync<ShortStr>,
    counters: Arc<ExchangeCounters>,
}

impl Routes {
    /// Grows with every change of the topology, including those of policies.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Grows with every change of the routing table only: snapshots of one topology with equal table
    /// versions route alike, so that a cached route outlives a changed policy.
    #[must_use]
    pub fn table_version(&self) -> u64 {
        self.table_version
    }

    /// No queues.
    #[must_use]
    pub fn nowhere(&self) -> Targets {
        self.nowhere.clone()
    }

    /// What was published to an exchange; to the default one under its empty name.
    #[must_use]
    pub fn exchange_counters(
        &self,
        vhost: &ShortStr,
        exchange: &ShortStr,
    ) -> Option<&Arc<ExchangeCounters>> {
        let routes = self.vhosts.get(vhost.as_bytes())?;
        if exchange.as_bytes().is_empty() {
            return Some(&routes.counters);
        }
        Some(&routes.exchanges.get(exchange.as_bytes())?.counters)
    }

    /// Whether the virtual host is there.
    #[must_use]
    pub fn has_vhost(&self, vhost: &[u8]) -> bool {
        self.vhosts.contains_key(vhost)
    }

    /// The queues that a message published to `exchange` goes to: those that any of its routing
    /// keys (its own, `CC` and `BCC`) leads to, through bound and alternate exchanges, each once.
    /// Empty when it is unroutable. `headers` is asked only where a headers exchange is met.
    ///
    /// # Errors
    /// 404 when there is no such exchange, 403 when it is internal (both close the channel), 530
    /// when the virtual host is gone (closes the connection).
    pub fn route(
        &self,
        vhost: &ShortStr,
        exchange: &ObjectName,
        routing_keys: &[ShortStr],
        headers: &dyn Fn() -> Option<FieldTable>,
    ) -> Result<Targets, Fault> {
        let routes = self.vhosts.get(vhost.as_bytes()).ok_or_else(|| vhost_not_found(vhost))?;
        if !exchange.as_bytes().is_empty() {
            let resource = Resource::exchange(exchange, vhost);
            let first =
                routes.exchanges.get(exchange.as_bytes()).ok_or_else(|| resource.not_found())?;
            if first.internal {
                let text = format!("cannot publish to internal {resource}");
                return Err(Fault::channel(ReplyCode::AccessRefused, text));
            }
        }
        Ok(self.route_from_broker(vhost, exchange, routing_keys, headers))
    }

    /// Routes a message that no client publishes, such as a dead letter: an internal exchange takes
    /// it, and a missing exchange leads to no queue instead of a fault.
    #[must_use]
    pub fn route_from_broker(
        &self,
        vhost: &ShortStr,
        exchange: &ShortStr,
        routing_keys: &[ShortStr],
        headers: &dyn Fn() -> Option<FieldTable>,
    ) -> Targets {
        let mut gathered = Gathered::default();
        if let Some(routes) = self.vhosts.get(vhost.as_bytes()) {
            if exchange.as_bytes().is_empty() {
                let queues =
                    routing_keys.iter().filter_map(|key| routes.queues.get(key.as_bytes()));
                queues.for_each(|queue| gathered.add(queue));
            } else if let Some(first) = routes.exchanges.get(exchange.as_bytes()) {
                routes.follow(exchange, first, routing_keys, headers, &mut gathered);
            }
        }
        gathered.into_targets(&self.nowhere)
    }

    /// Whether all messages with equal routing keys go the same way in this table version: no
    /// exchange that looks at headers can be reached.
    #[must_use]
    pub fn is_cacheable(&self, vhost: &ShortStr, exchange: &ShortStr) -> bool {
        let Some(routes) = self.vhosts.get(vhost.as_bytes()) else { return true };
        let mut seen = BTreeSet::new();
        let mut pending = vec![exchange];
        while let Some(name) = pending.pop() {
            let Some(exchange) = routes.exchanges.get(name.as_bytes()) else { continue };
            if exchange.matcher.asks_for_headers() {
                return false;
            }
            let next = exchange.links.iter().chain(&exchange.alternate);
            pending.extend(next.filter(|name| seen.insert(*name)));
        }
        true
    }

    /// Something changed that is published together with the routing table, which stays as it is.
    pub(super) fn note_change(&mut self) {
        self.version += 1;
    }

    fn note_table_change(&mut self) {
        self.version += 1;
        self.table_version = self.version;
    }

    pub(super) fn create_vhost(&mut self, vhost: &ShortStr) {
        self.note_table_change();
        self.vhosts.insert_mut(vhost.clone(), VhostRoutes::default());
    }

    /// Returns what it had: as much as it has bindings, so that the caller frees it in slices.
    pub(super) fn remove_vhost(&mut self, vhost: &ShortStr) -> Option<VhostRoutes> {
        self.note_table_change();
        let routes = self.vhosts.get(vhost.as_bytes()).cloned();
        self.vhosts.remove_mut(vhost.as_bytes());
        routes
    }

    pub(super) fn insert_queue(&mut self, vhost: &ShortStr, name: &ShortStr, queue: QueueId) {
        self.note_table_change();
        if let Some(routes) = self.vhosts.get_mut(vhost.as_bytes()) {
            routes.queues.insert_mut(name.clone(), Arc::from([queue]));
        }
    }

    pub(super) fn remove_queue(&mut self, vhost: &ShortStr, name: &ShortStr) {
        self.note_table_change();
        if let Some(routes) = self.vhosts.get_mut(vhost.as_bytes()) {
            routes.queues.remove_mut(name.as_bytes());
        }
    }

    pub(super) fn insert_exchange(
        &mut self,
        vhost: &ShortStr,
        name: &ShortStr,
        matcher: Matcher,
        internal: bool,
        alternate: Option<ShortStr>,
    ) {
        self.note_table_change();
        if let Some(routes) = self.vhosts.get_mut(vhost.as_bytes()) {
            let links = RedBlackTreeSetSync::new_sync();
            let counters = Arc::default();
            let exchange = ExchangeRoutes { matcher, internal, alternate, links, counters };
            routes.exchanges.insert_mut(name.clone(), exchange);
        }
    }

    pub(super) fn set_alternate(
        &mut self,
        vhost: &ShortStr,
        name: &ShortStr,
        alternate: Option<ShortStr>,
    ) {
        self.note_table_change();
        if let Some(exchange) = self.exchange_mut(vhost, name) {
            exchange.alternate = alternate;
        }
    }

    /// Returns what it had: as much as it has bindings, so that the caller frees it in slices.
    pub(super) fn remove_exchange(
        &mut self,
        vhost: &ShortStr,
        name: &ShortStr,
    ) -> Option<ExchangeRoutes> {
        self.note_table_change();
        let exchanges = &mut self.vhosts.get_mut(vhost.as_bytes())?.exchanges;
        let routes = exchanges.get(name.as_bytes()).cloned();
        exchanges.remove_mut(name.as_bytes());
        routes
    }

    /// Adds a binding of an exchange that is there; again: no change.
    ///
    /// # Errors
    /// 406 when the exchange's type does not understand the arguments.
    pub(super) fn bind(
        &mut self,
        vhost: &ShortStr,
        source: &ShortStr,
        key: &MatchKey,
        arguments: &FieldTable,
        endpoint: &Endpoint,
    ) -> Result<(), Fault> {
        let Some(exchange) = self.exchange_mut(vhost, source) else { return Ok(()) };
        exchange.matcher.insert(key, arguments, endpoint)?;
        if let Endpoint::Exchange(name) = endpoint {
            exchange.links.insert_mut(name.clone());
        }
        self.note_table_change();
        Ok(())
    }

    /// Takes a binding out. `others` tells which further bindings of the topology have the same
    /// ends, as far as the exchange needs to know.
    pub(super) fn unbind(
        &mut self,
        vhost: &ShortStr,
        source: &ShortStr,
        key: &MatchKey,
        endpoint: &Endpoint,
        others: Others,
    ) {
        self.note_table_change();
        if let Some(exchange) = self.exchange_mut(vhost, source) {
            exchange.unbind(key, endpoint, others);
        }
    }

    fn exchange_mut(&mut self, vhost: &ShortStr, name: &ShortStr) -> Option<&mut ExchangeRoutes> {
        self.vhosts.get_mut(vhost.as_bytes())?.exchanges.get_mut(name.as_bytes())
    }
}

/// Which bindings are left beside one that goes, from the same exchange to the same destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
    /// Any.
    pub(super) same_ends: bool,
    /// Any with the same routing key.
    pub(super) same_routing_key: bool,
}

impl ExchangeRoutes {
    /// Takes a binding out, as [`Routes::unbind`] does.
    pub(super) fn unbind(&mut self, key: &MatchKey, endpoint: &Endpoint, others: Others) {
        let shared = match self.matcher.granularity() {
            Granularity::Ends => others.same_ends,
            Granularity::RoutingKey => others.same_routing_key,
            Granularity::Binding => false,
        };
        if !shared {
            self.matcher.remove(key, endpoint);
        }
        if let Endpoint::Exchange(name) = endpoint
            && !others.same_ends
        {
            self.links.remove_mut(name.as_bytes());
        }
    }
}

impl VhostRoutes {
    /// The routes of an exchange of it.
    pub(super) fn exchange_mut(&mut self, name: &ShortStr) -> Option<&mut ExchangeRoutes> {
        self.exchanges.get_mut(name.as_bytes())
    }

    /// Gathers what the exchange and all that it leads to match; each exchange is asked once, so
    /// that cycles end.
    fn follow<'a>(
        &'a self,
        name: &'a ShortStr,
        first: &'a ExchangeRoutes,
        routing_keys: &[ShortStr],
        headers: &dyn Fn() -> Option<FieldTable>,
        gathered: &mut Gathered<'a>,
    ) {
        let mut pending: SmallVec<[&ExchangeRoutes; 1]> = SmallVec::from_slice(&[first]);
        let mut seen = BTreeSet::new();
        while let Some(exchange) = pending.pop() {
            let mut matched = false;
            let mut enter =
                |next: &'a ShortStr, pending: &mut SmallVec<[&'a ExchangeRoutes; 1]>| {
                    if next != name && seen.insert(next) {
                        pending.extend(self.exchanges.get(next.as_bytes()));
                    }
                };
            exchange.matcher.visit(routing_keys, headers, |found: &'a Destinations| {
                matched |= !found.is_empty();
                gathered.add(found.queues());
                found.exchanges().for_each(|next| enter(next, &mut pending));
            });
            if let (false, Some(alternate)) = (matched, &exchange.alternate) {
                enter(alternate, &mut pending);
            }
        }
    }
}

/// Queues found so far. As long as they all come from one place, its prepared targets are kept.
#[derive(Default)]
struct Gathered<'a> {
    only: Option<&'a Targets>,
    queues: SmallVec<[QueueId; TARGETS_INLINE]>,
}

impl<'a> Gathered<'a> {
    fn add(&mut self, targets: &'a Targets) {
        match self.only {
            _ if targets.is_empty() => {}
            Some(only) if Arc::ptr_eq(only, targets) => {}
            None if self.queues.is_empty() => self.only = Some(targets),
            only => {
                self.queues.extend(only.into_iter().flat_map(|only| only.iter().copied()));
                self.queues.extend(targets.iter().copied());
                self.only = None;
            }
        }
    }

    fn into_targets(mut self, nowhere: &Targets) -> Targets {
        if self.queues.is_empty() {
            return self.only.unwrap_or(nowhere).clone();
        }
        self.queues.sort_unstable();
        self.queues.dedup();
        Arc::from(self.queues.as_slice())
    }
}
