//! A report is made in steps, between which the shard goes on.

use super::broker::{Broker, CHANNEL, CONNECTION, arguments, message, publish};
use crate::command::{Command, Subscribe};
use crate::limits::REPORT_STEP_QUEUES_MAX;
use crate::model::{ConsumerNumber, TopologyRequest};
use crate::shard::{ConsumerActivity, ConsumerReport, QueueStatistics, Report, ShardStatistics};
use forebay_wire::FieldValue;

const QUEUES: usize = 2 * REPORT_STEP_QUEUES_MAX + 1;

fn name(number: usize) -> String {
    format!("q{number:04}")
}

/// Queues with a message in each.
fn filled() -> Broker {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    for number in 0..QUEUES {
        let queue = broker.declare(&name(number), true, arguments(&[]));
        broker.send(CONNECTION, [publish(queue, vec![message("a", true)], None)]);
    }
    broker
}

fn delete(broker: &mut Broker, number: usize) {
    let name = name(number).as_str().try_into().unwrap();
    let request = TopologyRequest::DeleteQueue { name, if_unused: false, if_empty: false };
    broker.send(CONNECTION, [Command::Topology { channel: CHANNEL, request, nowait: false }]);
}

fn names(statistics: &ShardStatistics) -> Vec<String> {
    statistics.queues.iter().map(|queue| queue.record.name.to_string()).collect()
}

fn total(statistics: &ShardStatistics, value: fn(&QueueStatistics) -> u64) -> u64 {
    let queues = statistics.queues.iter().map(|queue| value(&queue.statistics));
    queues.sum::<u64>() + value(&statistics.gone)
}

fn step(broker: &mut Broker, report: &mut Report) -> Option<ShardStatistics> {
    broker.shard.advance_report(broker.now, report)
}

#[test]
fn a_step_looks_at_some_queues_and_the_last_one_tells_of_all() {
    let mut broker = filled();
    let mut report = broker.shard.begin_report();
    assert!(step(&mut broker, &mut report).is_none());
    assert!(step(&mut broker, &mut report).is_none());
    let statistics = step(&mut broker, &mut report).expect("all are looked at");
    assert_eq!(names(&statistics), (0..QUEUES).map(name).collect::<Vec<_>>());
    assert!(statistics.queues.iter().all(|queue| queue.statistics.ready == 1));
}

#[test]
fn a_queue_is_told_as_it_was_when_it_was_looked_at() {
    let mut broker = filled();
    let mut report = broker.shard.begin_report();
    assert!(step(&mut broker, &mut report).is_none());
    for number in [0, QUEUES - 1] {
        let queue = broker.queue(&name(number));
        broker.send(CONNECTION, [publish(queue, vec![message("b", true)], None)]);
    }
    broker.declare(&name(QUEUES), true, arguments(&[]));
    assert!(step(&mut broker, &mut report).is_none());
    let statistics = step(&mut broker, &mut report).expect("all are looked at");
    assert_eq!(names(&statistics), (0..=QUEUES).map(name).collect::<Vec<_>>());
    let ready = |number: usize| statistics.queues[number].statistics.ready;
    assert_eq!([0, 1, QUEUES - 1, QUEUES].map(ready), [1, 1, 2, 0]);
}

#[test]
fn a_queue_that_goes_meanwhile_is_counted_once() {
    let mut broker = filled();
    let before = total(&broker.shard.statistics(), |queue| queue.published);
    let mut report = broker.shard.begin_report();
    assert!(step(&mut broker, &mut report).is_none());
    delete(&mut broker, 0);
    delete(&mut broker, QUEUES - 1);
    assert!(step(&mut broker, &mut report).is_none());
    let statistics = step(&mut broker, &mut report).expect("all are looked at");
    assert_eq!(names(&statistics), (1..QUEUES - 1).map(name).collect::<Vec<_>>());
    assert_eq!(total(&statistics, |queue| queue.published), before);
    assert_eq!(statistics.turnover.deleted, 2);
}

#[test]
fn one_queue_is_told_alone() {
    let mut broker = filled();
    let id = broker.queue(&name(7));
    let mut report = broker.shard.begin_report_of(id);
    let statistics = step(&mut broker, &mut report).expect("it is looked at");
    assert_eq!(names(&statistics), [name(7)]);
    delete(&mut broker, 7);
    let mut report = broker.shard.begin_report_of(id);
    assert!(step(&mut broker, &mut report).expect("nothing to look at").queues.is_empty());
}

fn consumers(broker: &Broker) -> Vec<ConsumerReport> {
    let mut list = broker.shard.begin_consumers(None);
    let mut steps = 1;
    let found = loop {
        match broker.shard.advance_consumers(&mut list) {
            Some(found) => break found,
            None => steps += 1,
        }
    };
    assert!(found.len() <= steps * REPORT_STEP_QUEUES_MAX, "{} in {steps}", found.len());
    found
}

fn subscribe(broker: &mut Broker, queue: &str, tag: &str) {
    let arguments = arguments(&[("x-priority", FieldValue::I64(7))]);
    let subscribe = Subscribe {
        channel: CHANNEL,
        number: ConsumerNumber::default(),
        queue: queue.try_into().unwrap(),
        consumer_tag: tag.try_into().unwrap(),
        no_ack: false,
        exclusive: false,
        prefetch: 3,
        arguments,
    };
    broker.subscribe(CONNECTION, subscribe);
}

#[test]
fn consumers_of_few_and_of_many_queues_are_listed_once_each() {
    let mut broker = filled();
    // More than one step of one queue, and some of others.
    for number in 0..2 * REPORT_STEP_QUEUES_MAX + 3 {
        subscribe(&mut broker, &name(1), &format!("t{number:04}"));
    }
    for number in [0, 2, QUEUES - 1] {
        subscribe(&mut broker, &name(number), &format!("q{number:04}"));
    }
    let found = consumers(&broker);
    assert_eq!(found.len(), 2 * REPORT_STEP_QUEUES_MAX + 6);
    let mut tags: Vec<_> = found.iter().map(|consumer| consumer.tag.to_string()).collect();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), found.len());
    assert!(found.iter().all(|consumer| consumer.activity == ConsumerActivity::Up));
    assert!(found.iter().all(|consumer| consumer.arguments.get("x-priority").is_some()));
}

#[test]
fn of_single_active_consumers_one_is_active_and_the_others_wait() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let mut single = arguments(&[]);
    single.insert("x-single-active-consumer".try_into().unwrap(), true);
    broker.declare("single", true, single);
    for tag in ["a", "b", "c"] {
        subscribe(&mut broker, "single", tag);
    }
    let activities: Vec<_> =
        consumers(&broker).into_iter().map(|consumer| consumer.activity).collect();
    let waiting = ConsumerActivity::Waiting;
    assert_eq!(activities, [ConsumerActivity::SingleActive, waiting, waiting]);
}
