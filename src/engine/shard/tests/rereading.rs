//! What is read from the store for a queue reaches its clients, however small the cache is and however much
//! the other queues have to do.

use super::bounds::Bounds;
use super::broker::{Broker, CONNECTION, arguments, consume, message, publish};
use crate::command::{Command, Subscribe};
use crate::event::Event;
use crate::model::{ConnectionId, Monotonic};
use crate::shard::{MemoryLimits, WorkLimits};
use forebay_wire::{FieldTable, FieldValue};

const BUSY: ConnectionId = ConnectionId(2);
const BUSY_QUEUES: usize = 20;
const BUSY_MESSAGES: usize = 50;

/// A broker whose cache holds no page, and whose inputs cause one delivery each.
fn broker() -> Broker {
    let mut broker = Broker::new();
    let work =
        WorkLimits { deliveries_max: 1, work_max: 1, work_behind_max: 1, ..WorkLimits::DEFAULT };
    let memory = MemoryLimits { cached: 1, ..MemoryLimits::default() };
    broker.bound(Bounds { work, memory });
    broker.open(CONNECTION);
    broker.open(BUSY);
    broker
}

/// Queues that have messages and consumers, and turns to be given for a long while.
fn keep_busy(broker: &mut Broker) {
    for number in 0..BUSY_QUEUES {
        let name = format!("busy{number}");
        let queue = broker.declare(&name, false, FieldTable::new());
        broker.subscribe(BUSY, Subscribe { no_ack: true, ..consume(&name, &name, 0) });
        let messages = vec![message("x", false); BUSY_MESSAGES];
        broker.shard.handle_commands(broker.now, BUSY, [publish(queue, messages, None)]);
    }
}

/// Serves one fetch, or lets the shard go on with its work; whether there was any.
fn step(broker: &mut Broker) -> bool {
    if let Some(fetch) = broker.shard.poll_fetch() {
        let fetched = broker.store.read(fetch);
        broker.shard.handle_fetched(broker.now, fetched);
        return true;
    }
    let has_work = broker.shard.poll_timeout() == Some(Monotonic::AT_ONCE);
    if has_work {
        broker.shard.handle_timeout(broker.now);
    }
    has_work
}

#[test]
fn each_read_of_a_backlog_delivers_something() {
    let mut broker = broker();
    let queue = broker.declare("q", true, FieldTable::new());
    for body in ["a", "b", "c"] {
        broker.send(CONNECTION, [publish(queue, vec![message(body, true)], None)]);
        broker.commit();
    }
    assert_eq!((broker.shard.statistics().cached_bytes, broker.store.reads()), (0, 0));
    broker.events.clear();
    keep_busy(&mut broker);
    let subscribe = Command::Subscribe(consume("q", "c", 0));
    broker.shard.handle_commands(broker.now, CONNECTION, [subscribe]);
    while step(&mut broker) {}
    broker.collect();
    assert_eq!(broker.deliveries(CONNECTION).len(), 3);
    assert!(broker.store.reads() <= 3, "read {} times", broker.store.reads());
}

#[test]
fn a_client_that_asks_for_a_message_gets_what_was_read_for_it() {
    let mut broker = broker();
    let queue = broker.declare("q", true, FieldTable::new());
    broker.send(CONNECTION, [publish(queue, vec![message("a", true)], None)]);
    broker.commit();
    broker.events.clear();
    keep_busy(&mut broker);
    let queue = "q".try_into().unwrap();
    let get = Command::Get { channel: super::broker::CHANNEL, queue, no_ack: false };
    broker.shard.handle_commands(broker.now, CONNECTION, [get]);
    while step(&mut broker) {}
    broker.collect();
    assert_eq!((broker.deliveries(CONNECTION).len(), broker.store.reads()), (1, 1));
}

#[test]
fn the_others_go_on_while_one_reads_its_backlog() {
    let mut broker = broker();
    let queue = broker.declare("q", true, FieldTable::new());
    for _ in 0..BUSY_MESSAGES {
        broker.send(CONNECTION, [publish(queue, vec![message("a", true)], None)]);
        broker.commit();
    }
    broker.events.clear();
    keep_busy(&mut broker);
    let subscribe = Command::Subscribe(consume("q", "c", 0));
    broker.shard.handle_commands(broker.now, CONNECTION, [subscribe]);
    let count = |broker: &mut Broker, connection| {
        let delivered = |event| match event {
            Event::Deliver { deliveries, .. } => deliveries.len(),
            _ => 0,
        };
        broker.take_events(connection).into_iter().map(delivered).sum::<usize>()
    };
    let mut read = 0;
    while read < BUSY_MESSAGES {
        assert!(step(&mut broker));
        broker.collect();
        read += count(&mut broker, CONNECTION);
    }
    assert!(count(&mut broker, BUSY) >= BUSY_MESSAGES / 2);
}

#[test]
fn nothing_is_read_ahead_for_a_single_active_consumer_that_has_no_room() {
    let mut broker = broker();
    let single = arguments(&[("x-single-active-consumer", FieldValue::Bool(true))]);
    let queue = broker.declare("q", true, single);
    for body in ["a", "b", "c"] {
        broker.send(CONNECTION, [publish(queue, vec![message(body, true)], None)]);
        broker.commit();
    }
    // The second one waits for its turn.
    for tag in ["1", "2"] {
        let subscribe = Command::Subscribe(consume("q", tag, 1));
        broker.shard.handle_commands(broker.now, CONNECTION, [subscribe]);
    }
    let has_ended = (0..1_000).any(|_| !step(&mut broker));
    assert!(has_ended, "read {} times", broker.store.reads());
    broker.collect();
    assert_eq!(broker.deliveries(CONNECTION).len(), 1);
}
