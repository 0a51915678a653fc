//! Messages that come again within the window of their queue (`x-dedup-window`).

use super::broker::{
    Broker, CHANNEL, CONNECTION, arguments, consume, message, message_with, publish, settle,
};
use crate::administration::Administration;
use crate::command::{Command, Publish, Subscribe};
use crate::event::{Event, Reply};
use crate::limits::DEDUP_FORGET_INTERVAL_MS;
use crate::model::{ConnectionId, Message, PublishSeq, QueueId, Settlement};
use crate::operation::Durability;
use crate::topology::{Policy, PolicyOwner, PolicyRequest};
use forebay_wire::properties::Properties;
use forebay_wire::{FieldTable, FieldValue, ReplyCode, ShortStr};

const CONSUMER: ConnectionId = ConnectionId(2);
const WINDOW_MS: u64 = 60_000;

fn keyed(key: &str, persistent: bool) -> Message {
    let properties = Properties {
        delivery_mode: Some(if persistent { 2 } else { 1 }),
        message_id: Some(key.try_into().unwrap()),
        ..Properties::default()
    };
    message_with(key.to_owned(), &properties, None)
}

fn all(keys: &[&str]) -> Vec<Message> {
    keys.iter().map(|key| keyed(key, true)).collect()
}

fn window() -> (&'static str, FieldValue) {
    ("x-dedup-window", FieldValue::I64(WINDOW_MS as i64))
}

fn broker(more: &[(&str, FieldValue)]) -> (Broker, QueueId) {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(CONSUMER);
    let queue = broker.declare("q", true, arguments(&[&[window()], more].concat()));
    (broker, queue)
}

/// Which publishes were confirmed since last asked.
fn confirmed(broker: &mut Broker) -> Vec<u64> {
    let confirmed = broker.take_events(CONNECTION).into_iter().flat_map(|event| match event {
        Event::Confirm { first, last, .. } => first.0..=last.0,
        other => panic!("{other:?}"),
    });
    confirmed.collect()
}

fn counts(broker: &Broker) -> (u64, u64) {
    let statistics = broker.statistics("q");
    (statistics.ready, statistics.deduplicated)
}

/// As a queue's policy, or none.
fn set_policy(broker: &mut Broker, definition: Option<FieldTable>) {
    let (vhost, name) = (ShortStr::from_static("/"), ShortStr::from_static("dedup"));
    let owner = PolicyOwner::User;
    broker.administer(match definition {
        None => Administration::ClearPolicy { vhost, owner, name },
        Some(definition) => {
            let definition = &definition;
            let request = PolicyRequest {
                name: &name,
                pattern: "^q$",
                apply_to: "queues",
                definition,
                priority: 0,
            };
            let policy = Box::new(Policy::new(owner, request).unwrap());
            Administration::SetPolicy { vhost, policy }
        }
    });
}

#[test]
fn a_duplicate_waits_for_its_original_whatever_comes_with_it() {
    let (mut broker, queue) = broker(&[]);
    broker.subscribe(CONSUMER, Subscribe { no_ack: true, ..consume("q", "c", 0) });
    broker.send(CONNECTION, [publish(queue, all(&["a"]), Some(1))]);
    broker.begin_commit();
    // Consumed at once, so that the next commit would have nothing to write.
    let messages = vec![keyed("a", true), message("without a key", true)];
    broker.send(CONNECTION, [publish(queue, messages, Some(2))]);
    broker.begin_commit();
    assert!(confirmed(&mut broker).is_empty());
    broker.finish_commit();
    broker.finish_commit();
    assert_eq!(confirmed(&mut broker), [1, 2, 3]);
}

#[test]
fn a_duplicate_is_confirmed_when_its_original_is_durable() {
    let (mut broker, queue) = broker(&[]);
    // In one batch, before a commit begins, and while it is under way.
    broker.send(CONNECTION, [publish(queue, all(&["a", "b", "a"]), Some(1))]);
    broker.send(CONNECTION, [publish(queue, all(&["b"]), Some(4))]);
    assert!(confirmed(&mut broker).is_empty());
    assert!(broker.begin_commit());
    broker.send(CONNECTION, [publish(queue, all(&["a"]), Some(5))]);
    assert!(confirmed(&mut broker).is_empty());
    broker.finish_commit();
    assert_eq!(confirmed(&mut broker), [1, 2, 3, 4, 5]);
    assert!(!broker.begin_commit(), "a duplicate has nothing to be written");
    broker.send(CONNECTION, [publish(queue, all(&["a"]), Some(6))]);
    assert_eq!(confirmed(&mut broker), [6], "at once");
    assert_eq!(counts(&broker), (2, 4));
}

#[test]
fn a_duplicate_that_is_awaited_has_its_original_synced() {
    let (mut broker, queue) = broker(&[]);
    broker.send(CONNECTION, [publish(queue, all(&["a"]), None)]);
    broker.shard.commits.hurry();
    assert!(broker.begin_commit());
    assert_eq!(broker.writing[0].durability, Durability::Written);
    broker.send(CONNECTION, [publish(queue, all(&["a"]), Some(1))]);
    broker.finish_commit();
    assert!(confirmed(&mut broker).is_empty(), "a power loss would take it");
    assert!(broker.begin_commit());
    assert_eq!(broker.writing[0].durability, Durability::Synced);
    broker.send(CONNECTION, [publish(queue, all(&["a"]), Some(2))]);
    assert!(confirmed(&mut broker).is_empty());
    broker.finish_commit();
    assert_eq!(confirmed(&mut broker), [1, 2]);
    broker.send(CONNECTION, [publish(queue, all(&["a"]), Some(3))]);
    assert_eq!(confirmed(&mut broker), [3]);
}

#[test]
fn a_message_that_was_consumed_at_once_is_remembered_after_a_crash() {
    let (mut broker, queue) = broker(&[]);
    broker.subscribe(CONSUMER, consume("q", "c", 0));
    broker.send(CONNECTION, [publish(queue, all(&["a"]), Some(1))]);
    let delivery = broker.deliveries(CONSUMER).pop().unwrap();
    broker.send(CONSUMER, [settle(queue, Settlement::Ack, &[&delivery])]);
    assert!(confirmed(&mut broker).is_empty(), "its key is not durable yet");
    broker.commit();
    assert_eq!(confirmed(&mut broker), [1]);
    broker.crash();
    broker.open(CONNECTION);
    broker.send(CONNECTION, [publish(queue, all(&["a", "b"]), Some(1))]);
    assert_eq!(counts(&broker), (1, 1));
}

#[test]
fn what_a_crash_took_is_not_a_duplicate() {
    let (mut broker, queue) = broker(&[]);
    broker.send(CONNECTION, [publish(queue, all(&["a"]), Some(1))]);
    broker.send(CONNECTION, [publish(queue, vec![keyed("b", false)], Some(2))]);
    assert_eq!(confirmed(&mut broker), [2]);
    broker.send(CONNECTION, [publish(queue, vec![keyed("b", false)], Some(3))]);
    assert!(broker.begin_commit());
    broker.crash();
    broker.open(CONNECTION);
    broker.send(CONNECTION, [publish(queue, all(&["a", "b"]), Some(1))]);
    assert_eq!(counts(&broker), (2, 0));
}

#[test]
fn the_window_passes_also_over_a_restart_and_its_records_go() {
    let (mut broker, queue) = broker(&[]);
    let records = broker.store.records();
    for key in ["a", "b", "c"] {
        broker.send(CONNECTION, [publish(queue, all(&[key]), Some(1))]);
        broker.commit();
        broker.pass(10);
    }
    assert_eq!(broker.store.records(), records + 3);
    broker.restart(&[CONNECTION, CONSUMER]);
    broker.open(CONNECTION);
    broker.pass(WINDOW_MS - 21);
    broker.send(CONNECTION, [publish(queue, all(&["a", "b", "c"]), None)]);
    assert_eq!(counts(&broker), (4, 2), "the first one's time has passed");
    broker.pass(WINDOW_MS + DEDUP_FORGET_INTERVAL_MS);
    broker.pass(DEDUP_FORGET_INTERVAL_MS);
    broker.commit();
    assert_eq!(broker.statistics("q").dedup_keys, 0);
    assert_eq!(broker.store.records(), records);
}

#[test]
fn a_clock_that_jumps_makes_no_window_longer_or_shorter() {
    for jump in [-50_000_i64, 50_000] {
        let (mut broker, queue) = broker(&[]);
        broker.send(CONNECTION, [publish(queue, all(&["a"]), Some(1))]);
        broker.commit();
        broker.now.wall.0 = broker.now.wall.0.strict_add_signed(jump);
        broker.pass(1_000);
        broker.send(CONNECTION, [publish(queue, all(&["b"]), Some(2))]);
        broker.commit();
        broker.crash();
        broker.open(CONNECTION);
        broker.pass(WINDOW_MS - 1_001);
        broker.send(CONNECTION, [publish(queue, all(&["a", "b"]), None)]);
        assert_eq!(counts(&broker), (2, 2), "{jump}");
        broker.pass(1);
        broker.send(CONNECTION, [publish(queue, all(&["a", "b"]), None)]);
        assert_eq!(counts(&broker), (3, 3), "{jump}");
    }
}

#[test]
fn a_message_that_was_refused_is_not_remembered() {
    let overflow = ("x-overflow", FieldValue::LongStr("reject-publish".into()));
    let (mut broker, queue) = broker(&[("x-max-length", FieldValue::I32(1)), overflow]);
    broker.send(CONNECTION, [publish(queue, all(&["a", "b", "a"]), Some(1))]);
    broker.commit();
    let events = broker.take_events(CONNECTION);
    let refused = events.iter().filter(|event| matches!(event, Event::Refuse { .. }));
    assert!(matches!(
        refused.collect::<Vec<_>>()[..],
        [Event::Refuse { first: PublishSeq(2), last: PublishSeq(2), .. }]
    ));
    let get = Command::Get { channel: CHANNEL, queue: "q".try_into().unwrap(), no_ack: true };
    broker.send(CONNECTION, [get]);
    broker.take_events(CONNECTION);
    broker.send(CONNECTION, [publish(queue, all(&["b"]), Some(4))]);
    broker.commit();
    assert_eq!(confirmed(&mut broker), [4]);
    assert_eq!(counts(&broker), (1, 1));
}

#[test]
fn a_transaction_has_room_for_its_duplicates() {
    let overflow = ("x-overflow", FieldValue::LongStr("reject-publish".into()));
    let (mut broker, queue) = broker(&[("x-max-length", FieldValue::I32(2)), overflow]);
    let mut commit = |keys: &[&str]| {
        let Command::Publish(publish) = publish(queue, all(keys), None) else { panic!() };
        let publishes: Vec<Publish> = vec![publish];
        let (settles, replies) = (Vec::new(), Vec::new());
        let command = Command::CommitTransaction { channel: CHANNEL, publishes, settles, replies };
        broker.send(CONNECTION, [command]);
        broker.commit();
        broker.reply(CONNECTION)
    };
    assert!(matches!(commit(&["a", "b", "a", "b"]), Ok(Reply::Done)));
    assert!(matches!(commit(&["a"]), Ok(Reply::Done)));
    let refused = commit(&["a", "c"]).unwrap_err();
    assert_eq!(refused.code, ReplyCode::PreconditionFailed);
    assert!(commit(&["c"]).is_err(), "it was not remembered");
    assert_eq!(counts(&broker), (2, 3));
}

#[test]
fn a_transaction_of_duplicates_alone_has_their_originals_synced() {
    let (mut broker, queue) = broker(&[]);
    broker.send(CONNECTION, [publish(queue, all(&["a"]), None)]);
    broker.commit();
    let Command::Publish(publish) = publish(queue, all(&["a"]), None) else { panic!() };
    let (publishes, settles, replies) = (vec![publish], Vec::new(), Vec::new());
    let command = Command::CommitTransaction { channel: CHANNEL, publishes, settles, replies };
    broker.send(CONNECTION, [command]);
    assert!(broker.begin_commit());
    assert_eq!(broker.writing[0].durability, Durability::Synced);
    assert!(broker.take_events(CONNECTION).is_empty());
    broker.finish_commit();
    assert!(broker.reply(CONNECTION).is_ok());
}

#[test]
fn each_queue_decides_for_itself() {
    let (mut broker, queue) = broker(&[]);
    let plain = broker.declare("plain", true, FieldTable::new());
    let late = broker.declare("late", true, arguments(&[window()]));
    broker.send(CONNECTION, [publish(queue, all(&["a"]), None)]);
    let Command::Publish(publish) = publish(queue, all(&["a"]), Some(1)) else { panic!() };
    let publish = Publish { targets: [queue, plain, late].into(), ..publish };
    broker.send(CONNECTION, [Command::Publish(publish)]);
    assert!(confirmed(&mut broker).is_empty());
    broker.commit();
    assert_eq!(confirmed(&mut broker), [1]);
    let ready = |name| broker.statistics(name).ready;
    assert_eq!((ready("q"), ready("plain"), ready("late")), (1, 1, 1));
}

#[test]
fn the_oldest_key_gives_way_when_there_are_too_many() {
    let (mut broker, queue) = broker(&[("x-dedup-size", FieldValue::I32(2))]);
    broker.send(CONNECTION, [publish(queue, all(&["a", "b", "c", "b", "a"]), None)]);
    assert_eq!(counts(&broker), (4, 1));
    let statistics = broker.statistics("q");
    assert_eq!((statistics.dedup_keys, statistics.dedup_evicted), (2, 2));
}

#[test]
fn a_purge_keeps_the_keys_and_a_deletion_takes_them() {
    let (mut broker, queue) = broker(&[]);
    let records = broker.store.records();
    broker.send(CONNECTION, [publish(queue, all(&["a"]), Some(1))]);
    broker.commit();
    let name = || "q".try_into().unwrap();
    broker.ask(crate::model::TopologyRequest::PurgeQueue { name: name() }).unwrap();
    broker.send(CONNECTION, [publish(queue, all(&["a"]), None)]);
    assert_eq!(counts(&broker), (0, 1));
    broker.delete("q");
    broker.commit();
    assert_eq!(broker.store.records(), records - 1, "the record of the queue, and of its key");
    let queue = broker.declare("q", true, arguments(&[window()]));
    broker.send(CONNECTION, [publish(queue, all(&["a"]), None)]);
    assert_eq!(counts(&broker), (1, 0));
}

#[test]
fn policies_begin_change_and_end_it_live() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queue = broker.declare("q", true, FieldTable::new());
    let with = |window: u64| {
        let mut definition = FieldTable::new();
        definition.insert(ShortStr::from_static("dedup-window"), window as i64);
        Some(definition)
    };
    let records = broker.store.records();
    broker.send(CONNECTION, [publish(queue, all(&["a"]), None)]);
    set_policy(&mut broker, with(1_000));
    broker.send(CONNECTION, [publish(queue, all(&["a", "a"]), None)]);
    assert_eq!(counts(&broker), (2, 1));
    broker.commit();
    broker.pass(500);
    set_policy(&mut broker, with(400));
    broker.send(CONNECTION, [publish(queue, all(&["a", "a"]), None)]);
    assert_eq!(counts(&broker), (3, 2));
    broker.commit();
    set_policy(&mut broker, None);
    broker.commit();
    assert_eq!(broker.store.records(), records);
    broker.send(CONNECTION, [publish(queue, all(&["a"]), None)]);
    assert_eq!(counts(&broker), (4, 2));
    assert_eq!(broker.statistics("q").dedup_keys, 0);
}

#[test]
fn dead_letters_are_not_held_against_keys() {
    let letters = [
        ("x-dead-letter-exchange", FieldValue::LongStr("".into())),
        ("x-dead-letter-routing-key", FieldValue::LongStr("dead".into())),
        ("x-message-ttl", FieldValue::I32(10)),
    ];
    let (mut broker, queue) = broker(&letters);
    let dead = broker.declare("dead", true, arguments(&[window()]));
    broker.send(CONNECTION, [publish(dead, all(&["a"]), None)]);
    broker.send(CONNECTION, [publish(queue, all(&["a"]), None)]);
    broker.pass(10);
    assert_eq!(broker.statistics("dead").ready, 2);
}
