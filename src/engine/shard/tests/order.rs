//! What comes first: commands of one batch see what those before them did, and those who wait for
//! the same credit are served by turns.

use super::broker::{Broker, CHANNEL, CONNECTION, arguments, consume, message, publish, settle};
use crate::command::{Command, Subscribe};
use crate::event::{Event, Reply};
use crate::model::{QueueId, Settlement};
use forebay_wire::{FieldTable, FieldValue};

fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker
}

fn get(queue: &str) -> Command {
    Command::Get { channel: CHANNEL, queue: queue.try_into().unwrap(), no_ack: true }
}

fn limit_channel(broker: &mut Broker, count: u16) {
    broker.send(CONNECTION, [Command::SetPrefetch { channel: CHANNEL, count }]);
}

fn fill(broker: &mut Broker, queue: QueueId, count: u8) {
    let messages = (0..count).map(|n| message(vec![n], false)).collect();
    broker.send(CONNECTION, [publish(queue, messages, None)]);
}

/// Who was delivered what by these events: consumer tags, one a message.
fn tags(events: Vec<Event>) -> Vec<String> {
    let tags = |event| match event {
        Event::Deliver { consumer_tag, deliveries, .. } => {
            vec![consumer_tag.to_string(); deliveries.len()]
        }
        _ => Vec::new(),
    };
    events.into_iter().flat_map(tags).collect()
}

#[test]
fn a_get_right_behind_a_publish_finds_only_what_no_consumer_took() {
    let mut broker = broker();
    let queue = broker.declare("q", false, FieldTable::new());
    broker.subscribe(CONNECTION, consume("q", "c", 1));
    broker.events.clear();
    let messages = vec![message("taken", false), message("left", false)];
    broker.send(CONNECTION, [publish(queue, messages, None), get("q")]);
    let Ok(Reply::Got { delivery, .. }) = broker.reply(CONNECTION) else { panic!() };
    assert_eq!(&delivery.message.body()[..], b"left");
    assert_eq!(tags(broker.take_events(CONNECTION)), ["c"]);
}

#[test]
fn a_consumer_gets_what_was_published_before_it_was_cancelled() {
    let mut broker = broker();
    let queue = broker.declare("q", false, FieldTable::new());
    broker.subscribe(CONNECTION, consume("q", "first", 0));
    broker.subscribe(
        CONNECTION,
        Subscribe {
            arguments: arguments(&[("x-priority", FieldValue::I32(-1))]),
            ..consume("q", "second", 0)
        },
    );
    broker.events.clear();
    let cancel = Command::Cancel { channel: CHANNEL, consumer_tag: "first".try_into().unwrap() };
    let one = || vec![message("x", false)];
    broker.send(CONNECTION, [publish(queue, one(), None), cancel, publish(queue, one(), None)]);
    assert_eq!(tags(broker.take_events(CONNECTION)), ["first", "second"]);
}

#[test]
fn a_get_right_behind_a_publish_finds_a_queue_within_its_limit() {
    let mut broker = broker();
    let limit = arguments(&[("x-max-length", FieldValue::I32(1))]);
    let queue = broker.declare("q", false, limit);
    let messages = vec![message("dropped", false), message("kept", false)];
    broker.send(CONNECTION, [publish(queue, messages, None), get("q")]);
    let Ok(Reply::Got { delivery, remaining, .. }) = broker.reply(CONNECTION) else { panic!() };
    assert_eq!((&delivery.message.body()[..], remaining), (&b"kept"[..], 0));
}

#[test]
fn a_consumer_without_acknowledgements_waits_while_its_channel_is_full() {
    let mut broker = broker();
    let queue = broker.declare("q", false, FieldTable::new());
    limit_channel(&mut broker, 1);
    broker.subscribe(CONNECTION, consume("q", "acks", 0));
    fill(&mut broker, queue, 1);
    let held = broker.deliveries(CONNECTION);
    broker.subscribe(CONNECTION, Subscribe { no_ack: true, ..consume("q", "none", 0) });
    fill(&mut broker, queue, 3);
    assert!(broker.deliveries(CONNECTION).is_empty());
    broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&held[0]])]);
    assert!(!broker.deliveries(CONNECTION).is_empty());
}

/// Settles one message after the other, and tells who got them.
fn serve(broker: &mut Broker, count: usize) -> Vec<String> {
    let mut served = Vec::new();
    while served.len() < count {
        let events = broker.take_events(CONNECTION);
        let held = events.iter().find_map(|event| match event {
            Event::Deliver { queue, deliveries, .. } => Some((*queue, deliveries[0].clone())),
            _ => None,
        });
        let (queue, delivery) = held.expect("a delivery");
        served.extend(tags(events));
        broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&delivery])]);
    }
    served
}

#[test]
fn queues_that_share_a_channel_limit_are_served_by_turns() {
    let mut broker = broker();
    limit_channel(&mut broker, 1);
    for name in ["a", "b", "c"] {
        let queue = broker.declare(name, false, FieldTable::new());
        fill(&mut broker, queue, 10);
    }
    broker.events.clear();
    for name in ["a", "b", "c"] {
        broker.subscribe(CONNECTION, consume(name, name, 0));
    }
    let served = serve(&mut broker, 9);
    for name in ["a", "b", "c"] {
        assert!(served.iter().filter(|tag| *tag == name).count() >= 2, "{served:?}");
    }
}

#[test]
fn consumers_of_one_queue_that_share_a_channel_limit_are_served_by_turns() {
    let mut broker = broker();
    limit_channel(&mut broker, 1);
    let queue = broker.declare("q", false, FieldTable::new());
    for tag in ["a", "b"] {
        broker.subscribe(CONNECTION, consume("q", tag, 0));
    }
    fill(&mut broker, queue, 10);
    let served = serve(&mut broker, 6);
    for tag in ["a", "b"] {
        assert!(served.iter().filter(|other| *other == tag).count() >= 2, "{served:?}");
    }
}
