//! Messages that fail: where they end, what their headers say, and that no crash loses or doubles
//! one.

use super::broker::{
    Broker, CHANNEL, CONNECTION, arguments, consume, message, message_with, publish, settle,
};
use crate::command::Command;
use crate::event::Delivery;
use crate::model::{
    Binding, Closure, ConnectionId, Destination, Envelope, ExchangeDeclaration, Message,
    QueueDeclaration, QueueId, RequeueMethod, Settlement, TopologyRequest,
};
use bytes::{Bytes, BytesMut};
use forebay_wire::properties::Properties;
use forebay_wire::{FieldTable, FieldValue, RawProperties, ShortStr};
use proptest::prelude::*;

const WORKER: ConnectionId = ConnectionId(2);

pub(super) fn text(text: &str) -> FieldValue {
    FieldValue::LongStr(text.to_owned().into())
}

fn broker(queue_arguments: FieldTable) -> (Broker, QueueId) {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(WORKER);
    let queue = broker.declare("q", true, queue_arguments);
    (broker, queue)
}

pub(super) fn fetch_one(broker: &mut Broker, queue: &str) -> Option<Delivery> {
    let get = Command::Get { channel: CHANNEL, queue: queue.try_into().unwrap(), no_ack: false };
    broker.send(CONNECTION, [get]);
    broker.deliveries(CONNECTION).pop()
}

fn headers(delivery: &Delivery) -> FieldTable {
    let properties = RawProperties::parse(delivery.message.properties_bytes()).unwrap();
    properties.headers().unwrap_or_default()
}

fn death(delivery: &Delivery, nth: usize) -> FieldTable {
    let Some(FieldValue::Array(deaths)) = headers(delivery).get("x-death").cloned() else {
        panic!("no x-death");
    };
    let FieldValue::Table(death) = deaths[nth].clone() else { panic!("no table") };
    death
}

#[test]
fn the_third_failure_moves_a_message_to_the_default_dead_letter_queue() {
    let (mut broker, queue) = broker(FieldTable::new());
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    for failures in 0..3 {
        let delivery = fetch_one(&mut broker, "q").unwrap();
        assert_eq!(delivery.failures, failures);
        broker.send(
            CONNECTION,
            [settle(queue, Settlement::Requeue(RequeueMethod::Nack), &[&delivery])],
        );
    }
    assert_eq!(broker.statistics("q").ready, 0);
    let dead = fetch_one(&mut broker, "q.dlq").unwrap();
    assert_eq!(&dead.message.body()[..], b"x");
    assert_eq!((dead.failures, dead.redelivered), (0, false));
    let death = death(&dead, 0);
    assert_eq!(death.get("reason"), Some(&text("delivery_limit")));
    assert_eq!(death.get("count"), Some(&FieldValue::I64(1)));
    assert_eq!(death.get("queue"), Some(&text("q")));
    assert_eq!(death.get("routing-keys"), Some(&FieldValue::Array(vec![text("q")])));
    assert_eq!(death.get("time"), Some(&FieldValue::Timestamp(1_000)));
    for header in ["x-first-death-reason", "x-last-death-reason"] {
        assert_eq!(headers(&dead).get(header), Some(&text("delivery_limit")));
    }
}

#[test]
fn deaths_without_counts_of_old_brokers_become_one_for_each_queue_and_reason() {
    let (mut broker, queue) = broker(FieldTable::new());
    let old = |queue: &str| {
        let entry = arguments(&[("queue", text(queue)), ("reason", text("expired"))]);
        FieldValue::Table(entry)
    };
    let deaths = FieldValue::Array(["a", "b", "a", "a"].map(old).to_vec());
    let properties = Properties {
        delivery_mode: Some(2),
        headers: Some(arguments(&[("x-death", deaths)])),
        ..Properties::default()
    };
    broker.send(CONNECTION, [publish(queue, vec![message_with("x", &properties, None)], None)]);
    let delivery = fetch_one(&mut broker, "q").unwrap();
    broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
    let dead = fetch_one(&mut broker, "q.dlq").unwrap();
    let Some(FieldValue::Array(deaths)) = headers(&dead).get("x-death").cloned() else { panic!() };
    assert_eq!(deaths.len(), 3);
    let of =
        |nth| (death(&dead, nth).get("queue").cloned(), death(&dead, nth).get("count").cloned());
    assert_eq!(of(0), (Some(text("q")), Some(FieldValue::I64(1))));
    assert_eq!(of(1), (Some(text("a")), Some(FieldValue::I64(3))));
    assert_eq!(of(2), (Some(text("b")), Some(FieldValue::I64(1))));
}

#[test]
fn a_count_goes_on_in_whatever_type_a_client_wrote_it() {
    for count in [FieldValue::I8(4), FieldValue::U64(4), FieldValue::I16(4), FieldValue::I32(4)] {
        let (mut broker, queue) = broker(FieldTable::new());
        let entry = [("queue", text("q")), ("reason", text("rejected")), ("count", count)];
        let deaths = FieldValue::Array(vec![FieldValue::Table(arguments(&entry))]);
        let properties = Properties {
            delivery_mode: Some(2),
            headers: Some(arguments(&[("x-death", deaths)])),
            ..Properties::default()
        };
        broker.send(CONNECTION, [publish(queue, vec![message_with("x", &properties, None)], None)]);
        let delivery = fetch_one(&mut broker, "q").unwrap();
        broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
        let dead = fetch_one(&mut broker, "q.dlq").unwrap();
        assert_eq!(death(&dead, 0).get("count"), Some(&FieldValue::I64(5)));
    }
}

#[test]
fn a_rejected_message_goes_at_once_and_a_dead_letter_queue_has_none_of_its_own() {
    let (mut broker, queue) = broker(FieldTable::new());
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    let delivery = fetch_one(&mut broker, "q").unwrap();
    broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
    let dead_letters = broker.queue("q.dlq");
    let dead = fetch_one(&mut broker, "q.dlq").unwrap();
    broker.send(CONNECTION, [settle(dead_letters, Settlement::Reject, &[&dead])]);
    assert_eq!(broker.shard.statistics().queues.len(), 2);
    assert_eq!(broker.statistics("q.dlq").ready + broker.statistics("q.dlq").unacked, 0);
    broker.commit();
    assert_eq!(broker.store.live_bytes(dead_letters), 0);
}

#[test]
fn queues_that_are_not_shared_or_hold_dead_letters_have_no_limit_and_no_dead_letter_queue() {
    for (name, durable, exclusive, auto_delete) in [
        ("transient", false, false, false),
        ("exclusive", true, true, false),
        ("deleted-with-its-last-consumer", true, false, true),
        // The broker names it.
        ("amq.gen-1", true, false, false),
        ("done.dlq", true, false, false),
    ] {
        let mut broker = Broker::new();
        broker.open(CONNECTION);
        let request = TopologyRequest::DeclareQueue(QueueDeclaration {
            name: name.try_into().unwrap(),
            is_generated: name.starts_with("amq.gen-"),
            durable,
            exclusive,
            auto_delete,
            ..QueueDeclaration::default()
        });
        broker.ask(request).unwrap();
        let reports = broker.shard.statistics().queues;
        let (id, queue) = (reports[0].record.id, reports[0].record.name.to_string());
        broker.send(CONNECTION, [publish(id, vec![message("x", true)], None)]);
        for failures in 0..10 {
            let delivery = fetch_one(&mut broker, &queue).unwrap();
            assert_eq!(delivery.failures, failures, "{queue}");
            broker.send(
                CONNECTION,
                [settle(id, Settlement::Requeue(RequeueMethod::Nack), &[&delivery])],
            );
        }
        let delivery = fetch_one(&mut broker, &queue).unwrap();
        broker.send(CONNECTION, [settle(id, Settlement::Reject, &[&delivery])]);
        assert_eq!(broker.statistics(&queue).ready, 0);
        assert_eq!(broker.shard.statistics().queues.len(), 1, "{queue}");
    }
}

#[test]
fn an_internal_exchange_takes_dead_letters() {
    let settings = arguments(&[("x-dead-letter-exchange", text("hidden"))]);
    let (mut broker, queue) = broker(settings);
    broker.declare("dead", true, FieldTable::new());
    let source = ShortStr::from_static("hidden");
    let declare = TopologyRequest::DeclareExchange(ExchangeDeclaration {
        name: source.clone().into(),
        kind: ShortStr::from_static("fanout"),
        durable: true,
        internal: true,
        ..ExchangeDeclaration::default()
    });
    broker.ask(declare).unwrap();
    let destination = Destination::Queue(ShortStr::from_static("dead").into());
    let (routing_key, arguments) = (ShortStr::EMPTY, FieldTable::new());
    broker
        .ask(TopologyRequest::Bind(Binding {
            source: source.into(),
            destination,
            routing_key,
            arguments,
        }))
        .unwrap();
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    let delivery = fetch_one(&mut broker, "q").unwrap();
    broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
    assert_eq!(&fetch_one(&mut broker, "dead").unwrap().message.body()[..], b"x");
}

#[test]
fn a_named_exchange_takes_precedence_and_keeps_the_routing_keys() {
    let settings = arguments(&[("x-dead-letter-exchange", text("amq.fanout"))]);
    let (mut broker, queue) = broker(settings);
    broker.declare("dead", true, FieldTable::new());
    let bind = TopologyRequest::Bind(Binding {
        source: ShortStr::from_static("amq.fanout").into(),
        destination: Destination::Queue(ShortStr::from_static("dead").into()),
        routing_key: ShortStr::EMPTY,
        arguments: FieldTable::new(),
    });
    broker.ask(bind).unwrap();
    let copies = FieldValue::Array(vec![text("also")]);
    let properties = Properties {
        delivery_mode: Some(2),
        expiration: Some("60000".try_into().unwrap()),
        headers: Some(arguments(&[("CC", copies.clone()), ("mine", text("kept"))])),
        ..Properties::default()
    };
    broker.send(
        CONNECTION,
        [publish(queue, vec![message_with("x", &properties, Some(60_000))], None)],
    );
    let delivery = fetch_one(&mut broker, "q").unwrap();
    broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
    let dead = fetch_one(&mut broker, "dead").unwrap();
    assert_eq!(dead.message.exchange(), b"amq.fanout");
    assert_eq!(dead.message.routing_key(), b"q");
    assert_eq!(dead.message.expiration(), None);
    assert_eq!(headers(&dead).get("mine"), Some(&text("kept")));
    assert_eq!(headers(&dead).get("CC"), Some(&copies));
    let death = death(&dead, 0);
    assert_eq!(death.get("original-expiration"), Some(&text("60000")));
    assert_eq!(death.get("exchange"), Some(&text("")));
    assert_eq!(death.get("routing-keys"), Some(&FieldValue::Array(vec![text("q"), text("also")])));
}

#[test]
fn the_same_death_again_counts_and_comes_first() {
    let settings = arguments(&[
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("q")),
    ]);
    let (mut broker, queue) = broker(settings);
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    for count in 1..4 {
        let delivery = fetch_one(&mut broker, "q").unwrap();
        broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
        let again = fetch_one(&mut broker, "q").unwrap();
        assert_eq!(death(&again, 0).get("count"), Some(&FieldValue::I64(count)));
        broker.send(CONNECTION, [settle(queue, Settlement::Recover, &[&again])]);
    }
}

#[test]
fn a_message_that_only_expires_in_circles_is_dropped() {
    let settings = arguments(&[
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("q")),
        ("x-message-ttl", FieldValue::I32(10)),
    ]);
    let (mut broker, queue) = broker(settings);
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    broker.pass(20);
    assert_eq!(broker.statistics("q").ready, 0);
    assert_eq!(broker.statistics("q").expired, 1);
}

#[test]
fn one_poison_message_that_kills_its_consumer_is_condemned_alone() {
    let (mut broker, queue) = broker(FieldTable::new());
    let messages = (0..50u8).map(|n| message(vec![n], true)).collect();
    broker.send(CONNECTION, [publish(queue, messages, None)]);
    const POISON: u8 = 20;
    let mut processed = Vec::new();
    let mut deaths = 0;
    broker.subscribe(WORKER, consume("q", "c", 50));
    while broker.statistics("q").ready + broker.statistics("q").unacked > 0 {
        assert!(deaths < 10, "the poison goes round for ever");
        // The worker handles what it was sent in order and dies at the poison, having
        // acknowledged nothing: it acknowledges in batches.
        let deliveries = broker.deliveries(WORKER);
        assert!(!deliveries.is_empty(), "nothing comes");
        if deliveries.iter().any(|delivery| delivery.message.body()[0] == POISON) {
            deaths += 1;
            broker.send(WORKER, [Command::CloseConnection { closure: Closure::Failed }]);
            broker.take_events(WORKER);
            broker.open(WORKER);
            broker.subscribe(WORKER, consume("q", "c", 50));
        } else {
            processed.extend(deliveries.iter().map(|delivery| delivery.message.body()[0]));
            let all: Vec<&Delivery> = deliveries.iter().collect();
            broker.send(WORKER, [settle(queue, Settlement::Ack, &all)]);
        }
    }
    processed.sort_unstable();
    let others: Vec<u8> = (0..50).filter(|n| *n != POISON).collect();
    assert_eq!(processed, others);
    let dead = fetch_one(&mut broker, "q.dlq").unwrap();
    assert_eq!(dead.message.body()[0], POISON);
    assert!(fetch_one(&mut broker, "q.dlq").is_none());
}

#[test]
fn dead_letters_of_queues_with_the_longest_names_are_somewhere_each_in_its_own() {
    let (mut broker, _) = broker(FieldTable::new());
    // Of the longest ones two differ in their last byte only; the last is cut within a character.
    let long = |length: usize, last: &str| format!("{}{last}", "q".repeat(length - last.len()));
    let names = [long(251, "a"), long(252, "b"), long(253, "c"), long(255, "d"), long(255, "e")];
    let umlauts = format!("q{}", "ü".repeat(127));
    for name in names.iter().chain([&umlauts]) {
        let before = broker.shard.statistics().queues.len();
        let queue = broker.declare(name, true, FieldTable::new());
        broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
        let delivery = fetch_one(&mut broker, name).unwrap();
        broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
        let queues = broker.shard.statistics().queues;
        assert_eq!(queues.len(), before + 2);
        let dead = queues.last().unwrap();
        assert_eq!(dead.statistics.ready, 1);
        let dead = std::str::from_utf8(dead.record.name.as_bytes()).expect("whole characters");
        assert!(dead.ends_with(".dlq") && dead.starts_with(&name[..199]));
        let delivery = fetch_one(&mut broker, dead).unwrap();
        assert_eq!(death(&delivery, 0).get("queue"), Some(&text(name)));
    }
}

#[test]
fn a_dead_letter_that_no_queue_takes_is_counted() {
    let rules = arguments(&[("x-dead-letter-exchange", text("amq.fanout"))]);
    let (mut broker, queue) = broker(rules);
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    let delivery = fetch_one(&mut broker, "q").unwrap();
    broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
    assert_eq!(broker.statistics("q").dead_dropped, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each message is in the queue, in its dead-letter queue, or acknowledged: never in two
    /// places, never in none, wherever the process dies.
    #[test]
    fn after_a_crash_there_is_exactly_one_copy(
        steps in prop::collection::vec((0u8..8, 0usize..6), 1..60),
    ) {
        let (mut broker, queue) = broker(FieldTable::new());
        let total = 12u8;
        let messages = (0..total).map(|n| message(vec![n], true)).collect();
        broker.send(CONNECTION, [publish(queue, messages, None)]);
        broker.commit();
        broker.declare("q.dlq", true, FieldTable::new());
        let mut held: Vec<Delivery> = Vec::new();
        for (what, which) in steps {
            match what {
                0 | 1 => held.extend(fetch_one(&mut broker, "q")),
                2 | 3 if which < held.len() => {
                    let delivery = held.remove(which);
                    let settlement =
                        if what == 2 { Settlement::Reject } else { Settlement::Requeue(RequeueMethod::Nack) };
                    broker.send(CONNECTION, [settle(queue, settlement, &[&delivery])]);
                }
                4 => {
                    broker.begin_commit();
                }
                5 => broker.finish_commit(),
                6 => broker.pass(100),
                7 => {
                    broker.crash();
                    broker.open(CONNECTION);
                    held.clear();
                }
                _ => {}
            }
            let mut everywhere = broker.statistics("q").ready + broker.statistics("q").unacked;
            everywhere += broker.statistics("q.dlq").ready;
            prop_assert_eq!(everywhere, u64::from(total));
        }
        broker.crash();
        broker.open(CONNECTION);
        let mut found = Vec::new();
        for name in ["q", "q.dlq"] {
            while let Some(delivery) = fetch_one(&mut broker, name) {
                found.push(delivery.message.body()[0]);
            }
        }
        found.sort_unstable();
        prop_assert_eq!(found, (0..total).collect::<Vec<u8>>());
    }
}

#[test]
fn a_blind_copy_dies_by_its_own_key_and_tells_nobody_of_it() {
    let settings = arguments(&[("x-dead-letter-exchange", text("amq.direct"))]);
    let (mut broker, queue) = broker(settings);
    for (dead, key) in [("dead.own", "q"), ("dead.blind", "blind")] {
        broker.declare(dead, true, FieldTable::new());
        let bind = TopologyRequest::Bind(Binding {
            source: "amq.direct".try_into().unwrap(),
            destination: Destination::Queue(dead.try_into().unwrap()),
            routing_key: key.try_into().unwrap(),
            arguments: FieldTable::new(),
        });
        broker.ask(bind).unwrap();
    }
    let copies = FieldValue::Array(vec![text("blind")]);
    let headers = Some(arguments(&[("BCC", copies), ("mine", text("kept"))]));
    let properties = Properties { delivery_mode: Some(2), headers, ..Properties::default() };
    let envelope = Envelope {
        exchange: &ShortStr::EMPTY,
        routing_key: &ShortStr::from_static("q"),
        properties: &properties.encode(),
        published_at: broker.now.wall,
        expiration: None,
    };
    let sent = Message::with_blind_copies(envelope, Bytes::from("x"), &mut BytesMut::new());
    broker.send(CONNECTION, [publish(queue, vec![sent], None)]);
    let delivery = fetch_one(&mut broker, "q").unwrap();
    broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
    broker.commit();
    broker.crash();
    broker.open(CONNECTION);
    for dead in ["dead.own", "dead.blind"] {
        let letter = fetch_one(&mut broker, dead).unwrap();
        let shown = letter.message.shown_properties().headers().unwrap();
        assert_eq!((shown.get("BCC"), shown.get("mine")), (None, Some(&text("kept"))), "{dead}");
        let death = death(&letter, 0);
        assert_eq!(death.get("routing-keys"), Some(&FieldValue::Array(vec![text("q")])));
    }
}
