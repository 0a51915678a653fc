//! Declaring, consuming, deleting: what clients see of queues beside their messages.

use super::broker::{Broker, CHANNEL, CONNECTION, arguments, consume, message, publish, settle};
use crate::command::{Command, Subscribe};
use crate::event::{Event, Reply};
use crate::limits::CHANNEL_QUEUES_UNCHECKED_MAX;
use crate::model::{
    ChannelId, ChannelKey, Closure, ConnectionId, PublishSeq, QueueDeclaration, RequeueMethod,
    Settlement, TopologyRequest,
};
use crate::operation::Durability;
use forebay_wire::{FieldTable, FieldValue, ReplyCode};

const OTHER: ConnectionId = ConnectionId(2);

fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(OTHER);
    broker
}

fn delete(name: &str, if_unused: bool, if_empty: bool) -> TopologyRequest {
    TopologyRequest::DeleteQueue { name: name.try_into().unwrap(), if_unused, if_empty }
}

fn declare(name: &str, exclusive: bool, auto_delete: bool, durable: bool) -> TopologyRequest {
    TopologyRequest::DeclareQueue(QueueDeclaration {
        name: name.try_into().unwrap(),
        is_generated: name.starts_with("amq.gen-"),
        durable,
        exclusive,
        auto_delete,
        ..QueueDeclaration::default()
    })
}

fn names(broker: &Broker) -> Vec<String> {
    broker.shard.statistics().queues.iter().map(|queue| queue.record.name.to_string()).collect()
}

#[test]
fn a_durable_declare_is_answered_when_it_is_durable() {
    let mut broker = broker();
    let request = declare("q", false, false, true);
    let command = Command::Topology { channel: CHANNEL, request, nowait: false };
    broker.send(CONNECTION, [command]);
    assert!(broker.events.is_empty());
    assert!(broker.begin_commit());
    assert_eq!(broker.writing[0].durability, Durability::Synced);
    assert!(broker.events.is_empty());
    broker.finish_commit();
    assert!(matches!(broker.reply(CONNECTION), Ok(Reply::QueueDeclared { .. })));
    broker.crash();
    assert_eq!(names(&broker), ["q"]);
}

#[test]
fn what_another_client_has_just_declared_is_not_told_of_before_it_is_durable() {
    let mut broker = broker();
    let ask = |request| Command::Topology { channel: CHANNEL, request, nowait: false };
    broker.send(CONNECTION, [ask(declare("q", false, false, true))]);
    assert!(broker.begin_commit());
    // The disk works on it when the other one asks for the same.
    broker.send(OTHER, [ask(declare("q", false, false, true))]);
    assert!(!broker.begin_commit(), "there is nothing more to be written");
    assert!(broker.take_events(OTHER).is_empty());
    broker.finish_commit();
    assert!(matches!(broker.reply(OTHER), Ok(Reply::QueueDeclared { .. })));
    assert!(matches!(broker.reply(CONNECTION), Ok(Reply::QueueDeclared { .. })));
}

#[test]
fn a_transient_declare_is_answered_at_once() {
    let mut broker = broker();
    // The first of all reserves numbers for many.
    broker.declare("first", true, FieldTable::new());
    let request = declare("amq.gen-1", true, false, false);
    let command = Command::Topology { channel: CHANNEL, request, nowait: false };
    broker.send(CONNECTION, [command]);
    let Ok(Reply::QueueDeclared { name, .. }) = broker.reply(CONNECTION) else { panic!() };
    assert_eq!(name.to_string(), "amq.gen-1");
}

#[test]
fn confirms_come_merged_when_their_commit_is_durable() {
    let mut broker = broker();
    let queue = broker.declare("q", true, FieldTable::new());
    let three = || (0..3).map(|_| message("x", true)).collect();
    broker.send(CONNECTION, [publish(queue, three(), Some(1)), publish(queue, three(), Some(4))]);
    assert!(broker.begin_commit());
    broker.send(CONNECTION, [publish(queue, three(), Some(7))]);
    assert!(broker.take_events(CONNECTION).is_empty());
    broker.finish_commit();
    let events = broker.take_events(CONNECTION);
    assert!(
        matches!(
            events[..],
            [Event::Confirm { first: PublishSeq(1), last: PublishSeq(6), channel: CHANNEL }]
        ),
        "{events:?}"
    );
}

#[test]
fn acknowledgements_alone_wait_for_company_and_need_no_sync() {
    let mut broker = broker();
    let queue = broker.declare("q", true, FieldTable::new());
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], Some(1))]);
    broker.commit();
    broker.subscribe(CONNECTION, consume("q", "c", 0));
    let delivery = broker.deliveries(CONNECTION).remove(0);
    broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&delivery])]);
    assert!(!broker.begin_commit());
    let at = broker.shard.poll_timeout().expect("a time");
    broker.pass(at.0 - broker.now.monotonic.0);
    assert!(broker.begin_commit());
    assert_eq!(broker.writing[0].durability, Durability::Written);
    let next = broker.shard.poll_timeout();
    assert!(next.is_none_or(|next| next > broker.now.monotonic), "{next:?}");
}

#[test]
fn consumers_with_credit_take_turns_and_the_higher_priority_goes_first() {
    let mut broker = broker();
    let queue = broker.declare("q", true, FieldTable::new());
    for (tag, priority, prefetch) in [("low", 0, 0), ("a", 5, 2), ("b", 5, 2)] {
        let arguments = arguments(&[("x-priority", FieldValue::I32(priority))]);
        let subscribe = Subscribe { arguments, ..consume("q", tag, prefetch) };
        broker.subscribe(CONNECTION, subscribe);
    }
    broker.events.clear();
    let messages = (0..6u8).map(|n| message(vec![n], true)).collect();
    broker.send(CONNECTION, [publish(queue, messages, None)]);
    let mut got = std::collections::BTreeMap::new();
    for event in broker.take_events(CONNECTION) {
        let Event::Deliver { consumer_tag, deliveries, .. } = event else { panic!() };
        let bodies: Vec<u8> =
            deliveries.iter().map(|delivery| delivery.message.body()[0]).collect();
        got.insert(consumer_tag.to_string(), bodies);
    }
    assert_eq!(got["a"], [0, 2]);
    assert_eq!(got["b"], [1, 3]);
    assert_eq!(got["low"], [4, 5]);
}

#[test]
fn a_channel_limit_covers_its_consumers_together() {
    let mut broker = broker();
    let queue = broker.declare("q", true, FieldTable::new());
    let limit = Command::SetPrefetch { channel: CHANNEL, count: 3 };
    broker.send(CONNECTION, [limit]);
    broker.subscribe(CONNECTION, consume("q", "a", 0));
    broker.subscribe(CONNECTION, consume("q", "b", 0));
    let messages = (0..6u8).map(|n| message(vec![n], true)).collect();
    broker.send(CONNECTION, [publish(queue, messages, None)]);
    let deliveries = broker.deliveries(CONNECTION);
    assert_eq!(deliveries.len(), 3);
    broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&deliveries[1]])]);
    assert_eq!(broker.deliveries(CONNECTION).len(), 1);
}

#[test]
fn deleting_a_queue_cancels_its_consumers_and_settles_what_it_owes() {
    let mut broker = broker();
    let queue = broker.declare("q", true, FieldTable::new());
    broker.subscribe(OTHER, consume("q", "c", 0));
    broker.take_events(OTHER);
    let publishes = publish(queue, vec![message("x", true)], Some(1));
    let request = delete("q", false, false);
    broker.send(
        CONNECTION,
        [publishes, Command::Topology { channel: CHANNEL, request, nowait: false }],
    );
    broker.commit();
    let mine = broker.take_events(CONNECTION);
    assert!(mine.iter().any(|event| matches!(event, Event::Confirm { .. })), "{mine:?}");
    let reply = mine.iter().find(|event| matches!(event, Event::Reply { reply: Ok(_), .. }));
    assert!(reply.is_some(), "{mine:?}");
    let others = broker.take_events(OTHER);
    let is_told = matches!(others[..], [Event::Deliver { .. }, Event::ConsumerCancelled { .. }]);
    assert!(is_told, "{others:?}");
    broker.crash();
    assert_eq!(names(&broker), Vec::<String>::new());
}

#[test]
fn a_channel_is_free_of_what_a_cancelled_consumer_held_of_a_deleted_queue() {
    let mut broker = broker();
    let (queue, other) = (
        broker.declare("q", true, FieldTable::new()),
        broker.declare("r", true, FieldTable::new()),
    );
    let limit = Command::SetPrefetch { channel: CHANNEL, count: 1 };
    broker.send(OTHER, [limit]);
    broker.subscribe(OTHER, consume("q", "c", 0));
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    assert_eq!(broker.deliveries(OTHER).len(), 1);
    broker
        .send(OTHER, [Command::Cancel { channel: CHANNEL, consumer_tag: "c".try_into().unwrap() }]);
    broker.ask(delete("q", false, false)).unwrap();
    broker.subscribe(OTHER, consume("r", "d", 0));
    broker.send(CONNECTION, [publish(other, vec![message("y", true)], None)]);
    assert_eq!(broker.deliveries(OTHER).len(), 1, "the limit counts what is gone");
}

#[test]
fn who_deletes_a_queue_hears_that_before_its_own_consumer_is_cancelled() {
    for durable in [true, false] {
        let mut broker = broker();
        broker.declare("q", durable, FieldTable::new());
        broker.subscribe(CONNECTION, consume("q", "c", 0));
        broker.take_events(CONNECTION);
        let request = delete("q", false, false);
        broker.send(CONNECTION, [Command::Topology { channel: CHANNEL, request, nowait: false }]);
        broker.commit();
        let events = broker.take_events(CONNECTION);
        assert!(
            matches!(events[..], [Event::Reply { .. }, Event::ConsumerCancelled { .. }]),
            "{events:?}"
        );
    }
}

#[test]
fn a_consumer_priority_that_is_no_number_is_refused() {
    let mut broker = broker();
    broker.declare("q", true, FieldTable::new());
    broker.take_events(CONNECTION);
    let high = FieldValue::LongStr(bytes::Bytes::from_static(b"high"));
    let arguments = arguments(&[("x-priority", high)]);
    let subscribe = Subscribe { arguments, ..consume("q", "c", 0) };
    broker.send(CONNECTION, [Command::Subscribe(subscribe)]);
    let events = broker.take_events(CONNECTION);
    let [Event::Reply { reply: Err(fault), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(fault.code, ReplyCode::PreconditionFailed);
}

#[test]
fn what_is_in_use_or_not_empty_is_not_deleted_when_that_was_asked() {
    let mut broker = broker();
    let queue = broker.declare("q", true, FieldTable::new());
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    let fault = broker.ask(delete("q", false, true)).unwrap_err();
    assert_eq!(fault.code, ReplyCode::PreconditionFailed);
    assert_eq!(fault.text, "queue 'q' in vhost '/' not empty");
    broker.subscribe(OTHER, consume("q", "c", 0));
    let fault = broker.ask(delete("q", true, false)).unwrap_err();
    assert_eq!(fault.text, "queue 'q' in vhost '/' in use");
    assert!(matches!(broker.ask(delete("nosuch", false, false)), Ok(Reply::MessageCount(0))));
}

#[test]
fn where_one_consumer_is_active_none_is_exclusive() {
    let mut broker = broker();
    let arguments = arguments(&[("x-single-active-consumer", FieldValue::Bool(true))]);
    broker.declare("q", true, arguments);
    broker.subscribe(CONNECTION, Subscribe { exclusive: true, ..consume("q", "c", 0) });
    let fault = broker.reply(CONNECTION).unwrap_err();
    assert_eq!(fault.code, ReplyCode::AccessRefused);
    assert_eq!(fault.text, "queue 'q' in vhost '/' in exclusive use");
}

#[test]
fn an_exclusive_consumer_is_the_only_one() {
    let mut broker = broker();
    broker.declare("q", true, FieldTable::new());
    let exclusive = || Subscribe { exclusive: true, ..consume("q", "c", 0) };
    broker.subscribe(CONNECTION, exclusive());
    broker.reply(CONNECTION).unwrap();
    broker.subscribe(OTHER, consume("q", "c", 0));
    let fault = broker.reply(OTHER).unwrap_err();
    assert_eq!(fault.code, ReplyCode::AccessRefused);
    assert_eq!(fault.text, "queue 'q' in vhost '/' in exclusive use");
    broker
        .send(CONNECTION, [Command::CloseChannel { channel: CHANNEL, closure: Closure::ByClient }]);
    broker.subscribe(OTHER, consume("q", "c", 0));
    broker.reply(OTHER).unwrap();
    broker.subscribe(CONNECTION, exclusive());
    assert!(matches!(broker.reply(CONNECTION), Ok(Reply::Done)));
    assert!(broker.reply(CONNECTION).is_err());
}

#[test]
fn exclusive_and_auto_delete_queues_go_with_those_who_use_them() {
    let mut broker = broker();
    broker.ask(declare("mine", true, false, false)).unwrap();
    broker.ask(declare("shared", false, true, true)).unwrap();
    broker.subscribe(OTHER, consume("mine", "c", 0));
    assert_eq!(broker.reply(OTHER).unwrap_err().code, ReplyCode::ResourceLocked);
    broker.subscribe(OTHER, consume("nosuch", "c", 0));
    assert_eq!(broker.reply(OTHER).unwrap_err().text, "no queue 'nosuch' in vhost '/'");
    broker.subscribe(CONNECTION, consume("shared", "c", 0));
    broker.subscribe(OTHER, consume("shared", "c", 0));
    broker.send(OTHER, [Command::CloseChannel { channel: CHANNEL, closure: Closure::ByClient }]);
    assert_eq!(names(&broker), ["mine", "shared"]);
    broker.send(CONNECTION, [Command::CloseConnection { closure: Closure::ByClient }]);
    assert_eq!(names(&broker), Vec::<String>::new());
    let gone = broker.take_events(CONNECTION);
    assert!(matches!(gone.last(), Some(Event::Reply { channel: ChannelId(0), .. })), "{gone:?}");
}

#[test]
fn a_transaction_is_answered_when_all_of_it_is_durable() {
    let mut broker = broker();
    let from = broker.declare("from", true, FieldTable::new());
    let to = broker.declare("to", true, FieldTable::new());
    broker.send(CONNECTION, [publish(from, vec![message("x", true)], None)]);
    broker.commit();
    broker.subscribe(CONNECTION, consume("from", "c", 0));
    let delivery = broker.deliveries(CONNECTION).remove(0);
    let Command::Publish(moved) = publish(to, vec![message("x", true)], None) else { panic!() };
    let Command::Settle(acked) = settle(from, Settlement::Ack, &[&delivery]) else { panic!() };
    let commit = Command::CommitTransaction {
        channel: CHANNEL,
        publishes: vec![moved],
        settles: vec![acked],
        replies: Vec::new(),
    };
    broker.send(CONNECTION, [commit]);
    assert!(broker.events.is_empty());
    broker.begin_commit();
    assert_eq!(broker.writing.len(), 1);
    assert_eq!(broker.writing[0].durability, Durability::Synced);
    broker.finish_commit();
    assert!(matches!(broker.reply(CONNECTION), Ok(Reply::Done)));
    broker.crash();
    assert_eq!(broker.statistics("from").ready, 0);
    assert_eq!(broker.statistics("to").ready, 1);
}

#[test]
fn what_comes_back_soon_goes_out_again_without_a_read() {
    let mut broker = broker();
    let queue = broker.declare("q", true, FieldTable::new());
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    broker.commit();
    broker.subscribe(CONNECTION, consume("q", "a", 0));
    let held = broker.deliveries(CONNECTION);
    let requeue = settle(queue, Settlement::Requeue(RequeueMethod::Nack), &[&held[0]]);
    broker.shard.handle_commands(broker.now, CONNECTION, [requeue]);
    assert!(broker.shard.poll_fetch().is_none());
    broker.collect();
    assert_eq!(broker.deliveries(CONNECTION).len(), 1);
}

#[test]
fn a_channel_forgets_queues_of_which_it_holds_nothing() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let get = |queue: &str, no_ack| Command::Get {
        channel: CHANNEL,
        queue: queue.try_into().unwrap(),
        no_ack,
    };
    let held = broker.declare("held", true, FieldTable::new());
    broker.send(CONNECTION, [publish(held, vec![message("x", true)], None), get("held", false)]);
    for at in 0..500 {
        let name = format!("q{at}");
        let queue = broker.declare(&name, false, FieldTable::new());
        broker.send(CONNECTION, [publish(queue, vec![message("x", false)], None)]);
        broker.send(CONNECTION, [get(&name, true)]);
        broker.take_events(CONNECTION);
    }
    let clients = &broker.shard.clients;
    let key = ChannelKey { connection: CONNECTION, channel: CHANNEL };
    let remembered = clients.remembered_queues(clients.find_channel(key).unwrap());
    assert!(remembered <= CHANNEL_QUEUES_UNCHECKED_MAX + 1, "{remembered}");
    // What it holds comes back all the same.
    let close = Command::CloseChannel { channel: CHANNEL, closure: Closure::ByClient };
    broker.send(CONNECTION, [close]);
    assert_eq!(broker.statistics("held").ready, 1);
}
