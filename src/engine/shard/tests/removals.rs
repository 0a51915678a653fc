//! Removals in slices: others come in between, the answer comes when nothing is left, the name is
//! free only then, and wherever the process dies the object is whole or gone.

use super::broker::{Broker, CHANNEL, CONNECTION};
use crate::administration::Administration;
use crate::command::Command;
use crate::credit::WorkLimits;
use crate::event::{Event, Reply};
use crate::model::{
    Binding, Closure, ConnectionId, Destination, ExchangeDeclaration, Monotonic, QueueDeclaration,
    TopologyRequest,
};
use forebay_wire::{FieldTable, ShortStr};
use proptest::prelude::*;

const OTHER: ConnectionId = ConnectionId(2);
/// Bindings of each queue.
const BINDINGS: usize = 25;

fn name(name: &str) -> ShortStr {
    name.try_into().unwrap()
}

fn limits() -> WorkLimits {
    WorkLimits { removals_max: 4, removals_behind_max: 1, ..WorkLimits::DEFAULT }
}

fn binding(source: &str, queue: &str, number: usize) -> Binding {
    Binding {
        source: name(source).into(),
        destination: Destination::Queue(name(queue).into()),
        routing_key: name(&number.to_string()),
        arguments: FieldTable::new(),
    }
}

fn declare_queue(queue: &str) -> TopologyRequest {
    TopologyRequest::DeclareQueue(QueueDeclaration {
        name: name(queue).into(),
        durable: true,
        ..QueueDeclaration::default()
    })
}

fn delete_queue(queue: &str) -> TopologyRequest {
    TopologyRequest::DeleteQueue { name: name(queue).into(), if_unused: false, if_empty: false }
}

fn declare_exchange(exchange: &str, auto_delete: bool) -> TopologyRequest {
    TopologyRequest::DeclareExchange(ExchangeDeclaration {
        name: name(exchange).into(),
        kind: name("topic"),
        durable: true,
        auto_delete,
        ..ExchangeDeclaration::default()
    })
}

/// Queues `a` and `b`, each bound often to the exchange `x` and to the auto-delete exchange `auto`.
fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(OTHER);
    broker.ask(declare_exchange("x", false)).unwrap();
    broker.ask(declare_exchange("auto", true)).unwrap();
    for queue in ["a", "b"] {
        broker.declare(queue, true, FieldTable::new());
        for number in 0..BINDINGS {
            for source in ["x", "auto"] {
                broker.ask(TopologyRequest::Bind(binding(source, queue, number))).unwrap();
            }
        }
    }
    broker.shard.set_work_limits(limits());
    broker
}

/// Without letting the shard finish.
fn ask(broker: &mut Broker, connection: ConnectionId, request: TopologyRequest) {
    let command = Command::Topology { channel: CHANNEL, request, nowait: false };
    broker.shard.handle_commands(broker.now, connection, [command]);
    broker.collect();
}

fn has_reply(broker: &Broker, connection: ConnectionId) -> bool {
    let is_reply = |(id, event): &(ConnectionId, Event)| {
        *id == connection && matches!(event, Event::Reply { .. })
    };
    broker.events.iter().any(is_reply)
}

fn bindings(broker: &Broker, queue: &str) -> usize {
    let vhost = name("/");
    let of_queue = Destination::Queue(name(queue).into());
    broker.shard.topology().bindings(&vhost).filter(|b| b.destination == of_queue).count()
}

fn has_queue(broker: &Broker, queue: &str) -> bool {
    broker.shard.topology().find_queue(&name("/"), &name(queue)).is_some()
}

fn has_exchange(broker: &Broker, exchange: &str) -> bool {
    broker.shard.topology().exchanges(&name("/")).any(|there| there.name == exchange)
}

#[test]
fn a_queue_with_many_bindings_goes_in_slices_and_its_name_is_free_when_it_is_gone() {
    let mut broker = broker();
    ask(&mut broker, CONNECTION, delete_queue("a"));
    broker.commit_once();
    assert!(!has_reply(&broker, CONNECTION), "nobody is told before it is done");
    assert_eq!(bindings(&broker, "a"), 0, "and nobody sees what is left");
    // A client that wants something else is answered, one that wants the name waits.
    ask(&mut broker, OTHER, declare_queue("c"));
    broker.commit_once();
    assert!(matches!(broker.reply(OTHER), Ok(Reply::QueueDeclared { .. })));
    ask(&mut broker, OTHER, declare_queue("a"));
    broker.commit_once();
    assert!(!has_reply(&broker, OTHER) && !has_reply(&broker, CONNECTION));
    broker.fetch();
    broker.commit();
    assert!(matches!(broker.reply(CONNECTION), Ok(Reply::MessageCount(0))));
    assert!(matches!(broker.reply(OTHER), Ok(Reply::QueueDeclared { .. })));
    assert_eq!((bindings(&broker, "a"), bindings(&broker, "b")), (0, 2 * BINDINGS));
    broker.crash();
    assert!(has_queue(&broker, "a"));
    assert_eq!((bindings(&broker, "a"), bindings(&broker, "b")), (0, 2 * BINDINGS));
}

#[test]
fn an_auto_delete_exchange_goes_with_the_last_of_many_bindings() {
    let mut broker = broker();
    for queue in ["a", "b"] {
        assert!(has_exchange(&broker, "auto"));
        broker.ask(delete_queue(queue)).unwrap();
    }
    assert!(!has_exchange(&broker, "auto") && has_exchange(&broker, "x"));
}

#[test]
fn exclusive_queues_of_a_connection_go_in_slices_and_it_is_told_when_all_are_gone() {
    let mut broker = broker();
    for number in 0..20 {
        let request = TopologyRequest::DeclareQueue(QueueDeclaration {
            name: name(&format!("mine{number}")).into(),
            exclusive: true,
            ..QueueDeclaration::default()
        });
        broker.ask(request).unwrap();
    }
    broker.shard.handle_commands(
        broker.now,
        CONNECTION,
        [Command::CloseConnection { closure: Closure::ByClient }],
    );
    broker.collect();
    assert!(!has_reply(&broker, CONNECTION));
    broker.fetch();
    broker.collect();
    assert!(matches!(broker.reply(CONNECTION), Ok(Reply::Done)));
    assert_eq!(broker.shard.statistics().queues.len(), 2);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    DeleteQueue(&'static str),
    DeleteExchange,
    DeleteVhost,
    Slice,
    BeginCommit,
    FinishCommit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => prop_oneof![Just("a"), Just("b")].prop_map(Step::DeleteQueue),
        1 => Just(Step::DeleteExchange),
        1 => prop::bool::weighted(0.3).prop_map(|vhost| {
            if vhost { Step::DeleteVhost } else { Step::Slice }
        }),
        8 => Just(Step::Slice),
        4 => Just(Step::BeginCommit),
        4 => Just(Step::FinishCommit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wherever_the_process_dies_an_object_is_there_with_its_bindings_or_gone_with_them(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut broker = broker();
        let (mut asked, mut told): (Option<Step>, Vec<Step>) = (None, Vec::new());
        for step in steps {
            match step {
                Step::Slice if broker.shard.poll_timeout() == Some(Monotonic::AT_ONCE) => {
                    broker.shard.handle_timeout(broker.now);
                    broker.collect();
                }
                Step::Slice => {}
                Step::BeginCommit => drop(broker.begin_commit()),
                Step::FinishCommit => broker.finish_commit_only(),
                // One request at a time, as a connection has it.
                _ if asked.is_some() => {}
                Step::DeleteQueue(queue) => {
                    ask(&mut broker, CONNECTION, delete_queue(queue));
                    asked = Some(step);
                }
                Step::DeleteExchange => {
                    let request =
                        TopologyRequest::DeleteExchange { name: name("x").into(), if_unused: false };
                    ask(&mut broker, CONNECTION, request);
                    asked = Some(step);
                }
                Step::DeleteVhost => {
                    let request = Box::new(Administration::DeleteVhost { name: name("/") });
                    let administer = Command::Administer { channel: CHANNEL, request };
                    broker.shard.handle_commands(broker.now, CONNECTION, [administer]);
                    broker.collect();
                    asked = Some(step);
                }
            }
            if has_reply(&broker, CONNECTION) {
                let reply = broker.reply(CONNECTION);
                told.extend(asked.take().filter(|_| reply.is_ok()));
            }
        }
        broker.crash();
        broker.fetch();
        broker.commit();
        for queue in ["a", "b"] {
            let of_auto = if has_exchange(&broker, "auto") { BINDINGS } else { 0 };
            let of_x = if has_exchange(&broker, "x") { BINDINGS } else { 0 };
            let expected = if has_queue(&broker, queue) { of_x + of_auto } else { 0 };
            prop_assert_eq!(bindings(&broker, queue), expected, "{}", queue);
        }
        for step in told {
            match step {
                Step::DeleteQueue(queue) => prop_assert!(!has_queue(&broker, queue)),
                Step::DeleteExchange => prop_assert!(!has_exchange(&broker, "x")),
                // The broker makes it anew at its start, with nothing in it.
                _ => prop_assert_eq!(broker.shard.topology().queues().count(), 0),
            }
        }
        // Once more: nothing that was left over comes back.
        let before: Vec<_> = broker.shard.topology().bindings(&name("/")).collect();
        broker.crash();
        prop_assert_eq!(before, broker.shard.topology().bindings(&name("/")).collect::<Vec<_>>());
    }
}
