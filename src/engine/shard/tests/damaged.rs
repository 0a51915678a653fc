//! A queue of which stored messages can't be read is set aside, and the others go on.

use super::broker::{
    Broker, CHANNEL, CONNECTION, arguments, consume, damaged, message, publish, settle,
};
use super::dead_letters::text;
use crate::browse::{Browse, BrowseAction, BrowseFilter};
use crate::command::{Command, Publish};
use crate::event::{Event, Reply};
use crate::model::{
    Fault, FaultScope, Level, Message, Monotonic, Offset, QueueId, RequeueMethod, Settlement,
    TopologyRequest,
};
use crate::shard::{Fetch, QueueState};
use forebay_wire::{FieldTable, FieldValue, ReplyCode};

fn messages(count: u8) -> Vec<Message> {
    (0..count).map(|n| message(vec![n], true)).collect()
}

/// A broker that has just started: `q` holds five messages that can't be read, `other` holds one.
fn broker(settings: FieldTable) -> (Broker, QueueId, QueueId) {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queue = broker.declare("q", true, settings);
    let other = broker.declare("other", true, FieldTable::new());
    for message in messages(5) {
        broker.send(CONNECTION, [publish(queue, vec![message], None)]);
        broker.commit();
    }
    broker.send(CONNECTION, [publish(other, messages(1), None)]);
    broker.commit();
    broker.crash();
    broker.open(CONNECTION);
    broker.store.damaged.insert(queue);
    (broker, queue, other)
}

/// The same after `q` was read.
fn with_damaged(settings: FieldTable) -> (Broker, QueueId, QueueId) {
    let (mut broker, queue, other) = broker(settings);
    broker.subscribe(CONNECTION, consume("q", "c", 0));
    broker.take_events(CONNECTION);
    assert!(is_damaged(&broker, "q"));
    (broker, queue, other)
}

fn is_damaged(broker: &Broker, name: &str) -> bool {
    let reports = broker.shard.statistics().queues;
    let report = reports.into_iter().find(|report| report.record.name == name).unwrap();
    report.state == QueueState::Damaged("a page is damaged".into())
}

fn get(broker: &mut Broker, name: &str) -> Result<Reply, Fault> {
    let queue = name.try_into().unwrap();
    broker.send(CONNECTION, [Command::Get { channel: CHANNEL, queue, no_ack: false }]);
    broker.reply(CONNECTION)
}

fn is_refused(reply: Result<Reply, Fault>) {
    let fault = reply.unwrap_err();
    assert_eq!((fault.scope, fault.code), (FaultScope::Channel, ReplyCode::NotFound));
    assert!(fault.text.starts_with("queue 'q' in vhost '/' has crashed"), "{}", fault.text);
    assert!(fault.text.contains("`forebay repair --accept-loss`"), "{}", fault.text);
}

#[test]
fn its_consumers_are_cancelled_and_who_asks_for_a_message_is_refused() {
    let (mut broker, ..) = broker(FieldTable::new());
    broker.subscribe(CONNECTION, consume("q", "c", 0));
    let events = broker.take_events(CONNECTION);
    assert!(
        matches!(
            events[..],
            [Event::Reply { reply: Ok(Reply::Done), .. }, Event::ConsumerCancelled { .. }]
        ),
        "{events:?}"
    );
    assert!(is_damaged(&broker, "q") && !is_damaged(&broker, "other"));
    assert_eq!(broker.statistics("q").consumers, 0);
    is_refused(get(&mut broker, "q"));
    broker.subscribe(CONNECTION, consume("q", "c", 0));
    is_refused(broker.reply(CONNECTION));
    let browse = Browse {
        queue: "q".try_into().unwrap(),
        runs: None,
        filter: BrowseFilter::default(),
        action: BrowseAction::Show,
        taken_max: 10,
        trust_headers: false,
    };
    broker.send(CONNECTION, [Command::Browse { channel: CHANNEL, browse: Box::new(browse) }]);
    is_refused(broker.reply(CONNECTION));
    assert!(matches!(get(&mut broker, "other"), Ok(Reply::Got { .. })));
}

#[test]
fn a_get_that_meets_the_damage_is_refused() {
    let (mut broker, ..) = broker(FieldTable::new());
    is_refused(get(&mut broker, "q"));
    assert!(is_damaged(&broker, "q"));
}

#[test]
fn what_is_published_to_it_is_refused_and_counted() {
    let (mut broker, queue, other) = with_damaged(FieldTable::new());
    let both = Command::Publish(Publish {
        channel: CHANNEL,
        confirm: Some(crate::model::PublishSeq(1)),
        targets: [queue, other].into(),
        messages: messages(1),
    });
    broker.send(CONNECTION, [both]);
    broker.commit();
    let events = broker.take_events(CONNECTION);
    assert!(matches!(events[..], [Event::Refuse { .. }]), "{events:?}");
    broker.send(CONNECTION, [publish(queue, messages(2), None)]);
    let statistics = broker.statistics("q");
    assert_eq!((statistics.ready, statistics.refused), (5, 3));
    assert_eq!(broker.statistics("other").ready, 2);
}

#[test]
fn a_transaction_that_brings_it_something_is_refused_as_a_whole() {
    let (mut broker, queue, other) = with_damaged(FieldTable::new());
    let publishes = [queue, other].map(|queue| match publish(queue, messages(1), None) {
        Command::Publish(publish) => publish,
        other => panic!("{other:?}"),
    });
    let (settles, replies) = (Vec::new(), Vec::new());
    let publishes = publishes.into();
    let commit = Command::CommitTransaction { channel: CHANNEL, publishes, settles, replies };
    broker.send(CONNECTION, [commit]);
    let fault = broker.reply(CONNECTION).unwrap_err();
    assert_eq!(fault.code, ReplyCode::PreconditionFailed);
    assert_eq!(broker.statistics("other").ready, 1);
}

#[test]
fn what_a_client_holds_can_be_settled() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queue = broker.declare("q", true, FieldTable::new());
    broker.send(CONNECTION, [publish(queue, messages(5), None)]);
    broker.commit();
    broker.subscribe(CONNECTION, consume("q", "c", 3));
    let held = broker.deliveries(CONNECTION);
    assert_eq!(held.len(), 3);
    let fetch = Fetch { queue, level: Level(0), from: Offset(3), bytes_max: 1 };
    assert!(broker.shard.handle_damaged(broker.now, damaged(fetch)));
    assert!(!broker.shard.handle_damaged(broker.now, damaged(fetch)), "it is no news");
    broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&held[0], &held[1]])]);
    let statistics = broker.statistics("q");
    assert_eq!((statistics.ready, statistics.unacked), (2, 1));
    broker.send(CONNECTION, [settle(queue, Settlement::Requeue(RequeueMethod::Nack), &[&held[2]])]);
    assert_eq!(broker.statistics("q").ready, 3);
    assert!(broker.deliveries(CONNECTION).is_empty());
    broker.commit();
    broker.store.damaged.insert(queue);
    broker.crash();
    assert_eq!(broker.statistics("q").ready, 3);
}

#[test]
fn it_stays_so_over_a_restart_and_nothing_of_it_is_read_or_expires() {
    let settings =
        [("x-message-ttl", FieldValue::I32(1_000)), ("x-expires", FieldValue::I32(2_000))];
    let (mut broker, queue, _) = with_damaged(arguments(&settings));
    for _ in 0..2 {
        broker.pass(10_000);
        assert_eq!(broker.shard.poll_fetch(), None);
        assert_ne!(broker.shard.poll_timeout(), Some(Monotonic::AT_ONCE));
        assert_eq!(broker.statistics("q").ready, 5);
        assert!(is_damaged(&broker, "q"));
        broker.report();
        while let Some(fetch) = broker.shard.poll_fetch() {
            assert_ne!(fetch.queue, queue, "its age is not asked for");
        }
        broker.crash();
        broker.open(CONNECTION);
    }
    is_refused(get(&mut broker, "q"));
}

#[test]
fn purging_it_does_without_what_is_damaged() {
    let (mut broker, queue, _) = with_damaged(FieldTable::new());
    broker.ask(TopologyRequest::PurgeQueue { name: "q".try_into().unwrap() }).unwrap();
    broker.store.damaged.clear();
    assert_eq!(broker.statistics("q").ready, 0);
    broker.subscribe(CONNECTION, consume("q", "c", 0));
    broker.send(CONNECTION, [publish(queue, messages(1), None)]);
    assert_eq!(broker.deliveries(CONNECTION).len(), 1);
}

/// The answer to a fetch comes later than what a client did meanwhile.
#[test]
fn damage_of_what_is_not_needed_any_more_is_no_news() {
    for request in [
        TopologyRequest::PurgeQueue { name: "q".try_into().unwrap() },
        TopologyRequest::DeleteQueue {
            name: "q".try_into().unwrap(),
            if_unused: false,
            if_empty: false,
        },
    ] {
        let (mut broker, queue, _) = broker(FieldTable::new());
        let fetch = Fetch { queue, level: Level(0), from: Offset(1), bytes_max: 1 };
        broker.ask(request).unwrap();
        assert!(!broker.shard.handle_damaged(broker.now, damaged(fetch)));
        let again = broker.declare("q", true, FieldTable::new());
        broker.send(CONNECTION, [publish(again, messages(1), Some(1))]);
        broker.commit();
        assert_eq!(broker.statistics("q").ready, 1);
    }
}

/// Otherwise they would be lost: nobody is left to be told that they are refused.
#[test]
fn dead_letters_of_other_queues_are_kept_in_it() {
    let (mut broker, ..) = with_damaged(FieldTable::new());
    let settings = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("q"))];
    let origin = broker.declare("origin", true, arguments(&settings));
    broker.send(CONNECTION, [publish(origin, messages(1), None)]);
    let Ok(Reply::Got { delivery, .. }) = get(&mut broker, "origin") else { panic!() };
    broker.send(CONNECTION, [settle(origin, Settlement::Reject, &[&delivery])]);
    broker.commit();
    assert_eq!(broker.statistics("q").ready, 6);
    assert_eq!(broker.statistics("origin").ready, 0);
}
