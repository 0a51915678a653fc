//! What time does: expiry of messages and queues, and consumers that hold a message too long.

use super::broker::{
    Broker, CHANNEL, CONNECTION, arguments, consume, message, message_with, publish, settle,
};
use crate::command::Command;
use crate::model::{Closure, ConnectionId, Envelope, Message, QueueId, Settlement};
use forebay_wire::properties::Properties;
use forebay_wire::{FieldValue, ShortStr};

const OTHER: ConnectionId = ConnectionId(2);
const HOUR: u64 = 3_600_000;

fn broker(entries: &[(&str, FieldValue)]) -> (Broker, QueueId) {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(OTHER);
    let queue = broker.declare("q", true, arguments(entries));
    (broker, queue)
}

fn expiring(expiration: u64) -> Message {
    let properties = Properties {
        delivery_mode: Some(2),
        expiration: Some(expiration.to_string().as_str().try_into().unwrap()),
        ..Properties::default()
    };
    message_with("x", &properties, Some(expiration))
}

#[test]
fn a_message_expires_by_timer_at_the_head_without_a_consumer() {
    let (mut broker, queue) = broker(&[("x-message-ttl", FieldValue::I32(1000))]);
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    broker.commit();
    let at = broker.shard.poll_timeout().expect("a time");
    assert_eq!(at.0 - broker.now.monotonic.0, 1000);
    broker.pass(999);
    assert_eq!(broker.statistics("q").ready, 1);
    broker.pass(1);
    assert_eq!(broker.statistics("q").ready, 0);
    broker.commit();
    assert_eq!(broker.store.live_bytes(queue), 0);
}

#[test]
fn the_shorter_time_to_live_holds_and_survives_a_restart() {
    let (mut broker, queue) = broker(&[("x-message-ttl", FieldValue::I32(1000))]);
    broker.send(CONNECTION, [publish(queue, vec![expiring(100), expiring(5000)], None)]);
    broker.pass(100);
    assert_eq!(broker.statistics("q").ready, 1);
    broker.commit();
    broker.crash();
    broker.open(CONNECTION);
    assert_eq!(broker.statistics("q").ready, 1);
    broker.pass(900);
    assert_eq!(broker.statistics("q").ready, 0);
}

#[test]
fn a_message_with_its_own_time_to_live_expires_after_a_restart_without_a_consumer() {
    let (mut broker, queue) = broker(&[]);
    broker.send(CONNECTION, [publish(queue, vec![expiring(500)], None)]);
    broker.commit();
    broker.crash();
    broker.open(CONNECTION);
    assert!(broker.shard.poll_timeout().is_some());
    broker.pass(500);
    assert_eq!(broker.statistics("q").ready, 0);
}

#[test]
fn a_consumer_that_waits_gets_even_what_lives_no_time_at_all() {
    let (mut broker, queue) = broker(&[("x-message-ttl", FieldValue::I32(0))]);
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    assert_eq!(broker.statistics("q").ready, 0);
    broker.subscribe(CONNECTION, consume("q", "c", 0));
    assert!(broker.deliveries(CONNECTION).is_empty());
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    assert_eq!(broker.deliveries(CONNECTION).len(), 1);
}

#[test]
fn what_lives_no_time_at_all_is_gone_when_its_stamp_is_a_millisecond_ahead() {
    let (mut broker, queue) = broker(&[("x-message-ttl", FieldValue::I32(0))]);
    broker.now.wall.0 -= 1;
    broker.now.monotonic.0 -= 1;
    broker.send(CONNECTION, [publish(queue, vec![message("x", true), expiring(0)], None)]);
    assert_eq!(broker.statistics("q").ready, 0);
}

/// As a connection would stamp it now.
fn stamped(broker: &Broker) -> Message {
    let envelope = Envelope {
        exchange: &ShortStr::EMPTY,
        routing_key: &ShortStr::EMPTY,
        properties: &Properties { delivery_mode: Some(2), ..Properties::default() }.encode(),
        published_at: broker.now.wall,
        expiration: None,
    };
    Message::new(envelope, "x".into(), &mut bytes::BytesMut::new())
}

/// A thousand messages, a second apart, that live for half an hour; the clock jumps between them.
/// Each leaves when it is half an hour old: none with the jump, none late.
#[test]
fn a_jump_of_an_hour_either_way_neither_expires_nor_keeps_a_storm_of_messages() {
    const TTL: u64 = HOUR / 2;
    let (mut broker, queue) = broker(&[("x-message-ttl", FieldValue::I64(TTL as i64))]);
    broker.now.wall.0 += 100 * HOUR;
    for number in 0..1000u64 {
        if number % 100 == 50 {
            // Stamped before the jump, and handled behind it.
            let late = stamped(&broker);
            let is_ahead = number % 200 == 50;
            let wall = broker.now.wall.0;
            broker.now.wall.0 = if is_ahead { wall + HOUR } else { wall - 2 * HOUR };
            broker.send(CONNECTION, [publish(queue, vec![late], None)]);
        } else {
            broker.send(CONNECTION, [publish(queue, vec![stamped(&broker)], None)]);
        }
        broker.pass(1000);
        assert_eq!(broker.statistics("q").ready, number + 1);
    }
    broker.pass(TTL - 1000 * 1000 - 1);
    for left in (0..1000).rev() {
        assert_eq!(broker.statistics("q").ready, left + 1);
        broker.pass(1);
        assert_eq!(broker.statistics("q").ready, left);
        broker.now.wall.0 += if left % 2 == 0 { HOUR } else { 0 };
        broker.pass(999);
    }
    assert_eq!(broker.statistics("q").expired, 1000);
}

#[test]
fn a_message_from_the_future_lives_no_longer_than_one_that_was_published_at_the_start() {
    let (mut broker, queue) = broker(&[("x-message-ttl", FieldValue::I32(1000))]);
    broker.now.wall.0 += HOUR;
    broker.send(CONNECTION, [publish(queue, vec![stamped(&broker)], None)]);
    broker.commit();
    // The clock of the machine was wrong before, or is now.
    broker.now.wall.0 -= HOUR;
    broker.crash();
    broker.open(CONNECTION);
    broker.pass(999);
    assert_eq!(broker.statistics("q").ready, 1);
    broker.pass(1);
    assert_eq!(broker.statistics("q").ready, 0);
}

#[test]
fn time_without_a_process_counts() {
    let (mut broker, queue) = broker(&[("x-message-ttl", FieldValue::I64(2 * HOUR as i64))]);
    broker.send(CONNECTION, [publish(queue, vec![stamped(&broker)], None)]);
    broker.commit();
    broker.now.wall.0 += HOUR;
    broker.crash();
    broker.open(CONNECTION);
    broker.pass(HOUR - 1);
    assert_eq!(broker.statistics("q").ready, 1);
    broker.pass(1);
    assert_eq!(broker.statistics("q").ready, 0);
}

#[test]
fn an_unused_queue_ends() {
    let (mut broker, _) = broker(&[("x-expires", FieldValue::I32(1000))]);
    broker.pass(900);
    broker.subscribe(CONNECTION, consume("q", "c", 0));
    broker.pass(5000);
    broker
        .send(CONNECTION, [Command::CloseChannel { channel: CHANNEL, closure: Closure::ByClient }]);
    broker.pass(999);
    assert_eq!(broker.shard.statistics().queues.len(), 1);
    broker.pass(1);
    assert_eq!(broker.shard.statistics().queues.len(), 0);
    broker.commit();
    broker.crash();
    assert_eq!(broker.shard.statistics().queues.len(), 0);
}

#[test]
fn a_hung_consumer_loses_what_it_holds_to_another_one_and_keeps_its_channel() {
    let (mut broker, queue) = broker(&[("x-consumer-timeout", FieldValue::I32(1000))]);
    broker.subscribe(CONNECTION, consume("q", "hung", 2));
    let messages = (0..3u8).map(|n| message(vec![n], true)).collect();
    broker.send(CONNECTION, [publish(queue, messages, None)]);
    let held = broker.deliveries(CONNECTION);
    assert_eq!(held.len(), 2);
    broker.pass(1000);
    let statistics = broker.statistics("q");
    assert_eq!((statistics.timed_out, statistics.ready, statistics.unacked), (1, 2, 1));
    // It gets no more; another one gets the message, marked, and will get what else it holds.
    assert!(broker.deliveries(CONNECTION).is_empty());
    broker.subscribe(OTHER, consume("q", "alive", 1));
    let taken = broker.deliveries(OTHER);
    assert_eq!(taken[0].message.body()[0], 0);
    assert!(taken[0].redelivered && taken[0].failures == 1);
    let statistics = broker.statistics("q");
    assert_eq!((statistics.timed_out, statistics.ready, statistics.unacked), (2, 2, 1));
    // Too late: somebody else has it. Credit is back, and it is heard of.
    broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&held[0]])]);
    assert_eq!(broker.statistics("q").unacked, 2);
    assert_eq!(broker.deliveries(CONNECTION).len(), 1);
    broker.send(OTHER, [settle(queue, Settlement::Ack, &[&taken[0]])]);
    assert_eq!(broker.statistics("q").acked, 1);
}

#[test]
fn a_late_acknowledgement_counts_when_nobody_else_has_the_message() {
    let (mut broker, queue) = broker(&[("x-consumer-timeout", FieldValue::I32(1000))]);
    broker.subscribe(CONNECTION, consume("q", "slow", 1));
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    let held = broker.deliveries(CONNECTION);
    broker.pass(1500);
    assert_eq!(broker.statistics("q").ready, 1);
    broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&held[0]])]);
    let statistics = broker.statistics("q");
    assert_eq!((statistics.ready, statistics.unacked, statistics.acked), (0, 0, 1));
    broker.commit();
    assert_eq!(broker.store.live_bytes(queue), 0);
}

#[test]
fn a_consumer_that_let_the_time_pass_again_and_again_gets_all_its_credit_back_piece_by_piece() {
    let (mut broker, queue) = broker(&[
        ("x-consumer-timeout", FieldValue::I32(1000)),
        ("x-delivery-limit", FieldValue::I32(-1)),
    ]);
    broker.subscribe(CONNECTION, consume("q", "slow", 3));
    let messages: Vec<Message> = (0..5u8).map(|n| message(vec![n], true)).collect();
    broker.send(CONNECTION, [publish(queue, messages[..1].to_vec(), None)]);
    let mut held = broker.deliveries(CONNECTION);
    for _ in 0..2 {
        broker.pass(1000);
        assert!(broker.deliveries(CONNECTION).is_empty(), "it was not heard of");
        broker.send(CONNECTION, [Command::Heard { channel: CHANNEL }]);
        held.extend(broker.deliveries(CONNECTION));
    }
    assert_eq!(held.len(), 3, "the same message, three times");
    broker.send(CONNECTION, [publish(queue, messages[1..].to_vec(), None)]);
    for delivery in held {
        assert!(broker.deliveries(CONNECTION).is_empty(), "three are not settled");
        broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&delivery])]);
        assert_eq!(broker.channels()[0].unacked, 3);
        assert_eq!(broker.deliveries(CONNECTION).len(), 1);
    }
    let statistics = broker.statistics("q");
    assert_eq!((statistics.ready, statistics.unacked, statistics.acked), (1, 3, 1));
}

#[test]
fn what_waits_behind_a_slow_message_is_not_timed() {
    let (mut broker, queue) = broker(&[("x-consumer-timeout", FieldValue::I32(1000))]);
    broker.subscribe(CONNECTION, consume("q", "slow", 3));
    let messages = (0..3u8).map(|n| message(vec![n], true)).collect();
    broker.send(CONNECTION, [publish(queue, messages, None)]);
    for delivery in broker.deliveries(CONNECTION) {
        broker.pass(900);
        broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&delivery])]);
    }
    let statistics = broker.statistics("q");
    assert_eq!((statistics.acked, statistics.timed_out), (3, 0));
}
