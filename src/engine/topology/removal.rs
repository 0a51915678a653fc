//! Objects that are gone and of which bindings are left. An exchange, a queue or a virtual host may
//! have hundreds of thousands: they are taken away a few at a time, so that other clients come in
//! between.
//!
//! The object itself goes first, so that nothing is routed to it and nothing can be bound to it any
//! more. Its name is not free before the last binding is gone: whoever asks for it then must be made
//! to wait ([`Topology::is_leaving`]), otherwise it would get the old bindings. With the object goes
//! a record that says what is being removed; a recovery that finds one completes the removal.

use super::destinations::Endpoint;
use super::persistent::{pop, take};
use super::routes::{ExchangeRoutes, VhostRoutes};
use super::{Topology, Vhost, record};
use crate::limits::REMOVALS_MAX;
use crate::model::{Destination, ObjectName, QueueId};
use crate::operation::Operation;
use crate::schedules::remove_schedule;
use bytes::Bytes;
use forebay_wire::ShortStr;
use std::collections::{BTreeSet, VecDeque};

/// What is being removed, in the order in which it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Removals {
    pub(super) leaving: VecDeque<Leaving>,
    begun: u64,
    done: u64,
    /// Bindings that are taken away together with the object.
    at_once_max: usize,
    /// What a recovery found.
    pub(super) interrupted: Interrupted,
}

#[derive(Clone, Debug)]
pub(super) enum Leaving {
    Object(GoneObject),
    Vhost(ShortStr, Box<GoneVhost>),
}

/// A queue or an exchange that is gone.
#[derive(Clone, Debug)]
pub(super) struct GoneObject {
    vhost: ShortStr,
    end: Destination,
    /// Of a queue.
    queue: Option<QueueId>,
    /// Of an exchange: where its messages went. As large as its bindings are many, so it shrinks with
    /// them instead of being freed at once.
    pub(super) routes: Option<ExchangeRoutes>,
}

impl GoneObject {
    /// A queue that is gone.
    pub(super) fn queue(vhost: &ShortStr, name: &ShortStr, id: QueueId) -> Self {
        let end = Destination::Queue(ObjectName::stored(name.clone()));
        Self { vhost: vhost.clone(), end, queue: Some(id), routes: None }
    }

    /// An exchange that is gone.
    pub(super) fn exchange(
        vhost: &ShortStr,
        name: &ShortStr,
        routes: Option<ExchangeRoutes>,
    ) -> Self {
        let end = Destination::Exchange(ObjectName::stored(name.clone()));
        Self { vhost: vhost.clone(), end, queue: None, routes }
    }
}

/// A virtual host that is gone, with what is left of it.
#[derive(Clone, Debug)]
pub(super) struct GoneVhost {
    host: Vhost,
    /// Where its messages went; shrinks with its bindings.
    pub(super) routes: Option<VhostRoutes>,
}

/// Removals that a process did not live to complete, and the records that go with them.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupted {
    vhosts: BTreeSet<ShortStr>,
    ends: BTreeSet<(ShortStr, Destination)>,
    keys: Vec<Bytes>,
}

impl Default for Removals {
    fn default() -> Self {
        Self {
            leaving: VecDeque::new(),
            begun: 0,
            done: 0,
            at_once_max: REMOVALS_MAX,
            interrupted: Interrupted::default(),
        }
    }
}

impl Leaving {
    fn operation(
        &self,
        operation: impl FnOnce(&ShortStr, Option<&Destination>) -> Operation,
    ) -> Operation {
        match self {
            Self::Object(gone) => operation(&gone.vhost, Some(&gone.end)),
            Self::Vhost(name, _) => operation(name, None),
        }
    }
}

impl Interrupted {
    /// A record tells of one.
    pub(super) fn add(&mut self, key: Bytes, vhost: ShortStr, end: Option<Destination>) {
        match end {
            Some(end) => drop(self.ends.insert((vhost, end))),
            None => drop(self.vhosts.insert(vhost)),
        }
        self.keys.push(key);
    }

    /// Whether a record goes with its virtual host.
    pub(super) fn takes(&mut self, key: &Bytes, vhost: &ShortStr) -> bool {
        let is_taken = self.vhosts.contains(vhost);
        if is_taken {
            self.keys.push(key.clone());
        }
        is_taken
    }

    /// Whether the record of a binding goes with one of its ends, or with its virtual host.
    pub(super) fn takes_binding(
        &mut self,
        key: &Bytes,
        vhost: &ShortStr,
        source: &ObjectName,
        destination: &Destination,
    ) -> bool {
        let is_gone = |end: Destination| self.ends.contains(&(vhost.clone(), end));
        let is_taken = !self.ends.is_empty()
            && (is_gone(Destination::Exchange(source.clone())) || is_gone(destination.clone()));
        if is_taken {
            self.keys.push(key.clone());
        }
        is_taken || self.takes(key, vhost)
    }

    /// What the store must learn: none of the records stays.
    pub(super) fn operations(self) -> Vec<Operation> {
        self.keys.into_iter().map(|key| Operation::RemoveRecord { key }).collect()
    }
}

impl Topology {
    /// With more bindings than this, an object leaves in slices.
    pub(crate) fn set_removals_at_once(&mut self, most: usize) {
        self.removals.at_once_max = most;
    }

    /// How many removals in slices have begun, ever.
    pub(crate) fn removals_begun(&self) -> u64 {
        self.removals.begun
    }

    /// How many of them are complete.
    pub(crate) fn removals_done(&self) -> u64 {
        self.removals.done
    }

    /// Whether an object of this name is gone and bindings of it are left.
    pub(crate) fn is_leaving(&self, vhost: &ShortStr, end: &Destination) -> bool {
        self.removals.leaving.iter().any(|leaving| match leaving {
            Leaving::Object(gone) => gone.vhost == *vhost && gone.end == *end,
            Leaving::Vhost(..) => false,
        })
    }

    /// Whether one end of a binding is gone.
    pub(super) fn is_binding_leaving(
        &self,
        vhost: &ShortStr,
        source: &ObjectName,
        destination: &Destination,
    ) -> bool {
        !self.removals.leaving.is_empty()
            && (self.is_leaving(vhost, destination)
                || self.is_leaving(vhost, &Destination::Exchange(source.clone())))
    }

    /// A queue or an exchange is gone: takes its bindings away, or begins to when there are many.
    pub(super) fn remove_bindings_of(&mut self, gone: GoneObject) {
        let mut objects = vec![gone];
        while let Some(mut gone) = objects.pop() {
            if self.has_many_bindings(&gone) {
                self.begin_removal(Leaving::Object(gone));
                continue;
            }
            let (_, orphans) = self.take_bindings(&mut gone, usize::MAX);
            objects.extend(orphans.iter().filter_map(|name| self.take_exchange(&gone.vhost, name)));
        }
    }

    /// Removes a virtual host from sight; what is in it leaves in slices. Returns its queues, which
    /// the caller removes before it goes on with [`Self::take_away`].
    pub(crate) fn begin_vhost_removal(&mut self, name: &ShortStr) -> Option<Vec<QueueId>> {
        let host = take(&mut self.vhosts, name)?;
        let routes = self.routes.remove_vhost(name);
        let queues = host.queues.values().copied().collect();
        self.begin_removal(Leaving::Vhost(name.clone(), Box::new(GoneVhost { host, routes })));
        Some(queues)
    }

    /// Goes on with the first removal, with so many bindings and other records at most. Returns how
    /// many there were.
    pub(crate) fn take_away(&mut self, most: usize) -> usize {
        let Some(mut leaving) = self.removals.leaving.pop_front() else { return 0 };
        let (taken, is_done) = match &mut leaving {
            Leaving::Object(gone) => {
                let (taken, orphans) = self.take_bindings(gone, most);
                for orphan in orphans {
                    self.remove_exchange(&gone.vhost, &orphan);
                }
                (taken, taken < most)
            }
            Leaving::Vhost(name, host) => self.take_from_vhost(name, host, most),
        };
        if is_done {
            self.removals.done += 1;
            self.operations.push(leaving.operation(record::remove_removal));
        } else {
            self.removals.leaving.push_front(leaving);
        }
        taken
    }

    fn begin_removal(&mut self, leaving: Leaving) {
        self.operations.push(leaving.operation(record::put_removal));
        self.removals.begun += 1;
        self.removals.leaving.push_back(leaving);
    }

    fn has_many_bindings(&self, gone: &GoneObject) -> bool {
        let Some(host) = self.vhosts.get(&gone.vhost) else { return false };
        let most = self.removals.at_once_max;
        host.bindings.of(&gone.end).take(most.saturating_add(1)).count() > most
    }

    /// Takes bindings of an object away. Returns how many, and the auto-delete exchanges that have
    /// none left.
    fn take_bindings(&mut self, gone: &mut GoneObject, most: usize) -> (usize, Vec<ShortStr>) {
        let Some(host) = self.vhosts.get(&gone.vhost) else { return (0, Vec::new()) };
        let keys: Vec<_> = host.bindings.of(&gone.end).take(most).collect();
        let mut orphans = Vec::new();
        for key in &keys {
            let endpoint = gone.queue.filter(|_| key.destination == gone.end).map(Endpoint::Queue);
            let is_source = matches!(&gone.end, Destination::Exchange(name) if *name == key.source);
            let source = gone.routes.as_mut().filter(|_| is_source);
            orphans.extend(self.remove_binding(&gone.vhost, key, endpoint, source));
        }
        (keys.len(), orphans)
    }

    /// Takes records of what is in a virtual host away. Returns how many, and whether that was all.
    fn take_from_vhost(
        &mut self,
        name: &ShortStr,
        gone: &mut GoneVhost,
        most: usize,
    ) -> (usize, bool) {
        let GoneVhost { host, routes } = gone;
        let before = self.operations.len();
        let mut taken = 0;
        while taken < most
            && let Some((key, number)) = host.bindings.pop()
        {
            self.operations.extend(number.map(record::remove_binding));
            let endpoint = match &key.destination {
                Destination::Queue(name) => host.queues.get(&**name).copied().map(Endpoint::Queue),
                Destination::Exchange(name) => Some(Endpoint::Exchange(name.clone().into_short())),
            };
            let source = routes.as_mut().and_then(|routes| routes.exchange_mut(&key.source));
            if let (Some(source), Some(endpoint)) = (source, endpoint) {
                source.unbind(&key.matching, &endpoint, host.bindings.others(&key));
            }
            taken += 1;
        }
        while taken < most
            && let Some(exchange) = pop(&mut host.exchanges)
        {
            if exchange.is_stored() {
                self.operations.push(record::remove_exchange(&exchange));
            }
            taken += 1;
        }
        debug_assert!(self.operations.len() - before <= taken);
        if taken == most {
            return (taken, false);
        }
        self.operations.extend(host.policies.iter().map(|p| record::remove_policy(name, p)));
        self.operations.extend(host.schedules.keys().map(|key| remove_schedule(name, key)));
        self.operations.push(record::remove_vhost(name));
        (taken, true)
    }
}
