//! How much work one input causes, and that what is left over goes on by itself.

use super::broker::{Broker, CHANNEL, CONNECTION, arguments, consume, message, publish};
use crate::administration::Administration;
use crate::command::Command;
use crate::credit::WorkLimits;
use crate::event::{Event, Reply};
use crate::limits::{CHUNK_MESSAGES_MAX, DEAD_LETTER_COPIES_MAX, TURN_DELIVERIES_MAX};
use crate::model::{
    Binding, ClientIdentity, ConnectionId, Destination, Monotonic, QueueDeclaration, QueueId,
    TopologyRequest,
};
use crate::topology::PolicyOwner;
use bytes::Bytes;
use forebay_wire::{FieldTable, FieldValue, ShortStr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const OTHER: ConnectionId = ConnectionId(2);

fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(OTHER);
    broker
}

fn text(text: &str) -> FieldValue {
    FieldValue::LongStr(text.to_owned().into())
}

fn bind(broker: &mut Broker, source: &'static str, queue: &str) {
    let bind = TopologyRequest::Bind(Binding {
        source: ShortStr::from_static(source).into(),
        destination: Destination::Queue(queue.try_into().unwrap()),
        routing_key: ShortStr::EMPTY,
        arguments: FieldTable::new(),
    });
    broker.ask(bind).unwrap();
}

/// Queues whose messages expire at once into all of them.
fn circle(broker: &mut Broker, queues: usize, durable: bool) -> Vec<QueueId> {
    let declare = |broker: &mut Broker, name: String| {
        let rules = arguments(&[
            ("x-message-ttl", FieldValue::I32(0)),
            ("x-dead-letter-exchange", text("amq.fanout")),
        ]);
        let queue = broker.declare(&name, durable, rules);
        bind(broker, "amq.fanout", &name);
        queue
    };
    (0..queues).map(|number| declare(broker, format!("q{number}"))).collect()
}

fn published(broker: &Broker) -> u64 {
    broker.shard.statistics().queues.iter().map(|queue| queue.statistics.published).sum()
}

#[test]
fn dead_letters_in_circles_hold_up_nobody_and_end() {
    let mut broker = broker();
    let queues = circle(&mut broker, 12, false);
    broker.shard.handle_commands(
        broker.now,
        CONNECTION,
        [publish(queues[0], vec![message("x", false)], None)],
    );
    // Whatever there is to be done still: another client is answered.
    let request = TopologyRequest::DeclareQueue(QueueDeclaration {
        name: "probe".try_into().unwrap(),
        ..QueueDeclaration::default()
    });
    let before = published(&broker);
    let declare = Command::Topology { channel: CHANNEL, request, nowait: false };
    broker.shard.handle_commands(broker.now, OTHER, [declare]);
    broker.collect();
    assert!(matches!(broker.reply(OTHER), Ok(Reply::QueueDeclared { .. })));
    assert!(published(&broker) - before < 1000);
    // Each queue at most once on each of the ways that the message is copied to.
    broker.fetch();
    assert!(published(&broker) <= DEAD_LETTER_COPIES_MAX * 12, "{}", published(&broker));
    let statistics = broker.shard.statistics();
    assert!(statistics.queues.iter().all(|queue| queue.statistics.ready == 0));
    let dropped: u64 = statistics.queues.iter().map(|queue| queue.statistics.dead_dropped).sum();
    assert!(dropped > 0, "and it is said");
}

#[test]
fn what_goes_too_far_by_itself_waits_in_the_queue_s_own_dead_letter_queue() {
    let mut broker = broker();
    let queues = circle(&mut broker, 8, true);
    broker.send(CONNECTION, [publish(queues[0], vec![message("x", true)], None)]);
    let statistics = broker.shard.statistics();
    let (kept, circle): (Vec<_>, Vec<_>) =
        statistics.queues.iter().partition(|queue| queue.record.name.as_bytes().ends_with(b".dlq"));
    let kept: u64 = kept.iter().map(|queue| queue.statistics.ready).sum();
    assert!(kept > 0 && kept <= DEAD_LETTER_COPIES_MAX, "{kept}");
    // Whatever was copied is in one of the circle's queues, or kept, or was dropped and counted.
    let sum = |value: fn(&crate::shard::QueueStatistics) -> u64| -> u64 {
        circle.iter().map(|queue| value(&queue.statistics)).sum()
    };
    assert_eq!(sum(|queue| queue.ready), 0);
    assert_eq!(sum(|queue| queue.dead_dropped), 0);
}

#[test]
fn a_chain_of_delays_is_no_circle_and_one_without_an_end_stops() {
    let mut broker = broker();
    let declare = |broker: &mut Broker, name: &str, next: &str| {
        let rules = arguments(&[
            ("x-message-ttl", FieldValue::I32(0)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(next)),
        ]);
        broker.declare(name, true, rules)
    };
    // Delays made of 28 levels are in use.
    for number in 0..28 {
        declare(&mut broker, &format!("d{number}"), &format!("d{}", number + 1));
    }
    broker.declare("d28", true, FieldTable::new());
    let first = broker.queue("d0");
    broker.send(CONNECTION, [publish(first, vec![message("x", true)], None)]);
    assert_eq!(broker.statistics("d28").ready, 1);
    for number in 0..100 {
        declare(&mut broker, &format!("e{number}"), &format!("e{}", number + 1));
    }
    let first = broker.queue("e0");
    broker.send(CONNECTION, [publish(first, vec![message("x", true)], None)]);
    assert_eq!(broker.statistics("e64.dlq").ready, 1);
}

#[test]
fn what_lives_no_time_at_all_reaches_a_consumer_with_credit_however_much_it_is() {
    let mut broker = broker();
    let rules = arguments(&[("x-message-ttl", FieldValue::I32(0))]);
    let queue = broker.declare("q", false, rules);
    broker.subscribe(OTHER, consume("q", "c", 0));
    broker.events.clear();
    let count = 2 * TURN_DELIVERIES_MAX + 5;
    let messages = (0..count).map(|_| message("x", false)).collect();
    broker.send(CONNECTION, [publish(queue, messages, None)]);
    assert_eq!(broker.deliveries(OTHER).len(), count);
    assert_eq!(broker.statistics("q").expired, 0);
}

#[test]
fn what_lives_no_time_at_all_waits_for_content_that_a_consumer_waits_for() {
    let mut broker = broker();
    let queue = broker.declare("q", true, FieldTable::new());
    broker.send(CONNECTION, [publish(queue, vec![message("old", true)], None)]);
    broker.commit();
    broker.crash();
    broker.open(CONNECTION);
    broker.open(OTHER);
    // The consumer and the message come before the store has answered.
    broker.shard.handle_commands(broker.now, OTHER, [Command::Subscribe(consume("q", "c", 0))]);
    let properties = forebay_wire::properties::Properties {
        expiration: Some("0".try_into().unwrap()),
        ..Default::default()
    };
    let newcomer = super::broker::message_with("new", &properties, Some(0));
    broker.shard.handle_commands(broker.now, CONNECTION, [publish(queue, vec![newcomer], None)]);
    broker.fetch();
    broker.collect();
    let bodies: Vec<_> =
        broker.deliveries(OTHER).iter().map(|held| held.message.body().clone()).collect();
    assert_eq!(bodies, ["old", "new"]);
}

#[test]
fn time_goes_on_after_a_restart_without_any_client() {
    let mut broker = broker();
    let queue = broker.declare("t", true, arguments(&[("x-message-ttl", FieldValue::I32(1000))]));
    broker.declare("unused", true, arguments(&[("x-expires", FieldValue::I32(500))]));
    broker.send(CONNECTION, [publish(queue, vec![message("x", true)], None)]);
    broker.commit();
    broker.crash();
    assert_eq!(broker.shard.poll_timeout(), Some(Monotonic::AT_ONCE));
    broker.fetch();
    while let Some(at) = broker.shard.poll_timeout() {
        let wait = at.0.saturating_sub(broker.now.monotonic.0);
        broker.pass(wait);
        broker.commit();
    }
    assert_eq!(broker.statistics("t").ready, 0);
    assert_eq!(broker.shard.statistics().queues.len(), 1, "the unused one has ended");
}

#[test]
fn a_backlog_that_may_expire_is_not_looked_at_before_it_may_be_too_old() {
    let mut broker = broker();
    let queue =
        broker.declare("t", true, arguments(&[("x-message-ttl", FieldValue::I64(1 << 30))]));
    // More than stays in memory.
    for _ in 0..10 {
        let messages = (0..20).map(|_| message(vec![0; 100_000], true)).collect();
        broker.send(CONNECTION, [publish(queue, messages, None)]);
        broker.commit();
    }
    let fetches = |broker: &mut Broker| {
        let mut fetches = Vec::new();
        for _ in 0..50 {
            let publish = publish(queue, vec![message("x", true)], None);
            broker.shard.handle_commands(broker.now, CONNECTION, [publish]);
            while let Some(fetch) = broker.shard.poll_fetch() {
                fetches.push(fetch.bytes_max);
                let fetched = broker.store.read(fetch);
                broker.shard.handle_fetched(broker.now, fetched);
            }
            broker.commit();
        }
        fetches
    };
    assert_eq!(fetches(&mut broker), [] as [usize; 0]);
    broker.crash();
    let (vhost, identity) = (ShortStr::from_static("/"), ClientIdentity::default());
    let open = Command::OpenConnection { vhost, identity };
    broker.shard.handle_commands(broker.now, CONNECTION, [open]);
    assert_eq!(fetches(&mut broker), [] as [usize; 0]);
    // Of an older program's backlog the page of the first message is read, and nothing behind it.
    broker.store.forget_bounds();
    broker.crash();
    let (vhost, identity) = (ShortStr::from_static("/"), ClientIdentity::default());
    let open = Command::OpenConnection { vhost, identity };
    broker.shard.handle_commands(broker.now, CONNECTION, [open]);
    assert_eq!(fetches(&mut broker), [1]);
}

#[test]
fn very_many_messages_that_are_too_old_leave_in_slices() {
    let mut broker = broker();
    let queue = broker.declare("q", false, FieldTable::new());
    let messages = || (0..10_000).map(|_| message("", false)).collect();
    for _ in 0..3 {
        broker.send(CONNECTION, [publish(queue, messages(), None)]);
    }
    broker.pass(100);
    let policy = super::policies::policy("^q$", &[("message-ttl", FieldValue::I32(1))]);
    let request = Box::new(policy);
    let administer = Command::Administer { channel: CHANNEL, request };
    broker.shard.handle_commands(broker.now, CONNECTION, [administer]);
    let left = broker.statistics("q").ready;
    assert!(left > 10_000, "{left} are left after the first slice");
    broker.fetch();
    assert_eq!(broker.statistics("q").ready, 0);
    let events = broker.take_events(CONNECTION);
    assert!(!events.iter().any(|event| matches!(event, Event::Refuse { .. })));
}

/// The body of a message that counts how often it is freed.
struct Counted(Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        b"body"
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_messages_of_a_queue_that_is_deleted_or_purged_are_freed_in_slices() {
    const MESSAGES: usize = 5_000;
    const AT_ONCE: usize = 600;
    let name = || "q".try_into().unwrap();
    let deleted =
        || TopologyRequest::DeleteQueue { name: name(), if_unused: false, if_empty: false };
    let purged = || TopologyRequest::PurgeQueue { name: name() };
    for (request, durable) in
        [(deleted(), false), (purged(), false), (deleted(), true), (purged(), true)]
    {
        let mut broker = broker();
        let queue = broker.declare("q", durable, FieldTable::new());
        broker.subscribe(OTHER, consume("q", "c", 7));
        let freed = Arc::new(AtomicUsize::new(0));
        let body = || Bytes::from_owner(Counted(Arc::clone(&freed)));
        for _ in 0..MESSAGES / 250 {
            let messages = (0..250).map(|_| message(body(), durable)).collect();
            broker.shard.handle_commands(broker.now, CONNECTION, [publish(queue, messages, None)]);
        }
        let limits =
            WorkLimits { discarded_max: AT_ONCE, discarded_behind_max: 1, ..WorkLimits::DEFAULT };
        broker.shard.set_work_limits(limits);
        // Those that are not to be kept were copied out of the buffers they came in.
        let mut last = freed.load(Ordering::Relaxed);
        let command = Command::Topology { channel: CHANNEL, request, nowait: false };
        broker.shard.handle_commands(broker.now, CONNECTION, [command]);
        let shard = broker.shard.statistics();
        assert!(shard.volatile_bytes + shard.uncommitted_bytes < 10_000, "it counts as free");
        let mut left = messages_to_free(&broker);
        assert!(left >= MESSAGES - 8 - AT_ONCE - CHUNK_MESSAGES_MAX, "{left} are left");
        // Each input frees a part, also those of others.
        while left > 0 {
            assert_eq!(broker.shard.poll_timeout(), Some(Monotonic::AT_ONCE));
            let now = freed.load(Ordering::Relaxed);
            assert!(now - last <= AT_ONCE + CHUNK_MESSAGES_MAX, "{} at once", now - last);
            last = now;
            let heard = Command::Heard { channel: CHANNEL };
            broker.shard.handle_commands(broker.now, OTHER, [heard]);
            let before = left;
            left = messages_to_free(&broker);
            assert!((1..=CHUNK_MESSAGES_MAX).contains(&(before - left)), "{before} to {left}");
        }
    }
}

fn messages_to_free(broker: &Broker) -> usize {
    broker.shard.discarded.iter().map(|discarded| discarded.messages()).sum()
}

#[test]
fn a_policy_over_very_many_queues_is_applied_in_slices() {
    const QUEUES: usize = 300;
    let mut broker = broker();
    for number in 0..QUEUES {
        broker.declare(&format!("q{number}"), true, FieldTable::new());
    }
    let limits = WorkLimits { removals_max: 20, removals_behind_max: 3, ..WorkLimits::DEFAULT };
    broker.shard.set_work_limits(limits);
    let bounded = |broker: &Broker| {
        let queues = broker.shard.topology().queues();
        queues.filter(|queue| queue.settings.length_max == Some(5)).count()
    };
    let administer = |request| Command::Administer { channel: CHANNEL, request: Box::new(request) };
    let set = super::policies::policy("^q", &[("max-length", FieldValue::I32(5))]);
    broker.shard.handle_commands(broker.now, CONNECTION, [administer(set)]);
    broker.commit_once();
    assert!(bounded(&broker) <= 20 && broker.events.is_empty(), "nobody is told before it is done");
    // Others are answered in between, and what they make follows the policy at once.
    let late = broker.shard.topology().queues().count();
    broker.shard.handle_commands(broker.now, OTHER, [declare("qnew")]);
    broker.commit_once();
    assert!(matches!(broker.reply(OTHER), Ok(Reply::QueueDeclared { .. })));
    assert_eq!(broker.shard.topology().queues().count(), late + 1);
    let before = bounded(&broker);
    assert!(before < QUEUES / 2);
    broker.shard.handle_timeout(broker.now);
    assert!((1..=20).contains(&(bounded(&broker) - before)));
    // It outlives a crash as a whole.
    let mut crashed = broker.store.clone();
    std::mem::swap(&mut broker.store, &mut crashed);
    broker.fetch();
    broker.commit();
    assert!(matches!(broker.reply(CONNECTION), Ok(Reply::Done)));
    assert_eq!(bounded(&broker), QUEUES + 1);
    broker.store = crashed;
    broker.crash();
    assert_eq!(bounded(&broker), QUEUES + 1);
    // One that goes while another is being applied: the last one holds.
    broker.open(CONNECTION);
    broker.shard.set_work_limits(limits);
    let set = super::policies::policy("^q", &[("max-length", FieldValue::I32(9))]);
    let (vhost, name) = (ShortStr::from_static("/"), ShortStr::from_static("p"));
    let clear = Administration::ClearPolicy { vhost, owner: PolicyOwner::User, name };
    broker.shard.handle_commands(broker.now, CONNECTION, [administer(set), administer(clear)]);
    broker.fetch();
    broker.commit();
    let unbounded =
        broker.shard.topology().queues().all(|queue| queue.settings.length_max.is_none());
    assert!(unbounded);
}

fn declare(name: &str) -> Command {
    let request = TopologyRequest::DeclareQueue(QueueDeclaration {
        name: name.try_into().unwrap(),
        durable: true,
        ..QueueDeclaration::default()
    });
    Command::Topology { channel: CHANNEL, request, nowait: false }
}
