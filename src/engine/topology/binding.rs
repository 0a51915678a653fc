//! Bindings of a virtual host: their records, bind and unbind (AMQP 0-9-1, 1.6 and 1.7.2.3) with
//! RabbitMQ's checks.

use super::destinations::Endpoint;
use super::match_key::MatchKey;
use super::names::{Resource, check_not_default_exchange};
use super::persistent::{Tree, TreeSet, take};
use super::record::BindingNumber;
use super::routes::{ExchangeRoutes, Others};
use super::{Topology, record};
use crate::model::{Binding, ConnectionId, Destination, Fault, ObjectName};
use bytes::Bytes;
use forebay_wire::{FieldTable, ShortStr};

/// A binding's identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BindingKey {
    pub(super) source: ObjectName,
    pub(super) destination: Destination,
    pub(super) matching: MatchKey,
}

#[derive(Clone, Debug)]
struct Entry {
    arguments: FieldTable,
    /// Nothing for those that don't survive a restart.
    stored_as: Option<BindingNumber>,
}

/// All bindings of a virtual host, found by either end.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    by_source: Tree<BindingKey, Entry>,
    by_destination: TreeSet<(Destination, ObjectName, MatchKey)>,
}

impl BindingKey {
    pub(super) fn new(binding: &Binding) -> Self {
        Self {
            source: binding.source.clone(),
            destination: binding.destination.clone(),
            matching: MatchKey::new(&binding.routing_key, &binding.arguments),
        }
    }

    fn binding(&self, arguments: &FieldTable) -> Binding {
        Binding {
            source: self.source.clone(),
            destination: self.destination.clone(),
            routing_key: self.matching.routing_key.clone(),
            arguments: arguments.clone(),
        }
    }
}

impl Bindings {
    /// Whether any leads away from the exchange.
    pub(super) fn any_from(&self, source: &ShortStr) -> bool {
        self.from(source).next().is_some()
    }

    fn from(&self, source: &ShortStr) -> impl Iterator<Item = (&BindingKey, &Entry)> {
        let lowest = BindingKey {
            source: ObjectName::stored(source.clone()),
            destination: Destination::Queue(ObjectName::EMPTY),
            matching: MatchKey::lowest(),
        };
        self.by_source
            .range(lowest.clone()..)
            .take_while(move |(key, _)| key.source == lowest.source)
    }

    fn to<'a>(
        &'a self,
        destination: &'a Destination,
    ) -> impl Iterator<Item = BindingKey> + use<'a> {
        let lowest = (destination.clone(), ObjectName::EMPTY, MatchKey::lowest());
        self.by_destination.range(lowest..).take_while(move |(there, ..)| there == destination).map(
            |(destination, source, matching)| BindingKey {
                source: source.clone(),
                destination: destination.clone(),
                matching: matching.clone(),
            },
        )
    }

    /// All that lead to the object, and, of an exchange, all that lead away from it.
    pub(super) fn of<'a>(
        &'a self,
        object: &'a Destination,
    ) -> impl Iterator<Item = BindingKey> + use<'a> {
        let from = match object {
            Destination::Exchange(name) => Some(self.from(name).map(|(key, _)| key.clone())),
            Destination::Queue(_) => None,
        };
        self.to(object).chain(from.into_iter().flatten())
    }

    /// Takes any one out; returns it with the number of its record, when it has one.
    pub(super) fn pop(&mut self) -> Option<(BindingKey, Option<BindingNumber>)> {
        if self.by_source.is_empty() {
            // Ends with `by_source`, whose keys it has.
            self.by_destination = TreeSet::default();
        }
        let key = self.by_source.first().map(|(key, _)| key.clone())?;
        let number = self.remove(&key)?.stored_as;
        Some((key, number))
    }

    fn insert(&mut self, key: BindingKey, entry: Entry) {
        let BindingKey { source, destination, matching } = key.clone();
        self.by_destination.insert_mut((destination, source, matching));
        self.by_source.insert_mut(key, entry);
    }

    fn remove(&mut self, key: &BindingKey) -> Option<Entry> {
        let entry = take(&mut self.by_source, key)?;
        let BindingKey { source, destination, matching } = key.clone();
        self.by_destination.remove_mut(&(destination, source, matching));
        Some(entry)
    }

    /// What is left with the same ends as `key`, which is gone.
    pub(super) fn others(&self, key: &BindingKey) -> Others {
        let any_from = |lowest: MatchKey| {
            let lowest = BindingKey { matching: lowest, ..key.clone() };
            self.by_source
                .range(lowest..)
                .next()
                .map(|(next, _)| next)
                .filter(|next| next.source == key.source && next.destination == key.destination)
        };
        let same_key = MatchKey { arguments: Bytes::new(), ..key.matching.clone() };
        Others {
            same_ends: any_from(MatchKey::lowest()).is_some(),
            same_routing_key: any_from(same_key)
                .is_some_and(|next| next.matching.routing_key == key.matching.routing_key),
        }
    }
}

impl Topology {
    /// Binds a queue or an exchange to an exchange; again: no change.
    ///
    /// # Errors
    /// 403 for the default exchange at either end; 404 when an end is missing; 405 when the queue
    /// is exclusive to another connection; 406 when the exchange does not understand the
    /// arguments. All close the channel.
    pub fn bind(
        &mut self,
        vhost: &ShortStr,
        connection: ConnectionId,
        binding: &Binding,
    ) -> Result<(), Fault> {
        let binding = &detached(binding);
        check_ends(binding)?;
        self.vhost(vhost)?;
        if self.exchange(vhost, &binding.source).is_none() {
            return Err(Resource::exchange(&binding.source, vhost).not_found());
        }
        if let Destination::Queue(queue) = &binding.destination {
            self.queue(vhost, queue, connection)?;
        }
        self.add_binding(vhost, binding, None)
    }

    /// Takes a binding out; not there, or an end missing: no change. An auto-delete exchange goes
    /// with its last binding.
    ///
    /// # Errors
    /// 403 for the default exchange at either end; 405 when the queue is exclusive to another
    /// connection. Both close the channel.
    pub fn unbind(
        &mut self,
        vhost: &ShortStr,
        connection: ConnectionId,
        binding: &Binding,
    ) -> Result<(), Fault> {
        let binding = &detached(binding);
        check_ends(binding)?;
        let host = self.vhost(vhost)?;
        let key = BindingKey::new(binding);
        if !host.bindings.by_source.contains_key(&key) {
            return Ok(());
        }
        if let Destination::Queue(queue) = &binding.destination {
            self.queue(vhost, queue, connection)?;
        }
        if let Some(orphaned) = self.remove_binding(vhost, &key, None, None) {
            self.remove_exchange(vhost, &orphaned);
        }
        Ok(())
    }

    /// The bindings of a virtual host by source, without those of the default exchange.
    pub fn bindings<'a>(&'a self, vhost: &'a ShortStr) -> impl Iterator<Item = Binding> + use<'a> {
        let bindings = self.vhosts.get(vhost).map(|host| &host.bindings.by_source);
        let is_there =
            |key: &BindingKey| !self.is_binding_leaving(vhost, &key.source, &key.destination);
        let bindings = bindings.into_iter().flatten().filter(move |(key, _)| is_there(key));
        bindings.map(|(key, entry)| key.binding(&entry.arguments))
    }

    /// The bindings that lead away from an exchange, the default one apart.
    pub fn bindings_from(&self, vhost: &ShortStr, source: &ObjectName) -> Vec<Binding> {
        let Some(host) = self.vhosts.get(vhost) else { return Vec::new() };
        host.bindings.from(source).map(|(key, entry)| key.binding(&entry.arguments)).collect()
    }

    /// The bindings that lead to a queue or an exchange, those of the default exchange apart.
    pub fn bindings_to(&self, vhost: &ShortStr, destination: &Destination) -> Vec<Binding> {
        let Some(host) = self.vhosts.get(vhost) else { return Vec::new() };
        let keys = host.bindings.to(destination);
        let bindings = keys.filter_map(|key| {
            let entry = host.bindings.by_source.get(&key)?;
            Some(key.binding(&entry.arguments))
        });
        bindings.collect()
    }

    /// Adds a binding between ends that are there. `stored_as`: it comes from the store.
    pub(super) fn add_binding(
        &mut self,
        vhost: &ShortStr,
        binding: &Binding,
        stored_as: Option<BindingNumber>,
    ) -> Result<(), Fault> {
        let key = BindingKey::new(binding);
        let (endpoint, durable) = self.endpoint(vhost, &binding.destination)?;
        let durable = durable && self.exchange(vhost, &key.source).is_some_and(|x| x.durable);
        let Some(host) = self.vhosts.get_mut(vhost) else { return Ok(()) };
        if host.bindings.by_source.contains_key(&key) {
            return Ok(());
        }
        let arguments = &binding.arguments;
        self.routes.bind(vhost, &key.source, &key.matching, arguments, &endpoint)?;
        let mut entry = Entry { arguments: arguments.clone(), stored_as };
        if durable && stored_as.is_none() {
            entry.stored_as = Some(self.next_binding);
            self.operations.push(record::put_binding(self.next_binding, vhost, binding));
            self.next_binding += 1;
        }
        host.bindings.insert(key, entry);
        Ok(())
    }

    /// Takes one out; returns its source if that is an auto-delete exchange without bindings now.
    /// `gone`: where it leads to, when that is gone. `source`: the routes of where it comes from, when
    /// that is gone.
    pub(super) fn remove_binding(
        &mut self,
        vhost: &ShortStr,
        key: &BindingKey,
        gone: Option<Endpoint>,
        source: Option<&mut ExchangeRoutes>,
    ) -> Option<ShortStr> {
        let endpoint = gone.or_else(|| match &key.destination {
            Destination::Queue(name) => self.find_queue(vhost, name).map(|q| Endpoint::Queue(q.id)),
            Destination::Exchange(name) => Some(Endpoint::Exchange(name.clone().into_short())),
        });
        let host = self.vhosts.get_mut(vhost)?;
        let entry = host.bindings.remove(key)?;
        if let Some(number) = entry.stored_as {
            self.operations.push(record::remove_binding(number));
        }
        if let Some(endpoint) = endpoint {
            let others = host.bindings.others(key);
            match source {
                Some(source) => source.unbind(&key.matching, &endpoint, others),
                None => self.routes.unbind(vhost, &key.source, &key.matching, &endpoint, others),
            }
        }
        let source = host.exchanges.get(&*key.source)?;
        let orphaned = source.auto_delete && !host.bindings.any_from(&key.source);
        orphaned.then(|| key.source.clone().into_short())
    }

    /// Where a destination is now, and whether it survives a restart.
    fn endpoint(
        &self,
        vhost: &ShortStr,
        destination: &Destination,
    ) -> Result<(Endpoint, bool), Fault> {
        match destination {
            Destination::Queue(name) => {
                let queue = self.find_queue(vhost, name);
                let queue = queue.ok_or_else(|| Resource::queue(name, vhost).not_found())?;
                Ok((Endpoint::Queue(queue.id), queue.durable))
            }
            Destination::Exchange(name) => {
                let exchange = self.exchange(vhost, name);
                let exchange =
                    exchange.ok_or_else(|| Resource::exchange(name, vhost).not_found())?;
                Ok((Endpoint::Exchange(name.clone().into_short()), exchange.durable))
            }
        }
    }
}

fn check_ends(binding: &Binding) -> Result<(), Fault> {
    if let Destination::Exchange(name) = &binding.destination {
        check_not_default_exchange(name)?;
    }
    check_not_default_exchange(&binding.source)
}

/// The binding as it is kept: nothing shared with the bytes that it was read from.
fn detached(binding: &Binding) -> Binding {
    Binding {
        source: binding.source.detached(),
        destination: match &binding.destination {
            Destination::Queue(queue) => Destination::Queue(queue.detached()),
            Destination::Exchange(exchange) => Destination::Exchange(exchange.detached()),
        },
        routing_key: binding.routing_key.detached(),
        arguments: binding.arguments.detached(),
    }
}
