//! A report is made in steps, between which the shard goes on.

use super::broker::{Broker, CHANNEL, CONNECTION, arguments, message, publish};
use crate::command::{Command, TopologyRequest};
use crate::limits::REPORT_STEP_QUEUES_MAX;
use crate::shard::{QueueStatistics, Report, ShardStatistics};

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
