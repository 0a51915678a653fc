//! Length limits, priorities and the single active consumer.

use super::broker::{
    Broker, CHANNEL, CONNECTION, arguments, consume, message, message_with, publish, settle,
};
use crate::command::{Command, Subscribe};
use crate::event::{Delivery, Event};
use crate::model::{Closure, ConnectionId, PublishSeq, QueueId, RequeueMethod, Settlement};
use forebay_wire::FieldValue;
use forebay_wire::properties::Properties;
use proptest::prelude::*;

const OTHER: ConnectionId = ConnectionId(2);

fn broker(entries: &[(&str, FieldValue)]) -> (Broker, QueueId) {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(OTHER);
    let queue = broker.declare("q", true, arguments(entries));
    (broker, queue)
}

fn text(text: &str) -> FieldValue {
    FieldValue::LongStr(text.to_owned().into())
}

fn drain(broker: &mut Broker, name: &str) -> Vec<u8> {
    let mut bodies = Vec::new();
    loop {
        let get = Command::Get { channel: CHANNEL, queue: name.try_into().unwrap(), no_ack: true };
        broker.send(OTHER, [get]);
        let Some(delivery) = broker.deliveries(OTHER).pop() else { return bodies };
        bodies.push(delivery.message.body()[0]);
    }
}

fn numbered(numbers: std::ops::Range<u8>) -> Vec<crate::model::Message> {
    numbers.map(|n| message(vec![n; 10], true)).collect()
}

#[test]
fn a_full_queue_drops_its_oldest() {
    let (mut broker, queue) = broker(&[("x-max-length", FieldValue::I32(3))]);
    broker.send(CONNECTION, [publish(queue, numbered(0..5), Some(1))]);
    broker.commit();
    assert_eq!(drain(&mut broker, "q"), [2, 3, 4]);
    assert_eq!(broker.statistics("q").overflowed, 2);
}

#[test]
fn bytes_of_bodies_are_limited_too_and_still_after_a_restart() {
    let (mut broker, queue) = broker(&[("x-max-length-bytes", FieldValue::I32(35))]);
    broker.send(CONNECTION, [publish(queue, numbered(0..5), None)]);
    broker.commit();
    broker.crash();
    broker.open(CONNECTION);
    broker.open(OTHER);
    broker.send(CONNECTION, [publish(queue, numbered(5..7), None)]);
    assert_eq!(drain(&mut broker, "q"), [4, 5, 6]);
}

#[test]
fn a_full_queue_refuses_newcomers_when_asked_to() {
    let (mut broker, queue) =
        broker(&[("x-max-length", FieldValue::I32(2)), ("x-overflow", text("reject-publish"))]);
    broker.send(CONNECTION, [publish(queue, numbered(0..4), Some(1))]);
    broker.commit();
    let events = broker.take_events(CONNECTION);
    assert!(
        matches!(
            events[..],
            [
                Event::Refuse { first: PublishSeq(3), last: PublishSeq(4), .. },
                Event::Confirm { first: PublishSeq(1), last: PublishSeq(2), .. },
            ]
        ),
        "{events:?}"
    );
    assert_eq!(drain(&mut broker, "q"), [0, 1]);
}

#[test]
fn a_consumer_with_credit_makes_room_for_newcomers() {
    let (mut broker, queue) =
        broker(&[("x-max-length", FieldValue::I32(2)), ("x-overflow", text("reject-publish"))]);
    broker.subscribe(OTHER, consume("q", "c", 0));
    broker.send(CONNECTION, [publish(queue, numbered(0..9), Some(1))]);
    assert_eq!(broker.deliveries(OTHER).len(), 9);
}

#[test]
fn a_refused_newcomer_becomes_a_dead_letter_when_asked_to() {
    let (mut broker, queue) = broker(&[
        ("x-max-length", FieldValue::I32(1)),
        ("x-overflow", text("reject-publish-dlx")),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("dead")),
    ]);
    broker.declare("dead", true, arguments(&[]));
    broker.send(CONNECTION, [publish(queue, numbered(0..3), Some(1))]);
    assert_eq!(drain(&mut broker, "q"), [0]);
    assert_eq!(drain(&mut broker, "dead"), [1, 2]);
}

#[test]
fn a_full_queue_that_refuses_newcomers_takes_dead_letters_all_the_same() {
    let (mut broker, queue) = broker(&[
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("full")),
        ("x-message-ttl", FieldValue::I32(10)),
    ]);
    for overflow in ["reject-publish", "reject-publish-dlx"] {
        let limit = [("x-max-length", FieldValue::I32(1)), ("x-overflow", text(overflow))];
        let full = broker.declare("full", true, arguments(&limit));
        broker.send(CONNECTION, [publish(full, numbered(0..1), None)]);
        broker.send(CONNECTION, [publish(queue, numbered(1..3), None)]);
        broker.pass(10);
        assert_eq!(drain(&mut broker, "full"), [0, 1, 2], "{overflow}");
        broker.delete("full");
    }
}

#[test]
fn only_the_first_consumer_is_active_and_the_next_takes_over_in_order() {
    let (mut broker, queue) = broker(&[("x-single-active-consumer", FieldValue::Bool(true))]);
    broker.subscribe(CONNECTION, consume("q", "first", 2));
    broker.subscribe(OTHER, consume("q", "second", 2));
    broker.events.clear();
    broker.send(CONNECTION, [publish(queue, numbered(0..4), None)]);
    assert!(broker.deliveries(OTHER).is_empty());
    let mine = broker.deliveries(CONNECTION);
    assert_eq!(mine.len(), 2);
    broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&mine[0]])]);
    assert_eq!(broker.deliveries(CONNECTION).len(), 1);
    broker
        .send(CONNECTION, [Command::CloseChannel { channel: CHANNEL, closure: Closure::ByClient }]);
    let others: Vec<Delivery> = broker.deliveries(OTHER);
    let bodies: Vec<u8> = others.iter().map(|delivery| delivery.message.body()[0]).collect();
    assert_eq!(bodies, [1, 2]);
    assert!(others.iter().all(|delivery| delivery.redelivered));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Priority, length limit and requeue together against a list.
    #[test]
    fn the_highest_priority_goes_first_and_each_level_keeps_its_order(
        steps in prop::collection::vec((0u8..6, 0u8..5), 1..60),
        limit in 1u64..12,
    ) {
        let (mut broker, queue) = broker(&[
            ("x-max-priority", FieldValue::I32(3)),
            ("x-max-length", FieldValue::I64(limit as i64)),
            ("x-delivery-limit", FieldValue::I32(-1)),
        ]);
        // Level, number.
        let mut ready: Vec<(u8, u8)> = Vec::new();
        let mut held: Vec<((u8, u8), Delivery)> = Vec::new();
        let mut next = 0;
        let order = |entry: &(u8, u8)| (std::cmp::Reverse(entry.0), entry.1);
        for (what, which) in steps {
            match what {
                0..=2 => {
                    let properties = Properties {
                        delivery_mode: Some(2),
                        priority: Some(which),
                        ..Properties::default()
                    };
                    let message = message_with(vec![next], &properties, None);
                    broker.send(CONNECTION, [publish(queue, vec![message], None)]);
                    ready.push((which.min(3), next));
                    next += 1;
                }
                3 | 4 => {
                    let get = Command::Get {
                        channel: CHANNEL,
                        queue: "q".try_into().unwrap(),
                        no_ack: false,
                    };
                    broker.send(CONNECTION, [get]);
                    let got = broker.deliveries(CONNECTION).pop();
                    let expected = (!ready.is_empty()).then(|| ready.remove(0));
                    prop_assert_eq!(
                        got.as_ref().map(|delivery| delivery.message.body()[0]),
                        expected.map(|(_, number)| number)
                    );
                    held.extend(expected.zip(got));
                }
                _ => {
                    let at = usize::from(which);
                    if at < held.len() {
                        let (entry, delivery) = held.remove(at);
                        broker.send(CONNECTION, [settle(queue, Settlement::Requeue(RequeueMethod::Nack), &[&delivery])]);
                        ready.push(entry);
                    }
                }
            }
            ready.sort_by_key(order);
            while ready.len() as u64 > limit {
                ready.remove(0);
            }
            if what % 2 == 0 {
                broker.commit();
            }
            prop_assert_eq!(broker.statistics("q").ready, ready.len() as u64);
        }
    }
}

#[test]
fn a_consumer_priority_is_taken_from_its_arguments() {
    let (mut broker, queue) = broker(&[]);
    let high = Subscribe {
        arguments: arguments(&[("x-priority", FieldValue::I32(1))]),
        ..consume("q", "high", 0)
    };
    broker.subscribe(OTHER, consume("q", "low", 0));
    broker.subscribe(CONNECTION, high);
    broker.events.clear();
    broker.send(CONNECTION, [publish(queue, numbered(0..3), None)]);
    assert!(broker.deliveries(OTHER).is_empty());
    assert_eq!(broker.deliveries(CONNECTION).len(), 3);
}
