//! Backlogs after a restart: nobody reads them before somebody asks, and they expire in time all the same.

use super::broker::{Broker, CONNECTION, arguments, consume, message, message_with, publish};
use crate::model::{Message, Monotonic};
use forebay_wire::properties::Properties;
use forebay_wire::{FieldTable, FieldValue};

const TTL: i32 = 60_000;

/// A message with a priority that expires after so many ms.
fn expiring(expiration: Option<u64>, priority: u8) -> Message {
    let text = expiration.map(|expiration| expiration.to_string().as_str().try_into().unwrap());
    let properties = Properties {
        delivery_mode: Some(2),
        priority: Some(priority),
        expiration: text,
        ..Properties::default()
    };
    message_with("x", &properties, expiration)
}

/// Queues of all kinds with backlogs: their names and how many messages each has.
fn with_backlogs(broker: &mut Broker) -> Vec<(String, u64)> {
    broker.open(CONNECTION);
    let priorities = ("x-max-priority", FieldValue::I32(2));
    let ttl = ("x-message-ttl", FieldValue::I32(TTL));
    let kinds: [(&str, FieldTable, Vec<Message>); 4] = [
        ("plain", arguments(&[]), vec![message("x", true); 3]),
        ("ttl", arguments(&[ttl]), vec![message("x", true); 3]),
        ("own", arguments(&[]), vec![message("x", true), expiring(Some(2 * TTL as u64), 0)]),
        (
            "levels",
            arguments(&[priorities]),
            vec![expiring(None, 1), expiring(Some(TTL as u64), 1), expiring(None, 2)],
        ),
    ];
    let mut backlogs = Vec::new();
    for number in 0..15 {
        for (kind, arguments, messages) in &kinds {
            let name = format!("{kind}{number}");
            let queue = broker.declare(&name, true, arguments.clone());
            broker.send(CONNECTION, [publish(queue, messages.clone(), None)]);
            backlogs.push((name, messages.len() as u64));
        }
    }
    broker.commit();
    backlogs
}

fn ready(broker: &Broker, backlogs: &[(String, u64)]) -> Vec<(String, u64)> {
    backlogs.iter().map(|(name, _)| (name.clone(), broker.statistics(name).ready)).collect()
}

#[test]
fn sixty_backlogs_are_not_read_and_take_no_memory_until_somebody_asks() {
    let mut broker = Broker::new();
    let backlogs = with_backlogs(&mut broker);
    broker.crash();
    // Without a client, and with one that asks for nothing of theirs.
    broker.fetch();
    broker.open(CONNECTION);
    broker.pass(1_000);
    let queue = broker.queue("ttl0");
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    broker.commit();
    assert_eq!(broker.store.reads(), 0);
    broker.crash();
    broker.fetch();
    assert_eq!((broker.store.reads(), broker.shard.statistics().cached_bytes), (0, 0));
    broker.open(CONNECTION);
    broker.subscribe(CONNECTION, consume("plain3", "c", 0));
    assert_eq!(broker.deliveries(CONNECTION).len(), 3);
    assert_eq!(broker.store.reads(), 1);
    assert_eq!(backlogs.len(), 60);
}

#[test]
fn they_expire_in_time_and_are_read_only_for_that() {
    let mut broker = Broker::new();
    let backlogs = with_backlogs(&mut broker);
    broker.pass(TTL as u64 / 2);
    broker.crash();
    broker.fetch();
    let next = broker.shard.poll_timeout().expect("the first time to live");
    assert_eq!(next.0 - broker.now.monotonic.0, TTL as u64 / 2);
    broker.pass(TTL as u64 / 2 - 1);
    assert_eq!((ready(&broker, &backlogs), broker.store.reads()), (backlogs.clone(), 0));
    broker.pass(1);
    for (name, count) in ready(&broker, &backlogs) {
        // What expires behind a message that does not leaves with that.
        let expected = if name.starts_with("ttl") { 0 } else { broker_count(&backlogs, &name) };
        assert_eq!(count, expected, "{name}");
    }
    // A level with a time to live on some message is read once it may be over.
    assert_eq!(broker.store.reads(), 2 * 15);
    while let Some(at) = broker.shard.poll_timeout().filter(|at| *at != Monotonic::AT_ONCE) {
        broker.pass(at.0.saturating_sub(broker.now.monotonic.0));
        broker.commit();
    }
    assert_eq!(broker.store.reads(), 3 * 15, "and the one behind a message without one, too");
}

fn broker_count(backlogs: &[(String, u64)], name: &str) -> u64 {
    backlogs.iter().find(|(other, _)| other == name).map_or(0, |(_, count)| *count)
}

#[test]
fn backlogs_of_an_older_program_are_read_once_and_expire() {
    let mut broker = Broker::new();
    let backlogs = with_backlogs(&mut broker);
    broker.store.forget_bounds();
    broker.crash();
    broker.fetch();
    // One page of each level: nothing else tells when its messages expire.
    assert_eq!(broker.store.reads(), backlogs.len() + 15);
    broker.pass(TTL as u64);
    assert_eq!((broker.statistics("ttl7").ready, broker.statistics("plain7").ready), (0, 3));
}
