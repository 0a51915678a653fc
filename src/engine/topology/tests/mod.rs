//! What a user of exchanges and queues relies on. The texts and codes were asked of RabbitMQ 3.10.

mod arguments;
mod consistent_hash;
mod delete;
mod equivalence;
mod exchanges;
mod headers;
mod model;
mod names;
mod policy;
mod recovery;
mod snapshot;
mod topic;

use super::{DeclaredQueue, Topology};
use crate::model::{
    Binding, ConnectionId, Destination, ExchangeDeclaration, Fault, ObjectName, QueueDeclaration,
};
use crate::operation::Operation;
use bytes::Bytes;
use forebay_wire::{FieldTable, FieldValue, ReplyCode, ShortStr};
use std::collections::BTreeMap;

/// The connection that the tests act for when it does not matter.
const CONNECTION: ConnectionId = ConnectionId(1);
/// Somebody else.
const STRANGER: ConnectionId = ConnectionId(2);

fn name(text: &str) -> ShortStr {
    ShortStr::try_from(text).unwrap()
}

fn object(text: &str) -> ObjectName {
    ObjectName::try_from(text).unwrap()
}

fn table(fields: &[(&str, FieldValue)]) -> FieldTable {
    fields.iter().map(|(field, value)| (name(field), value.clone())).collect()
}

fn text(value: &str) -> FieldValue {
    FieldValue::from(value)
}

/// A topology with the virtual host `/`, and a store that keeps its records.
struct Host {
    topology: Topology,
    vhost: ShortStr,
    records: BTreeMap<Bytes, Bytes>,
}

/// An exchange to declare: by default transient, without arguments.
#[derive(Clone, Default)]
struct Exchange {
    passive: bool,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: FieldTable,
}

/// A queue to declare: by default transient, shared, without arguments.
#[derive(Clone, Default)]
struct Queue {
    is_generated: bool,
    passive: bool,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    arguments: FieldTable,
}

impl Host {
    fn new() -> Self {
        let mut topology = Topology::new();
        topology.create_vhost(&name("/"));
        Self { topology, vhost: name("/"), records: BTreeMap::new() }
    }

    fn exchange_with(&mut self, exchange: &str, kind: &str, with: &Exchange) -> Result<(), Fault> {
        let request = ExchangeDeclaration {
            name: object(exchange),
            kind: name(kind),
            passive: with.passive,
            durable: with.durable,
            auto_delete: with.auto_delete,
            internal: with.internal,
            arguments: with.arguments.clone(),
        };
        self.topology.declare_exchange(&self.vhost, &request)
    }

    fn exchange(&mut self, exchange: &str, kind: &str) {
        self.exchange_with(exchange, kind, &Exchange::default()).unwrap();
    }

    fn queue_as(
        &mut self,
        connection: ConnectionId,
        queue: &str,
        with: &Queue,
    ) -> Result<DeclaredQueue, Fault> {
        let request = QueueDeclaration {
            name: object(queue),
            is_generated: with.is_generated,
            passive: with.passive,
            durable: with.durable,
            exclusive: with.exclusive,
            auto_delete: with.auto_delete,
            arguments: with.arguments.clone(),
        };
        self.topology.declare_queue(&self.vhost, connection, &request)
    }

    fn queue_with(&mut self, queue: &str, with: &Queue) -> Result<DeclaredQueue, Fault> {
        self.queue_as(CONNECTION, queue, with)
    }

    fn queue(&mut self, queue: &str) {
        self.queue_with(queue, &Queue::default()).unwrap();
    }

    fn bind_with(&mut self, source: &str, queue: &str, key: &str, arguments: FieldTable) {
        let binding = binding(source, Destination::Queue(object(queue)), key, arguments);
        self.topology.bind(&self.vhost, CONNECTION, &binding).unwrap();
    }

    fn bind(&mut self, source: &str, queue: &str, key: &str) {
        self.bind_with(source, queue, key, FieldTable::new());
    }

    fn bind_exchange(&mut self, source: &str, exchange: &str, key: &str) {
        let to = Destination::Exchange(object(exchange));
        let binding = binding(source, to, key, FieldTable::new());
        self.topology.bind(&self.vhost, CONNECTION, &binding).unwrap();
    }

    fn unbind(&mut self, source: &str, queue: &str, key: &str) {
        let to = Destination::Queue(object(queue));
        let binding = binding(source, to, key, FieldTable::new());
        self.topology.unbind(&self.vhost, CONNECTION, &binding).unwrap();
    }

    fn remove_queue(&mut self, queue: &str) {
        let queue = self.topology.find_queue(&self.vhost, &name(queue)).unwrap().id;
        self.topology.remove_queue(queue).unwrap();
    }

    fn route_with(&self, exchange: &str, keys: &[&str], headers: &FieldTable) -> Vec<String> {
        let keys: Vec<_> = keys.iter().map(|key| name(key)).collect();
        let headers = || Some(headers.clone());
        let routes = self.topology.routes();
        let targets = routes.route(&self.vhost, &object(exchange), &keys, &headers).unwrap();
        assert!(targets.is_sorted_by(|left, right| left < right), "{targets:?}");
        let mut names: Vec<_> = targets
            .iter()
            .map(|queue| self.topology.queue_by_id(*queue).unwrap().name.to_string())
            .collect();
        names.sort();
        names
    }

    fn route(&self, exchange: &str, key: &str) -> Vec<String> {
        self.route_with(exchange, &[key], &FieldTable::new())
    }

    fn has_exchange(&mut self, exchange: &str) -> bool {
        let passive = Exchange { passive: true, ..Exchange::default() };
        self.exchange_with(exchange, "", &passive).is_ok()
    }

    /// Lets the store take what there is to take.
    fn store(&mut self) {
        for operation in self.topology.take_operations() {
            match operation {
                Operation::PutRecord { key, value } => {
                    self.records.insert(key, value);
                }
                Operation::RemoveRecord { key } => {
                    assert!(self.records.remove(&key).is_some(), "never put: {key:?}");
                }
                other => panic!("no record: {other:?}"),
            }
        }
    }

    /// The host after a restart.
    fn restarted(&mut self) -> Self {
        self.store();
        let records: Vec<_> = self.records.clone().into_iter().collect();
        let topology = Topology::recover(&records).unwrap();
        Self { topology, vhost: self.vhost.clone(), records: self.records.clone() }
    }
}

fn binding(source: &str, destination: Destination, key: &str, arguments: FieldTable) -> Binding {
    Binding { source: object(source), destination, routing_key: name(key), arguments }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Fault>, code: ReplyCode, text: &str) {
    let fault = outcome.unwrap_err();
    assert_eq!((fault.code, fault.text.as_str()), (code, text));
}
