//! What the operator is told is counted: deliveries by kind, queues that come and go.

use super::broker::{Broker, CHANNEL, CONNECTION, arguments, message, publish, settle};
use crate::command::Command;
use crate::model::{RequeueMethod, Settlement, TopologyRequest};
use crate::shard::QueueTurnover;

fn get(no_ack: bool) -> Command {
    Command::Get { channel: CHANNEL, queue: "q".try_into().unwrap(), no_ack }
}

#[test]
fn gets_are_told_apart_by_how_they_are_settled_and_whether_there_was_something() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queue = broker.declare("q", true, arguments(&[]));
    let messages = ["a", "b", "c"].map(|text| message(text, true));
    broker.send(CONNECTION, [publish(queue, messages.into(), None)]);
    broker.send(CONNECTION, [get(true), get(false), get(true), get(false), get(true)]);
    let counted = broker.shard.statistics().queues[0].statistics;
    assert_eq!((counted.got, counted.got_no_ack, counted.gets_empty), (3, 2, 2));
}

#[test]
fn queues_that_come_and_go_are_counted_since_the_start() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    for name in ["q", "p", "q"] {
        broker.declare(name, true, arguments(&[]));
    }
    let name = "p".try_into().unwrap();
    let request = TopologyRequest::DeleteQueue { name, if_unused: false, if_empty: false };
    broker.send(CONNECTION, [Command::Topology { channel: CHANNEL, request, nowait: false }]);
    let expected = QueueTurnover { declared: 3, created: 2, deleted: 1 };
    assert_eq!(broker.shard.statistics().turnover, expected);
    broker.commit();
    broker.crash();
    assert_eq!(broker.shard.statistics().turnover, QueueTurnover::default());
}

#[test]
fn deliveries_that_come_back_are_told_apart_by_the_method_that_brought_them() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queue = broker.declare("q", true, arguments(&[]));
    broker.send(CONNECTION, [publish(queue, vec![message("a", true)], None)]);
    for how in [
        Settlement::Requeue(RequeueMethod::Nack),
        Settlement::Requeue(RequeueMethod::Reject),
        Settlement::Recover,
        Settlement::Recover,
    ] {
        broker.send(CONNECTION, [get(false)]);
        let delivery = broker.deliveries(CONNECTION).pop().unwrap();
        broker.send(CONNECTION, [settle(queue, how, &[&delivery])]);
    }
    let counted = broker.shard.statistics().queues[0].statistics;
    assert_eq!((counted.nacked, counted.rejected, counted.recovered), (1, 1, 2));
}
