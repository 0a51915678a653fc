//! What is checked is what is acted on: whatever line breaks a client puts into a name, it reaches no
//! exchange or queue but those that its permission names.

use super::*;
use crate::access::{Access, Permission};
use crate::model::{Destination, NamePattern, ObjectName, Targets};
use forebay_wire::FieldTable;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Names that are there as an exchange and as a queue, and one that is not.
const NAMES: [&str; 5] = ["payroll", "pay", "mine", "mine.payroll", "new"];

const PATTERNS: [&str; 9] = [
    "^(?!payroll).*$",
    "^mine",
    "^payroll$",
    "^(?!mine|new).*",
    "roll",
    "^$",
    "",
    "^(amq\\.(default|gen-.{22})|new)$",
    ".*",
];

/// A name with line breaks anywhere in it.
fn raw_name() -> impl Strategy<Value = ShortStr> {
    let base = prop_oneof![6 => prop::sample::select(&NAMES[..]), 1 => Just("")];
    let breaks = prop::collection::vec((any::<prop::sample::Index>(), "[\r\n]"), 0..3);
    (base, breaks).prop_map(|(base, breaks)| {
        let mut text = base.to_owned();
        for (at, byte) in breaks {
            text.insert_str(at.index(text.len() + 1), &byte);
        }
        name(&text)
    })
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    DeclareQueue,
    DeclareExchange,
    DeleteQueue,
    DeleteExchange,
    Purge,
    Bind,
    Unbind,
    BindExchange,
    UnbindExchange,
    Consume,
    Get,
    Publish,
    PublishInTransaction,
}

const KINDS: [Kind; 13] = [
    Kind::DeclareQueue,
    Kind::DeclareExchange,
    Kind::DeleteQueue,
    Kind::DeleteExchange,
    Kind::Purge,
    Kind::Bind,
    Kind::Unbind,
    Kind::BindExchange,
    Kind::UnbindExchange,
    Kind::Consume,
    Kind::Get,
    Kind::Publish,
    Kind::PublishInTransaction,
];

/// A client, with an exchange and a queue of each name but the last, the queue bound to the exchange.
fn client() -> Client {
    let mut client = Client::open();
    for there in &NAMES[..NAMES.len() - 1] {
        client.declare(there);
        let declare =
            ExchangeDeclare { exchange: name(there), kind: name("fanout"), ..Default::default() };
        client.send(1, declare);
        client.answered();
        client.frames();
        let there = ObjectName::try_from(*there).unwrap();
        let binding = crate::model::Binding {
            source: there.clone(),
            destination: Destination::Queue(there),
            routing_key: ShortStr::EMPTY,
            arguments: FieldTable::new(),
        };
        client.topology.bind(&name("/"), ConnectionId(7), &binding).unwrap();
    }
    client
}

fn named(argument: &'static str, value: &ShortStr) -> FieldTable {
    let value = FieldValue::LongStr(value.clone().into_bytes());
    [(name(argument), value)].into_iter().collect()
}

fn send(client: &mut Client, kind: Kind, one: ShortStr, two: ShortStr) {
    match kind {
        Kind::DeclareQueue => {
            let arguments = named("x-dead-letter-exchange", &two);
            client.send(1, QueueDeclare { queue: one, arguments, ..Default::default() });
        }
        Kind::DeclareExchange => {
            let (kind, arguments) = (name("fanout"), named("alternate-exchange", &two));
            client
                .send(1, ExchangeDeclare { exchange: one, kind, arguments, ..Default::default() });
        }
        Kind::DeleteQueue => client.send(1, QueueDelete { queue: one, ..Default::default() }),
        Kind::DeleteExchange => {
            client.send(1, ExchangeDelete { exchange: one, ..Default::default() });
        }
        Kind::Purge => client.send(1, QueuePurge { queue: one, ..Default::default() }),
        Kind::Bind => {
            let routing_key = name("k");
            client.send(
                1,
                QueueBind { queue: one, exchange: two, routing_key, ..Default::default() },
            );
        }
        Kind::Unbind => {
            client.send(1, QueueUnbind { queue: one, exchange: two, ..Default::default() })
        }
        Kind::BindExchange => {
            client.send(1, ExchangeBind { destination: one, source: two, ..Default::default() });
        }
        Kind::UnbindExchange => {
            client.send(1, ExchangeUnbind { destination: one, source: two, ..Default::default() });
        }
        Kind::Consume => client.send(1, BasicConsume { queue: one, ..Default::default() }),
        Kind::Get => client.send(1, BasicGet { queue: one, no_ack: true }),
        Kind::Publish | Kind::PublishInTransaction => {
            if matches!(kind, Kind::PublishInTransaction) {
                client.send(1, TxSelect {});
            }
            let publish = BasicPublish { exchange: one, routing_key: two, ..Default::default() };
            client.publish(publish, &Properties::default(), b"x");
            if matches!(kind, Kind::PublishInTransaction) {
                client.send(1, TxCommit {});
            }
        }
    }
}

/// Which access to which names the topology's change, or the command itself, amounts to; by the
/// names that are in force, whatever the client wrote.
fn touched(client: &mut Client, command: &Command) -> Vec<(Access, String)> {
    match command {
        Command::Topology { request, .. } => touched_by_request(client, request),
        Command::Subscribe(subscribe) => vec![(Access::Read, found(client, &subscribe.queue))],
        Command::Get { queue, .. } => vec![(Access::Read, found(client, queue))],
        Command::Publish(publish) => written(client, &publish.targets),
        Command::CommitTransaction { publishes, .. } => {
            publishes.iter().flat_map(|publish| written(client, &publish.targets)).collect()
        }
        Command::CloseChannel { .. } => Vec::new(),
        other => panic!("{other:?}"),
    }
}

/// The queue that the shard would find; nothing is touched when it finds none.
fn found(client: &Client, queue: &ShortStr) -> String {
    let record = client.topology.find_queue(&name("/"), queue);
    record.map(|record| record.name.to_string()).unwrap_or_default()
}

/// Each of these queues is bound to the exchange of its name, and to the default one.
fn written(client: &Client, targets: &Targets) -> Vec<(Access, String)> {
    let queue = |id| client.topology.queue_by_id(id).unwrap().name.to_string();
    targets.iter().map(|id| (Access::Write, queue(*id))).collect()
}

type Snapshot = (BTreeSet<String>, BTreeSet<String>);

fn snapshot(client: &Client) -> Snapshot {
    let vhost = name("/");
    let queues = client.topology.queues().map(|queue| {
        let dead = &queue.settings.dead_letter_exchange;
        (queue.name.to_string(), dead.as_ref().map(ToString::to_string))
    });
    let exchanges = client.topology.exchanges(&vhost);
    let exchanges = exchanges
        .map(|there| (there.name.to_string(), there.alternate.as_ref().map(ToString::to_string)));
    let all: Vec<_> = queues.chain(exchanges).collect();
    let names = all.iter().map(|(name, _)| name.clone()).collect();
    let targets = all.into_iter().filter_map(|(_, target)| target).collect();
    (names, targets)
}

fn touched_by_request(client: &mut Client, request: &TopologyRequest) -> Vec<(Access, String)> {
    let (vhost, connection) = (name("/"), ConnectionId(7));
    let before = snapshot(client);
    let bindings = |client: &Client| client.topology.bindings(&vhost).collect::<Vec<_>>();
    let bound_before = bindings(client);
    match request {
        TopologyRequest::Bind(binding) => {
            let _ = client.topology.bind(&vhost, connection, binding);
        }
        TopologyRequest::Unbind(binding) => {
            let _ = client.topology.unbind(&vhost, connection, binding);
        }
        TopologyRequest::DeleteExchange { name, if_unused } => {
            let _ = client.topology.delete_exchange(&vhost, name, *if_unused);
        }
        TopologyRequest::DeleteQueue { name, .. } => {
            return vec![(Access::Configure, found(client, name))];
        }
        TopologyRequest::PurgeQueue { name } => return vec![(Access::Read, found(client, name))],
        _ => {
            let _ = client.topology_reply(request);
        }
    }
    let after = snapshot(client);
    let changed = before.0.symmetric_difference(&after.0);
    let mut touched: Vec<_> = changed.map(|name| (Access::Configure, name.clone())).collect();
    touched.extend(after.1.difference(&before.1).map(|name| (Access::Write, name.clone())));
    if matches!(request, TopologyRequest::Bind(_) | TopologyRequest::Unbind(_)) {
        let bound_after = bindings(client);
        let is_new = |binding: &&crate::model::Binding| !bound_before.contains(binding);
        let is_gone = |binding: &&crate::model::Binding| !bound_after.contains(binding);
        let (made, gone) = (bound_after.iter().filter(is_new), bound_before.iter().filter(is_gone));
        for binding in made.chain(gone) {
            let (Destination::Queue(to) | Destination::Exchange(to)) = &binding.destination;
            touched.push((Access::Read, binding.source.to_string()));
            touched.push((Access::Write, to.to_string()));
        }
    }
    touched
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_name_reaches_what_the_permission_does_not_name(
        kind in prop::sample::select(&KINDS[..]),
        one in raw_name(),
        two in raw_name(),
        pattern in prop::sample::select(&PATTERNS[..]),
    ) {
        let mut client = client();
        let permission = Permission::new(pattern, pattern, pattern).unwrap();
        client.access.grant(&name("guest"), &name("/"), permission);
        let is_default = one.as_bytes().iter().all(|byte| b"\r\n".contains(byte));
        send(&mut client, kind, one, two);
        for command in client.take_commands() {
            for (wanted, name) in touched(&mut client, &command) {
                // What is published to the default exchange asks for that one alone.
                let is_publish = matches!(kind, Kind::Publish | Kind::PublishInTransaction);
                let checked =
                    if is_publish && is_default { "amq.default" } else { name.as_str() };
                let allows = |name: &str| {
                    let name = ShortStr::try_from(name).unwrap();
                    !pattern.is_empty() && NamePattern::new(pattern).unwrap().matches(&name)
                };
                let is_allowed = name.is_empty() || allows(checked);
                prop_assert!(is_allowed, "{kind:?}: {wanted:?} access to '{name}' by '{pattern}'");
            }
        }
    }
}
