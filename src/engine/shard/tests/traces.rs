//! The lives of messages (`x-trace`): what an operator is told.

use super::broker::{
    Broker, CHANNEL, CONNECTION, arguments, consume, message, message_with, publish, settle,
};
use crate::administration::Administration;
use crate::browse::{Browse, BrowseAction, BrowseFilter};
use crate::command::Command;
use crate::delayed_request::{DelayedAction, DelayedFate, DelayedRequest};
use crate::event::Reply;
use crate::limits::{LIFE_EVENTS_FIRST, LIFE_EVENTS_MAX, TRACE_BYTES_MAX, TRACE_PAGE_MAX};
use crate::model::{
    Closure, ConnectionId, DueClock, Fault, Message, QueueId, RequeueMethod, Settlement,
    TopologyRequest, WallClock,
};
use crate::topology::{Policy, PolicyOwner, PolicyRequest};
use crate::trace::{Happening, Life, LifeNumber, TracePage};
use crate::trace_request::TraceRequest;
use forebay_wire::properties::Properties;
use forebay_wire::{FieldTable, FieldValue, ReplyCode, ShortStr};

const CONSUMER: ConnectionId = ConnectionId(2);

fn traced(more: &[(&str, FieldValue)]) -> (Broker, QueueId) {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(CONSUMER);
    let trace = [("x-trace", FieldValue::I32(100))];
    let queue = broker.declare("q", true, arguments(&[&trace, more].concat()));
    (broker, queue)
}

fn named(id: &str) -> Message {
    let message_id = Some(id.try_into().unwrap());
    let properties = Properties { message_id, delivery_mode: Some(2), ..Properties::default() };
    message_with(id.to_owned(), &properties, None)
}

fn ask(
    broker: &mut Broker,
    queue: &str,
    message_id: Option<&str>,
    below: Option<LifeNumber>,
) -> Result<TracePage, Fault> {
    let message_id = message_id.map(|id| id.try_into().unwrap());
    let queue = queue.try_into().unwrap();
    let request = Box::new(TraceRequest { queue, message_id, below, count_max: TRACE_PAGE_MAX });
    broker.send(CONNECTION, [Command::Trace { channel: CHANNEL, request }]);
    match broker.reply(CONNECTION)? {
        Reply::Trace(page) => Ok(*page),
        other => panic!("{other:?}"),
    }
}

fn lives(broker: &mut Broker, queue: &str) -> Vec<Life> {
    ask(broker, queue, None, None).unwrap().lives
}

fn names(life: &Life) -> Vec<&'static str> {
    life.events.iter().map(|event| event.what.name()).collect()
}

/// The names of what happened to the only message that is known.
fn story(broker: &mut Broker, queue: &str) -> Vec<&'static str> {
    let lives = lives(broker, queue);
    assert_eq!(lives.len(), 1);
    names(&lives[0])
}

#[test]
fn a_message_is_followed_from_its_publisher_to_its_acknowledgement() {
    let (mut broker, queue) = traced(&[]);
    let began = broker.now.wall;
    broker.send(CONNECTION, [publish(queue, vec![named("m")], None)]);
    broker.pass(5);
    broker.subscribe(CONSUMER, consume("q", "c", 0));
    let deliveries = broker.deliveries(CONSUMER);
    broker.pass(7);
    broker.send(CONSUMER, [settle(queue, Settlement::Ack, &[&deliveries[0]])]);
    let page = ask(&mut broker, "q", None, None).unwrap();
    assert_eq!((page.lives_max, page.since, page.next), (100, began, None));
    let life = &page.lives[0];
    assert_eq!(life.message_id, Some("m".try_into().unwrap()));
    assert_eq!((life.routing_key.as_bytes(), life.size), (b"q".as_slice(), 1));
    assert_eq!(life.position, Some(deliveries[0].position));
    let [published, delivered, acknowledged] = &life.events[..] else { panic!("{life:?}") };
    assert_eq!(published.at, began);
    let Happening::Published { by: Some(by) } = &published.what else { panic!("{published:?}") };
    assert_eq!((by.connection, by.channel), (CONNECTION, CHANNEL));
    assert_eq!(by.identity.user.as_bytes(), b"guest");
    assert_eq!(delivered.at, WallClock(began.0 + 5));
    let Happening::Delivered { to: Some(to), consumer, attempt: 1, is_settled: false, .. } =
        &delivered.what
    else {
        panic!("{delivered:?}")
    };
    assert_eq!((to.connection, consumer.clone()), (CONSUMER, Some("c".try_into().unwrap())));
    assert_eq!(acknowledged.at, WallClock(began.0 + 12));
    assert_eq!(acknowledged.what, Happening::Acknowledged { is_late: false });
}

#[test]
fn how_a_consumer_lost_a_message_is_told_apart() {
    for (close_connection, closure, expected) in [
        (true, Closure::Failed, "connection-lost"),
        (false, Closure::Failed, "channel-failed"),
        (true, Closure::ByClient, "returned"),
        (true, Closure::ByBroker, "interrupted"),
    ] {
        let (mut broker, queue) = traced(&[]);
        broker.send(CONNECTION, [publish(queue, vec![named("m")], None)]);
        broker.subscribe(CONSUMER, consume("q", "c", 0));
        let close = match close_connection {
            true => Command::CloseConnection { closure },
            false => Command::CloseChannel { channel: CHANNEL, closure },
        };
        broker.send(CONSUMER, [close]);
        let lives = lives(&mut broker, "q");
        let Happening::CameBack { cause } = &lives[0].events[2].what else { panic!("{lives:?}") };
        assert_eq!(cause.name(), expected);
        // Whom it had been given to is known although they are gone.
        let Happening::Delivered { to: Some(to), .. } = &lives[0].events[1].what else { panic!() };
        assert_eq!(to.identity.user.as_bytes(), b"guest");
    }
}

#[test]
fn a_lease_and_a_time_out_are_told_apart_and_a_late_acknowledgement_is_seen() {
    let timeout = ("x-consumer-timeout", FieldValue::I32(100));
    for (lease, expected) in [(None, "timed-out"), (Some(50), "lease-ended")] {
        let (mut broker, queue) = traced(std::slice::from_ref(&timeout));
        broker.send(CONNECTION, [publish(queue, vec![named("m")], None)]);
        let mut subscribe = consume("q", "c", 0);
        if let Some(lease) = lease {
            subscribe.arguments = arguments(&[("x-lease", FieldValue::I32(lease))]);
        }
        broker.subscribe(CONSUMER, subscribe);
        let deliveries = broker.deliveries(CONSUMER);
        broker.pass(101);
        broker.send(CONSUMER, [settle(queue, Settlement::Ack, &[&deliveries[0]])]);
        let lives = lives(&mut broker, "q");
        let [_, _, back, late] = &lives[0].events[..] else { panic!("{lives:?}") };
        let Happening::CameBack { cause } = back.what else { panic!("{back:?}") };
        assert_eq!(cause.name(), expected);
        assert_eq!(late.what, Happening::Acknowledged { is_late: true });
    }
}

#[test]
fn a_retry_waits_and_a_dead_letter_says_where_it_went_and_where_it_came_from() {
    let retry = ("x-delayed-retry-min", FieldValue::I32(1_000));
    let limit = ("x-delivery-limit", FieldValue::I32(2));
    let (mut broker, queue) = traced(&[retry, limit]);
    let trace = arguments(&[("x-trace", FieldValue::I32(5))]);
    broker.declare("q.dlq", true, trace);
    broker.send(CONNECTION, [publish(queue, vec![named("m")], None)]);
    broker.subscribe(CONSUMER, consume("q", "c", 0));
    let nack = Settlement::Requeue(RequeueMethod::Nack);
    for _ in 0..2 {
        let deliveries = broker.deliveries(CONSUMER);
        broker.send(CONSUMER, [settle(queue, nack, &[&deliveries[0]])]);
        broker.pass(1_101);
    }
    broker.commit();
    let expected = [
        "published",
        "delivered",
        "came-back",
        "parked",
        "ready",
        "delivered",
        "came-back",
        "died",
        "dead-lettered",
    ];
    assert_eq!(story(&mut broker, "q"), expected);
    let died = &lives(&mut broker, "q")[0];
    let Happening::DeadLettered { queues, .. } = &died.events[8].what else { panic!("{died:?}") };
    assert_eq!(queues, &["q.dlq"]);
    let copy = lives(&mut broker, "q.dlq").remove(0);
    assert_eq!(copy.message_id, Some("m".try_into().unwrap()));
    let Happening::CameAsDeadLetter { from, reason } = &copy.events[0].what else { panic!() };
    assert_eq!((from.as_bytes(), reason.name()), (b"q".as_slice(), "delivery_limit"));

    let browse = Browse {
        queue: "q.dlq".try_into().unwrap(),
        runs: None,
        filter: BrowseFilter::default(),
        action: BrowseAction::Redrive,
        taken_max: 10,
        trust_headers: false,
    };
    broker.send(CONNECTION, [Command::Browse { channel: CHANNEL, browse: Box::new(browse) }]);
    broker.commit();
    broker.reply(CONNECTION).unwrap();
    assert_eq!(story(&mut broker, "q.dlq"), ["came-as-dead-letter", "redriven"]);
    let again = lives(&mut broker, "q").remove(0);
    let Happening::CameRedriven { from } = &again.events[0].what else { panic!("{again:?}") };
    assert_eq!(from.as_bytes(), b"q.dlq");
}

#[test]
fn a_delayed_message_has_one_life_before_and_after_it_is_due() {
    let (mut broker, queue) = traced(&[]);
    let due = WallClock(broker.now.wall.0 + 1_000);
    let delayed = |id| named(id).delayed(DueClock::Elapsed, due);
    broker.send(CONNECTION, [publish(queue, vec![delayed("m"), delayed("n")], None)]);
    let waiting = lives(&mut broker, "q");
    assert_eq!(waiting[1].events[1].what, Happening::Delayed { until: due });
    let id = waiting[0].delayed.unwrap();
    let action = DelayedAction::One(id, DelayedFate::Cancelled);
    let request = Box::new(DelayedRequest { queue: "q".try_into().unwrap(), action });
    broker.send(CONNECTION, [Command::Delayed { channel: CHANNEL, request }]);
    broker.commit();
    let _ = broker.reply(CONNECTION);
    broker.pass(1_000);
    broker.subscribe(CONSUMER, consume("q", "c", 0));
    let lives = lives(&mut broker, "q");
    assert_eq!(names(&lives[0]), ["published", "delayed", "cancelled"]);
    assert_eq!(names(&lives[1]), ["published", "delayed", "due", "delivered"]);
}

#[test]
fn a_duplicate_is_told_of_the_message_that_it_repeats() {
    let (mut broker, queue) = traced(&[("x-dedup-window", FieldValue::I32(60_000))]);
    broker.send(CONNECTION, [publish(queue, vec![named("a"), named("b"), named("a")], None)]);
    let lives = lives(&mut broker, "q");
    assert_eq!(lives.len(), 2);
    assert_eq!(names(&lives[0]), ["published"]);
    assert_eq!(names(&lives[1]), ["published", "repeated"]);
}

#[test]
fn a_group_a_refusal_and_a_purge_are_told() {
    let group = ("x-message-group", FieldValue::LongStr("routing-key".into()));
    let (mut broker, queue) = traced(&[group]);
    broker.subscribe(CONSUMER, consume("q", "c", 0));
    broker.send(CONNECTION, [publish(queue, vec![named("a"), named("b")], None)]);
    let request = TopologyRequest::PurgeQueue { name: "q".try_into().unwrap() };
    broker.ask(request).unwrap();
    let lives_of_group = lives(&mut broker, "q");
    assert_eq!(names(&lives_of_group[0]), ["published", "held-by-group", "purged"]);
    assert_eq!(names(&lives_of_group[1]), ["published", "delivered"]);

    let refuse = ("x-overflow", FieldValue::LongStr("reject-publish".into()));
    let (mut broker, queue) = traced(&[refuse, ("x-max-length", FieldValue::I32(1))]);
    broker.send(CONNECTION, [publish(queue, vec![named("a"), named("b")], None)]);
    let lives = lives(&mut broker, "q");
    assert_eq!(names(&lives[0]), ["published", "refused"]);
    assert_eq!(lives[0].position, None);
}

#[test]
fn a_message_of_before_the_record_is_known_from_its_delivery_on() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(CONSUMER);
    let queue = broker.declare("q", true, FieldTable::new());
    let fault = ask(&mut broker, "q", None, None).unwrap_err();
    assert_eq!(fault.code, ReplyCode::PreconditionFailed);
    assert!(fault.text.contains("'x-trace'"), "{}", fault.text);
    broker.send(CONNECTION, [publish(queue, vec![named("m"), named("n")], None)]);
    broker.pass(10);
    set_policy(&mut broker, Some(arguments(&[("trace", FieldValue::I32(10))])));
    assert!(lives(&mut broker, "q").is_empty());
    broker.subscribe(CONSUMER, consume("q", "c", 1));
    let known = lives(&mut broker, "q");
    assert_eq!(known[0].events[0].what, Happening::Published { by: None });
    assert_eq!(names(&known[0]), ["published", "delivered"]);
    // A policy that goes takes the record with it.
    set_policy(&mut broker, None);
    ask(&mut broker, "q", None, None).unwrap_err();
}

#[test]
fn messages_are_found_by_their_id_and_page_by_page() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let trace = arguments(&[("x-trace", FieldValue::I32(10_000))]);
    let queue = broker.declare("q", true, trace);
    for _ in 0..25 {
        let messages = (0..100).map(|_| message("x", false)).collect();
        broker.send(CONNECTION, [publish(queue, messages, None)]);
    }
    broker.send(CONNECTION, [publish(queue, vec![named("m")], None)]);
    for _ in 0..25 {
        let messages = (0..100).map(|_| message("x", false)).collect();
        broker.send(CONNECTION, [publish(queue, messages, None)]);
    }
    let (mut found, mut below, mut steps) = (Vec::new(), None, 0);
    loop {
        let page = ask(&mut broker, "q", Some("m"), below).unwrap();
        found.extend(page.lives);
        steps += 1;
        match page.next {
            Some(next) => below = Some(next),
            None => break,
        }
    }
    assert_eq!(found.iter().map(|life| life.number).collect::<Vec<_>>(), [LifeNumber(2_501)]);
    assert!(steps > 2, "one step looks at a part only");
    let (mut seen, mut below) = (Vec::new(), None);
    loop {
        let page = ask(&mut broker, "q", None, below).unwrap();
        assert!(page.lives.len() <= TRACE_PAGE_MAX);
        seen.extend(page.lives.iter().map(|life| life.number.0));
        match page.next {
            Some(next) => below = Some(next),
            None => break,
        }
    }
    assert!(seen.iter().copied().eq((1..=5_001).rev()));
}

#[test]
fn what_is_kept_is_bounded_in_messages_and_in_events() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(CONSUMER);
    let limits = [("x-trace", FieldValue::I32(3)), ("x-delivery-limit", FieldValue::I32(-1))];
    let queue = broker.declare("q", true, arguments(&limits));
    let messages = ["a", "b", "c", "d"].map(named).to_vec();
    broker.send(CONNECTION, [publish(queue, messages, None)]);
    let known: Vec<u64> = lives(&mut broker, "q").iter().map(|life| life.number.0).collect();
    assert_eq!(known, [4, 3, 2]);
    broker.subscribe(CONSUMER, consume("q", "c", 1));
    let rounds = 2 * LIFE_EVENTS_MAX;
    for _ in 0..rounds {
        let deliveries = broker.deliveries(CONSUMER);
        let nack = Settlement::Requeue(RequeueMethod::Reject);
        broker.send(CONSUMER, [settle(queue, nack, &[&deliveries[0]])]);
    }
    let life = lives(&mut broker, "q").remove(0);
    assert_eq!(life.events.len(), LIFE_EVENTS_MAX);
    // Published, and for each round delivered and came back; the last delivery is open.
    assert_eq!(life.omitted as usize, 2 + 2 * rounds - LIFE_EVENTS_MAX);
    let attempts: Vec<u64> = life.events.iter().filter_map(|event| attempt(&event.what)).collect();
    assert_eq!(attempts[..7], [1, 2, 3, 4, 5, 6, 7]);
    assert!(attempts.len() > LIFE_EVENTS_FIRST / 2);
    assert_eq!(attempts.last(), Some(&(rounds as u64 + 1)));
}

#[test]
fn all_queues_together_keep_no_more_than_there_is_memory_for() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let trace = arguments(&[("x-trace", FieldValue::I32(10_000))]);
    let id = "i".repeat(255);
    let queues: Vec<QueueId> =
        (0..12).map(|number| broker.declare(&format!("q{number}"), true, trace.clone())).collect();
    for queue in &queues {
        for _ in 0..100 {
            let messages = (0..100).map(|_| named(&id)).collect();
            broker.send(CONNECTION, [publish(*queue, messages, None)]);
        }
    }
    let bytes: u64 = broker.shard.queues.values().map(|queue| queue.lives_bytes()).sum();
    assert!(bytes <= TRACE_BYTES_MAX, "{bytes}");
    assert!(bytes > TRACE_BYTES_MAX / 2, "{bytes}");
    // Others still record.
    assert!(!lives(&mut broker, "q11").is_empty());
}

fn attempt(what: &Happening) -> Option<u64> {
    match what {
        Happening::Delivered { attempt, .. } => Some(*attempt),
        _ => None,
    }
}

/// As a queue's policy, or none.
fn set_policy(broker: &mut Broker, definition: Option<FieldTable>) {
    let (vhost, name) = (ShortStr::from_static("/"), ShortStr::from_static("trace"));
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
