//! A transaction is done as a whole, or not at all.

use super::bounds::bounds;
use super::broker::{Broker, CHANNEL, CONNECTION, arguments, message, publish, settle};
use super::dead_letters::{fetch_one, text};
use crate::command::{Command, Publish};
use crate::event::{Event, Reply};
use crate::model::{Closure, Fault, QueueId, RequeueMethod, Settle, Settlement};
use forebay_wire::{FieldTable, FieldValue, ReplyCode};
use proptest::prelude::*;

fn commit(
    broker: &mut Broker,
    publishes: Vec<Publish>,
    settles: Vec<Settle>,
) -> Result<Reply, Fault> {
    let replies = Vec::new();
    let command = Command::CommitTransaction { channel: CHANNEL, publishes, settles, replies };
    broker.send(CONNECTION, [command]);
    broker.commit();
    broker.reply(CONNECTION)
}

fn publishes(queue: QueueId, bodies: &[&'static str]) -> Vec<Publish> {
    let messages = bodies.iter().map(|body| message(*body, true)).collect();
    match publish(queue, messages, None) {
        Command::Publish(publish) => vec![publish],
        other => panic!("{other:?}"),
    }
}

fn limited(broker: &mut Broker, name: &str, most: i32, overflow: &'static str) -> QueueId {
    let most = FieldValue::I32(most);
    let settings = arguments(&[("x-max-length", most), ("x-overflow", text(overflow))]);
    broker.declare(name, true, settings)
}

fn ready(broker: &Broker, queue: QueueId) -> u64 {
    let queues = broker.shard.statistics().queues;
    queues.iter().find(|report| report.record.id == queue).unwrap().statistics.ready
}

#[test]
fn a_queue_that_refuses_a_part_refuses_the_transaction() {
    for overflow in ["reject-publish", "reject-publish-dlx"] {
        let mut broker = Broker::new();
        broker.open(CONNECTION);
        let full = limited(&mut broker, "full", 2, overflow);
        let free = broker.declare("free", true, FieldTable::new());
        broker.send(CONNECTION, [publish(free, vec![message("held", true)], None)]);
        let held = fetch_one(&mut broker, "free").unwrap();
        let Command::Settle(ack) = settle(free, Settlement::Ack, &[&held]) else { panic!() };
        let both = [publishes(free, &["a"]), publishes(full, &["b", "c", "d"])].concat();
        let fault = commit(&mut broker, both, vec![ack]).unwrap_err();
        assert_eq!(fault.code, ReplyCode::PreconditionFailed);
        assert!(fault.text.starts_with("queue 'full' in vhost '/' has no room"), "{}", fault.text);
        assert_eq!((ready(&broker, free), ready(&broker, full)), (0, 0));
        // It was not acknowledged either.
        broker.send(
            CONNECTION,
            [Command::CloseChannel { channel: CHANNEL, closure: Closure::Failed }],
        );
        assert_eq!(ready(&broker, free), 1);
        broker.take_events(CONNECTION);
        commit(&mut broker, publishes(full, &["a", "b"]), Vec::new()).unwrap();
        assert_eq!(ready(&broker, full), 2);
    }
}

#[test]
fn a_queue_that_drops_what_is_too_much_refuses_nothing() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queue = limited(&mut broker, "q", 2, "drop-head");
    commit(&mut broker, publishes(queue, &["a", "b", "c"]), Vec::new()).unwrap();
    assert_eq!(ready(&broker, queue), 2);
}

proptest! {
    #[test]
    fn all_or_nothing_whatever_the_queues_hold(
        limits in prop::collection::vec(0i32..6, 3),
        transactions in prop::collection::vec(
            (prop::collection::vec((0usize..3, 1usize..4), 1..5), 0usize..3, 0usize..3),
            1..6,
        ),
        bounds in bounds(),
    ) {
        let mut broker = Broker::new();
        broker.bound(bounds);
        broker.open(CONNECTION);
        let source = broker.declare("source", true, arguments(&[("x-delivery-limit", FieldValue::I32(-1))]));
        let work = (0..20u8).map(|number| message(vec![number], true)).collect();
        broker.send(CONNECTION, [publish(source, work, None)]);
        let mut done = (0, 0);
        let queues: Vec<_> = limits
            .iter()
            .enumerate()
            .map(|(at, most)| limited(&mut broker, &format!("q{at}"), *most, "reject-publish"))
            .collect();
        let mut held = vec![0u64; queues.len()];
        for (transaction, acked, requeued) in transactions {
            let mut after = held.clone();
            let mut parts = Vec::new();
            for (at, count) in transaction {
                after[at] += count as u64;
                parts.extend(publishes(queues[at], &vec!["x"; count]));
            }
            let fits = after.iter().zip(&limits).all(|(held, most)| *held <= *most as u64);
            // What it settles is settled with it, or held as before.
            let taken = acked + requeued;
            let work: Vec<_> =
                (0..taken).map_while(|_| fetch_one(&mut broker, "source")).collect();
            let settles = work.iter().enumerate().map(|(at, delivery)| {
                let is_acked = at < acked;
                let how = if is_acked { Settlement::Ack } else { Settlement::Requeue(RequeueMethod::Nack) };
                match settle(source, how, &[delivery]) {
                    Command::Settle(settle) => settle,
                    other => panic!("{other:?}"),
                }
            });
            let settles = settles.collect();
            let outcome = commit(&mut broker, parts, settles);
            let statistics = broker.statistics("source");
            prop_assert_eq!(statistics.unacked as usize, if fits { 0 } else { work.len() });
            if fits {
                done = (done.0 + work.len().min(acked), done.1 + work.len().saturating_sub(acked));
            }
            prop_assert_eq!((statistics.acked, statistics.nacked), (done.0 as u64, done.1 as u64));
            prop_assert_eq!(statistics.ready + statistics.unacked, 20 - done.0 as u64);
            // The channel of a refused one closes.
            let close = Command::CloseChannel { channel: CHANNEL, closure: Closure::ByBroker };
            broker.send(CONNECTION, [close]);
            let others = broker.take_events(CONNECTION);
            let is_refused = others.iter().any(|event| matches!(event, Event::Refuse { .. }));
            prop_assert!(!is_refused);
            prop_assert_eq!(outcome.is_ok(), fits);
            if fits {
                held = after;
            }
            for (queue, held) in queues.iter().zip(&held) {
                prop_assert_eq!(ready(&broker, *queue), *held);
            }
        }
    }
}
