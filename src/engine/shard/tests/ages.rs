//! What the operator is told about time: how old messages are, and how long they took.

use super::broker::{Broker, CONNECTION, arguments, consume, message, publish, settle};
use crate::model::Settlement;
use crate::queue::{Distribution, QueueStatistics};

fn report(broker: &mut Broker) -> QueueStatistics {
    let report = broker.report();
    broker.fetch();
    report.queues.first().expect("a queue").statistics
}

fn count(distribution: &Distribution) -> u64 {
    distribution.buckets.iter().sum()
}

#[test]
fn the_age_of_the_oldest_message_is_known_again_after_a_restart_without_a_consumer() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queue = broker.declare("q", true, arguments(&[]));
    assert_eq!(report(&mut broker).oldest_age, None);
    broker.send(CONNECTION, [publish(queue, vec![message("a", true)], None)]);
    let first = report(&mut broker).oldest_age.expect("an age");
    broker.pass(5000);
    broker.send(CONNECTION, [publish(queue, vec![message("b", true)], None)]);
    let later = report(&mut broker);
    assert_eq!((later.oldest_age, later.head_age), (Some(first + 5000), Some(first + 5000)));
    broker.commit();
    broker.crash();
    broker.open(CONNECTION);
    // It may take one report to ask for it.
    report(&mut broker);
    assert_eq!(report(&mut broker).oldest_age, Some(first + 5000));
}

#[test]
fn a_delivered_message_ages_until_it_is_acknowledged_and_is_measured_once() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queue = broker.declare("q", true, arguments(&[]));
    broker.send(CONNECTION, [publish(queue, vec![message("a", true)], None)]);
    broker.subscribe(CONNECTION, consume("q", "c", 1));
    broker.pass(2000);
    let held = report(&mut broker);
    assert!(held.oldest_age.is_some_and(|age| age >= 2000));
    assert_eq!((held.head_age, held.unacked, held.has_credit), (None, 1, false));
    let delivery = broker.deliveries(CONNECTION).remove(0);
    broker.send(CONNECTION, [settle(queue, Settlement::Ack, &[&delivery])]);
    let done = broker.report();
    let statistics = done.queues[0].statistics;
    assert_eq!(statistics.oldest_age, None);
    assert_eq!(statistics.hold_times.deliveries(), 1);
    assert_eq!(statistics.hold_times.p99_milliseconds(), Some(2048.0), "the bucket's upper bound");
    let timings = done.timings;
    assert_eq!([&timings.waited, &timings.processed, &timings.failures].map(count), [1; 3]);
    assert_eq!((timings.processed.sum, timings.failures.sum), (2000, 0));
}
