//! Memory does not grow with a backlog, and the store is left clean behind a drained queue.

use super::broker::{Broker, CHANNEL, CONNECTION, consume, message, publish, settle};
use crate::command::{Command, Subscribe};
use crate::event::Delivery;
use crate::limits::{
    CACHED_BYTES_MAX, COMMIT_INTERVAL_MS, OUTPUT_BUDGET_BYTES, UNAWAITED_BYTES_MAX,
    VOLATILE_BYTES_MAX,
};
use crate::model::{QueueId, Settlement};
use bytes::Bytes;
use forebay_wire::FieldTable;

const BODY: usize = 256 * 1024;

fn big() -> Bytes {
    static ZEROES: [u8; BODY] = [0; BODY];
    Bytes::from_static(&ZEROES)
}

fn durable_queue() -> (Broker, QueueId) {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queue = broker.declare("q", true, FieldTable::new());
    (broker, queue)
}

fn drain(broker: &mut Broker, queue: QueueId) -> usize {
    let mut count = 0;
    loop {
        let deliveries = broker.deliveries(CONNECTION);
        if deliveries.is_empty() {
            return count;
        }
        count += deliveries.len();
        let bytes = deliveries.iter().map(Delivery::budget_size).sum();
        let all: Vec<&Delivery> = deliveries.iter().collect();
        let ack = settle(queue, Settlement::Ack, &all);
        broker.send(CONNECTION, [Command::DeliveriesWritten { bytes }, ack]);
    }
}

#[test]
fn a_backlog_is_kept_in_the_store_and_read_again() {
    let (mut broker, queue) = durable_queue();
    for _ in 0..200 {
        broker.send(CONNECTION, [publish(queue, vec![message(big(), true)], None)]);
        broker.commit();
        let statistics = broker.shard.statistics();
        assert!(statistics.cached_bytes <= CACHED_BYTES_MAX, "{statistics:?}");
        assert_eq!(statistics.uncommitted_bytes, 0);
    }
    broker.subscribe(CONNECTION, consume("q", "c", 0));
    assert_eq!(drain(&mut broker, queue), 200);
    broker.commit();
    assert_eq!(broker.store.pages(), 0);
    assert_eq!(broker.shard.statistics().cached_bytes, 0);
}

#[test]
fn many_backlogs_share_one_budget() {
    let (mut broker, _) = durable_queue();
    let queues: Vec<QueueId> =
        (0..30).map(|n| broker.declare(&format!("q{n}"), true, FieldTable::new())).collect();
    for queue in &queues {
        let messages = (0..12).map(|_| message(big(), true)).collect();
        broker.send(CONNECTION, [publish(*queue, messages, None)]);
        broker.commit();
    }
    assert!(broker.shard.statistics().cached_bytes <= CACHED_BYTES_MAX);
    broker.events.clear();
    for (n, queue) in queues.iter().enumerate() {
        broker.subscribe(CONNECTION, consume(&format!("q{n}"), &format!("c{n}"), 0));
        assert_eq!(drain(&mut broker, *queue), 12);
        assert!(broker.shard.statistics().cached_bytes <= CACHED_BYTES_MAX);
    }
    broker.commit();
    assert_eq!(broker.store.pages(), 0);
}

#[test]
fn transient_messages_that_memory_has_no_room_for_go_to_the_store() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queue = broker.declare("q", false, FieldTable::new());
    let total = (VOLATILE_BYTES_MAX as usize / BODY) + 100;
    for _ in 0..total {
        broker.send(CONNECTION, [publish(queue, vec![message(big(), false)], None)]);
        broker.commit();
    }
    let statistics = broker.shard.statistics();
    assert!(statistics.volatile_bytes <= VOLATILE_BYTES_MAX + 2 * BODY as u64);
    assert!(broker.store.pages() > 0);
    broker.subscribe(CONNECTION, consume("q", "c", 0));
    assert_eq!(drain(&mut broker, queue), total);
    broker.commit();
    assert_eq!(broker.store.pages(), 0);
    assert_eq!(broker.shard.statistics().volatile_bytes, 0);
}

#[test]
fn a_consumer_that_does_not_read_is_sent_no_more_than_its_budget() {
    let (mut broker, queue) = durable_queue();
    let messages = (0..40).map(|_| message(big(), true)).collect();
    broker.send(CONNECTION, [publish(queue, messages, None)]);
    let no_ack = Subscribe { no_ack: true, ..consume("q", "c", 0) };
    broker.subscribe(CONNECTION, no_ack);
    let first = broker.deliveries(CONNECTION);
    let bytes: usize = first.iter().map(Delivery::budget_size).sum();
    assert!((OUTPUT_BUDGET_BYTES..OUTPUT_BUDGET_BYTES + 2 * BODY).contains(&bytes));
    broker.send(CONNECTION, [Command::DeliveriesWritten { bytes }]);
    assert_eq!(broker.deliveries(CONNECTION).len(), first.len());
}

#[test]
fn a_message_settled_before_its_commit_is_never_written() {
    let (mut broker, queue) = durable_queue();
    broker.subscribe(CONNECTION, consume("q", "c", 0));
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], Some(1))]);
    let deliveries = broker.deliveries(CONNECTION);
    broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&deliveries[0]])]);
    broker.begin_commit();
    assert!(
        broker
            .take_events(CONNECTION)
            .iter()
            .any(|event| matches!(event, crate::event::Event::Confirm { channel: CHANNEL, .. }))
    );
    broker.commit();
    assert_eq!(broker.store.pages(), 0);
}

#[test]
fn what_nobody_waits_for_begins_a_commit_when_it_is_much() {
    let (mut broker, queue) = durable_queue();
    broker.send(CONNECTION, [publish(queue, vec![message("little", true)], None)]);
    assert!(!broker.begin_commit());
    for _ in 0..2 {
        // The second time it is one message alone.
        broker.send(CONNECTION, [publish(queue, vec![message(big(), true)], None)]);
        assert!(broker.shard.unwritten_bytes() >= UNAWAITED_BYTES_MAX);
        assert!(broker.begin_commit());
        assert_eq!(broker.shard.unwritten_bytes(), 0);
    }
}

#[test]
fn what_consumers_are_about_to_take_waits_for_the_interval_and_no_longer() {
    let (mut broker, queue) = durable_queue();
    broker.subscribe(CONNECTION, consume("q", "c", 1));
    for body in ["1", "2", "3"] {
        broker.send(CONNECTION, [publish(queue, vec![message(body, true)], None)]);
        let deliveries = broker.deliveries(CONNECTION);
        broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&deliveries[0]])]);
    }
    broker.send(CONNECTION, [publish(queue, vec![message(big(), true); 3], None)]);
    assert!(broker.shard.unwritten_bytes() >= UNAWAITED_BYTES_MAX);
    assert!(!broker.begin_commit());
    broker.pass(COMMIT_INTERVAL_MS);
    assert!(broker.begin_commit());
    assert_eq!(broker.shard.unwritten_bytes(), 0);
}

#[test]
fn consumers_that_kept_step_before_a_commit_are_expected_to_go_on_after_it() {
    let (mut broker, queue) = durable_queue();
    broker.subscribe(CONNECTION, consume("q", "c", 0));
    for _ in 0..8 {
        broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
        drain(&mut broker, queue);
    }
    broker.pass(COMMIT_INTERVAL_MS);
    broker.commit();
    broker.send(CONNECTION, [publish(queue, vec![message(big(), true); 2], None)]);
    assert!(broker.shard.unwritten_bytes() >= UNAWAITED_BYTES_MAX);
    assert!(!broker.begin_commit(), "they took all of the last eight");
    broker.send(CONNECTION, [publish(queue, vec![message(big(), true); 6], None)]);
    assert!(broker.begin_commit(), "they take nothing any more");
}

#[test]
fn a_publisher_that_waits_while_nothing_is_consumed_has_messages_written_before_the_interval_is_over()
 {
    let (mut broker, queue) = durable_queue();
    broker.subscribe(CONNECTION, consume("q", "c", 2));
    broker.send(CONNECTION, [publish(queue, vec![message("1", true); 4], None)]);
    let deliveries = broker.deliveries(CONNECTION);
    let waits = |broker: &mut Broker| {
        broker.shard.handle_waiting_publisher(broker.now);
        broker.begin_commit()
    };
    assert!(!waits(&mut broker));
    for delivery in &deliveries {
        broker.pass(1);
        broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[delivery])]);
        assert!(!waits(&mut broker), "consumers are at work");
    }
    assert!(!waits(&mut broker), "told twice at the same time");
    broker.pass(1);
    assert!(waits(&mut broker));
    assert_eq!(broker.shard.unwritten_bytes(), 0);
}

#[test]
fn consumers_without_acknowledgements_keep_step_by_what_they_are_sent() {
    let (mut broker, queue) = durable_queue();
    broker.subscribe(CONNECTION, Subscribe { no_ack: true, ..consume("q", "c", 0) });
    let taken = OUTPUT_BUDGET_BYTES / BODY + 1;
    broker.send(CONNECTION, [publish(queue, vec![message(big(), true); taken + 3], None)]);
    assert!(broker.shard.unwritten_bytes() >= UNAWAITED_BYTES_MAX);
    assert!(!broker.begin_commit());
}
