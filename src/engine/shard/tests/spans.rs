//! Spans of messages whose trace is recorded: what a tracing system is told.

use super::broker::{Broker, CONNECTION, arguments, consume, message_with, publish, settle};
use crate::command::Subscribe;
use crate::limits::SPANS_WAITING_MAX;
use crate::model::{ConnectionId, Message, QueueId, Settlement};
use crate::trace::{Happening, MessageSpan, Spanned};
use forebay_wire::properties::Properties;
use forebay_wire::{FieldTable, FieldValue};

const CONSUMER: ConnectionId = ConnectionId(2);
const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;

fn traced(flags: &str, persistent: bool) -> Message {
    let parent = format!("00-{TRACE:032x}-00f067aa0ba902b7-{flags}");
    let properties = Properties {
        delivery_mode: Some(if persistent { 2 } else { 1 }),
        message_id: Some("m".try_into().unwrap()),
        headers: Some(arguments(&[("traceparent", FieldValue::LongStr(parent.into()))])),
        ..Properties::default()
    };
    message_with("body", &properties, None)
}

fn recording() -> (Broker, QueueId) {
    let mut broker = Broker::new();
    broker.shard.record_spans();
    broker.open(CONNECTION);
    broker.open(CONSUMER);
    let queue = broker.declare("q", true, FieldTable::new());
    (broker, queue)
}

fn spans(broker: &mut Broker) -> Vec<MessageSpan> {
    std::iter::from_fn(|| broker.shard.poll_span()).collect()
}

#[test]
fn a_publish_is_a_span_until_it_is_durable_and_a_delivery_one_below_it_until_it_is_settled() {
    let (mut broker, queue) = recording();
    broker.send(CONNECTION, [publish(queue, vec![traced("01", true)], Some(1))]);
    assert!(spans(&mut broker).is_empty(), "nothing is durable yet");
    broker.begin_commit();
    broker.pass(7);
    broker.finish_commit();
    let published = spans(&mut broker).remove(0);
    assert_eq!((published.trace_id, published.parent_id), (TRACE, 0x00f0_67aa_0ba9_02b7));
    assert_eq!((published.queue.as_bytes(), published.vhost.as_bytes()), (&b"q"[..], &b"/"[..]));
    assert_eq!(published.end.0 - published.start.0, 7);
    assert!(matches!(published.what, Spanned::Publish { how: Happening::Published { .. } }));
    assert_eq!(published.message_id, Some("m".try_into().unwrap()));

    broker.subscribe(CONSUMER, consume("q", "c", 0));
    let deliveries = broker.deliveries(CONSUMER);
    broker.pass(5);
    assert!(spans(&mut broker).is_empty());
    broker.send(CONSUMER, [settle(queue, Settlement::Ack, &[&deliveries[0]])]);
    let delivered = spans(&mut broker).remove(0);
    assert_eq!((delivered.trace_id, delivered.parent_id), (TRACE, published.span_id));
    assert_ne!(delivered.span_id, published.span_id);
    assert_eq!(delivered.end.0 - delivered.start.0, 5);
    let Spanned::Deliver { to: Some(to), consumer, attempt: 1, end } = delivered.what else {
        panic!()
    };
    assert_eq!((to.connection, consumer), (CONSUMER, Some("c".try_into().unwrap())));
    assert_eq!(end, Some(Happening::Acknowledged { is_late: false }));
    // What the consumer is sent is what the publisher sent.
    assert_eq!(deliveries[0].message, traced("01", true));
}

#[test]
fn each_delivery_has_a_span_of_its_own_also_after_a_restart() {
    let (mut broker, queue) = recording();
    broker.send(CONNECTION, [publish(queue, vec![traced("01", true)], Some(1))]);
    broker.commit();
    let published = spans(&mut broker).remove(0);
    broker.crash();
    broker.shard.record_spans();
    broker.open(CONSUMER);
    broker.subscribe(CONSUMER, consume("q", "c", 0));
    let deliveries = broker.deliveries(CONSUMER);
    broker.send(CONSUMER, [settle(queue, Settlement::Recover, &[&deliveries[0]])]);
    let again = broker.deliveries(CONSUMER);
    broker.send(CONSUMER, [settle(queue, Settlement::Reject, &[&again[0]])]);
    broker.commit();
    let spans = spans(&mut broker);
    let [first, second, letter] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((first.parent_id, second.parent_id), (published.span_id, published.span_id));
    assert_ne!(first.span_id, second.span_id);
    assert!(matches!(&second.what, Spanned::Deliver { end: Some(Happening::Rejected { .. }), .. }));
    // The copy goes on in the same trace.
    assert_eq!((letter.trace_id, letter.queue.as_bytes()), (TRACE, &b"q.dlq"[..]));
    assert!(matches!(&letter.what, Spanned::Publish { how: Happening::CameAsDeadLetter { .. } }));
}

#[test]
fn a_message_that_is_consumed_before_it_is_written_is_published_all_the_same() {
    let (mut broker, queue) = recording();
    broker.subscribe(CONSUMER, Subscribe { no_ack: true, ..consume("q", "c", 0) });
    let messages = vec![traced("01", true), traced("01", false)];
    broker.send(CONNECTION, [publish(queue, messages, Some(1))]);
    broker.commit();
    let spans = spans(&mut broker);
    let is_publish = |span: &&MessageSpan| matches!(span.what, Spanned::Publish { .. });
    assert_eq!((spans.len(), spans.iter().filter(is_publish).count()), (4, 2));
    assert_eq!(broker.shard.take_dropped_spans(), 0);
}

#[test]
fn a_trace_that_is_not_recorded_has_no_spans_and_what_nobody_drains_is_bounded() {
    let (mut broker, queue) = recording();
    broker.send(CONNECTION, [publish(queue, vec![traced("00", false)], None)]);
    broker.send(CONNECTION, [publish(queue, vec![super::broker::message("x", false)], None)]);
    assert!(spans(&mut broker).is_empty());
    for _ in 0..20 {
        let messages = (0..1_000).map(|_| traced("01", false)).collect();
        broker.send(CONNECTION, [publish(queue, messages, None)]);
    }
    assert_eq!(spans(&mut broker).len(), SPANS_WAITING_MAX);
    assert_eq!(broker.shard.take_dropped_spans(), 20_000 - SPANS_WAITING_MAX as u64);
    broker.subscribe(CONSUMER, consume("q", "c", 0));
    broker.delete("q");
    assert!(broker.shard.take_dropped_spans() > 0, "deliveries of a queue that is gone");
}
