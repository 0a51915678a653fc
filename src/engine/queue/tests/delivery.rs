//! Which message goes to which consumer, and when.

use super::*;
use crate::model::{Closure, RequeueMethod};
use crate::queue::GetKind;

#[test]
fn messages_go_out_in_order_of_publication_and_of_priority_first() {
    let mut driven = Driven::new(rules());
    driven.publish(&["a", "b"]);
    driven.publish_with("urgent", 9, |_| {});
    // Above the highest priority of the queue: as the highest.
    driven.publish_with("most urgent", 200, |_| {});
    driven.publish(&["c"]);
    driven.consume(1, 0);
    driven.turn();
    assert_eq!(driven.bodies(), ["urgent", "most urgent", "a", "b", "c"]);
}

#[test]
fn a_consumer_holds_no_more_than_its_prefetch() {
    let mut driven = Driven::new(rules());
    let channel = driven.consume(1, 2);
    driven.publish(&["a", "b", "c", "d"]);
    driven.turn();
    let held = driven.deliveries();
    assert_eq!(held.len(), 2);
    driven.turn();
    assert_eq!(driven.bodies(), Vec::<String>::new());
    driven.settle(channel, Settlement::Ack, &held[1].1);
    driven.turn();
    assert_eq!(driven.bodies(), ["c"]);
    assert_eq!((driven.queue.ready(), driven.queue.statistics().unacked), (1, 2));
}

#[test]
fn consumers_take_turns_and_the_one_with_the_higher_priority_goes_first() {
    let mut driven = Driven::new(rules());
    driven.consume(1, 2);
    driven.consume(2, 2);
    driven.consume_with(3, |consumer| (consumer.priority, consumer.prefetch) = (1, 1));
    driven.publish(&["a", "b", "c", "d", "e", "f"]);
    driven.turn();
    let mut given: Vec<_> =
        driven.deliveries().iter().map(|(to, delivery)| (body(&delivery.message), *to)).collect();
    given.sort();
    let expected = [("a", 3), ("b", 1), ("c", 2), ("d", 1), ("e", 2)];
    assert_eq!(given, expected.map(|(body, to)| (body.to_owned(), to)));
}

#[test]
fn of_a_single_active_queue_one_consumer_gets_everything_until_it_goes() {
    let mut driven = Driven::new(Rules { single_active: true, ..rules() });
    driven.consume(1, 1);
    driven.consume(2, 0);
    driven.publish(&["a", "b"]);
    driven.turn();
    let first = driven.deliveries();
    assert_eq!(first.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [1]);
    driven.queue.consumers.remove(ConsumerId(1));
    driven.turn();
    assert_eq!(driven.bodies(), Vec::<String>::new(), "the first one still holds a message");
    let slot = driven.channel(1);
    driven.settle(slot, Settlement::Ack, &first[0].1);
    driven.turn();
    assert_eq!(driven.deliveries().iter().map(|(to, _)| *to).collect::<Vec<_>>(), [2]);
}

#[test]
fn what_comes_back_goes_out_again_at_its_place_and_says_how_often_it_failed() {
    let mut driven = Driven::new(rules());
    let channel = driven.consume(1, 2);
    driven.publish(&["a", "b", "c"]);
    driven.turn();
    let held = driven.deliveries();
    assert!(held.iter().all(|(_, delivery)| !delivery.redelivered && delivery.failures == 0));
    driven.settle(channel, Settlement::Requeue(RequeueMethod::Nack), &held[0].1);
    driven.turn();
    let again = driven.deliveries();
    assert_eq!(again.len(), 1);
    let again = &again[0].1;
    assert_eq!((&*body(&again.message), again.redelivered, again.failures), ("a", true, 1));
    // In good order: no failure.
    let ending = ChannelEnding { closure: Closure::ByClient, held: 2, is_connection: true };
    assert_eq!(driven.end_channel(channel, ending), 2);
    driven.consume(2, 0);
    driven.turn();
    let all: Vec<_> = driven
        .deliveries()
        .iter()
        .map(|(_, it)| (body(&it.message), it.redelivered, it.failures, it.returns))
        .collect();
    let expected = [("a", true, 1, 1), ("b", true, 0, 1), ("c", false, 0, 0)];
    assert_eq!(all, expected.map(|(body, again, f, r)| (body.to_owned(), again, f, r)));
}

#[test]
fn what_another_channel_holds_can_not_be_settled() {
    let mut driven = Driven::new(rules());
    driven.consume(1, 1);
    let other = driven.channel(2);
    driven.publish(&["a"]);
    driven.turn();
    let held = driven.deliveries();
    driven.settle(other, Settlement::Ack, &held[0].1);
    assert_eq!(driven.queue.statistics().unacked, 1);
    assert_eq!(driven.queue.statistics().acked, 0);
}

#[test]
fn a_get_takes_one_message_and_leaves_it_unacked_unless_it_asks_for_none() {
    let mut driven = Driven::new(rules());
    driven.publish(&["a", "b"]);
    let slot = driven.channel(1);
    for (kind, unacked) in [(GetKind::Ack, 1), (GetKind::NoAck, 1)] {
        let get = PendingGet { connection: ConnectionId(1), channel: CHANNEL, slot, kind };
        driven.queue.get(get);
        driven.turn();
        assert_eq!(driven.queue.statistics().unacked, unacked);
    }
    assert_eq!(driven.bodies(), ["a", "b"]);
    assert_eq!(driven.queue.ready(), 0);
}

#[test]
fn a_turn_delivers_no_more_than_its_bound_and_says_that_there_is_more() {
    let mut driven = Driven::new(rules());
    driven.limits.deliveries_max = 2;
    driven.consume(1, 0);
    driven.publish(&["a", "b", "c"]);
    assert!(driven.turn().is_unfinished);
    assert_eq!(driven.bodies(), ["a", "b"]);
    assert!(!driven.turn().is_unfinished);
    assert_eq!(driven.bodies(), ["c"]);
}
