//! Messages that leave otherwise than by acknowledgement.

use super::*;
use crate::model::{Closure, RequeueMethod};
use crate::queue::Discarded;

#[test]
fn a_rejected_message_becomes_a_dead_letter_where_there_is_a_place_for_it() {
    for (dead_letters, expected) in
        [(DeadLetters::Exchange, 1), (DeadLetters::DefaultQueue, 1), (DeadLetters::Dropped, 0)]
    {
        let mut driven = Driven::new(Rules { dead_letters, ..rules() });
        let channel = driven.consume(1, 1);
        driven.publish(&["a"]);
        driven.turn();
        let held = driven.deliveries();
        driven.settle(channel, Settlement::Reject, &held[0].1);
        let letters = driven.run();
        assert_eq!(letters.len(), expected);
        assert!(letters.iter().all(|letter| letter.reason.name() == "rejected"));
        let counts = driven.queue.statistics();
        assert_eq!((counts.ready, counts.unacked, counts.bytes), (0, 0, 0));
    }
}

#[test]
fn the_delivery_that_reaches_the_limit_of_failures_ends_a_message() {
    let mut driven = Driven::new(Rules { delivery_limit: Some(2), ..rules() });
    let channel = driven.consume(1, 1);
    driven.publish(&["a", "b"]);
    for failures in 0..2 {
        driven.turn();
        let held = driven.deliveries();
        assert_eq!((&*body(&held[0].1.message), held[0].1.failures), ("a", failures));
        driven.settle(channel, Settlement::Requeue(RequeueMethod::Nack), &held[0].1);
    }
    let letters = driven.run();
    assert_eq!(dead(&letters), [("a".to_owned(), "delivery_limit")]);
    assert_eq!(driven.bodies(), ["b"]);
}

#[test]
fn a_lost_connection_that_held_several_ends_none_of_them_at_the_limit() {
    // Only one of them can have killed it: that one is found by delivering each alone.
    let mut driven = Driven::new(Rules { delivery_limit: Some(1), ..rules() });
    let channel = driven.consume(1, 0);
    driven.publish(&["a", "b"]);
    driven.turn();
    let ending = ChannelEnding { closure: Closure::Failed, held: 2, is_connection: true };
    driven.end_channel(channel, ending);
    assert!(driven.run().is_empty());
    assert_eq!(driven.queue.ready(), 2);
}

#[test]
fn a_lost_connection_that_held_one_message_counts_against_that_one() {
    let mut driven = Driven::new(Rules { delivery_limit: Some(1), ..rules() });
    let channel = driven.consume(1, 1);
    driven.publish(&["a", "b"]);
    driven.turn();
    let ending = ChannelEnding { closure: Closure::Failed, held: 1, is_connection: true };
    driven.end_channel(channel, ending);
    assert_eq!(dead(&driven.run()), [("a".to_owned(), "delivery_limit")]);
}

#[test]
fn a_message_expires_after_the_shorter_of_its_times_when_no_consumer_takes_it() {
    let mut driven = Driven::new(Rules { message_ttl: Some(1_000), ..rules() });
    driven.publish(&["a"]);
    driven.publish_with("b", 0, |it| it.expiration = Some(ShortStr::from_static("10")));
    assert!(driven.run().is_empty());
    driven.pass_time(999);
    // Behind one that lives: messages expire at the head.
    assert!(driven.run().is_empty());
    driven.pass_time(1);
    let expected = ["a", "b"].map(|body| (body.to_owned(), "expired"));
    assert_eq!(dead(&driven.run()), expected);
    assert_eq!(driven.queue.statistics().expired, 2);
}

#[test]
fn the_oldest_ready_messages_leave_a_queue_that_is_too_long() {
    let mut driven = Driven::new(Rules { length_max: Some(2), ..rules() });
    driven.publish(&["a", "b", "c", "d"]);
    let expected = ["a", "b"].map(|body| (body.to_owned(), "maxlen"));
    assert_eq!(dead(&driven.run()), expected);
    let mut driven = Driven::new(Rules { length_bytes_max: Some(5), ..rules() });
    driven.publish(&["aaa", "bb", "ccc"]);
    assert_eq!(dead(&driven.run()), [("aaa".to_owned(), "maxlen")]);
    assert_eq!(driven.queue.statistics().bytes, 5);
}

#[test]
fn a_queue_that_is_not_used_expires() {
    let mut driven = Driven::new(Rules { expires: Some(100), ..rules() });
    assert!(!driven.turn().is_expired);
    driven.pass_time(99);
    assert!(!driven.turn().is_expired);
    driven.pass_time(1);
    assert!(driven.turn().is_expired);
}

#[test]
fn a_purge_takes_what_is_ready_and_leaves_what_clients_hold() {
    let mut driven = Driven::new(rules());
    let channel = driven.consume(1, 1);
    driven.publish(&["a", "b", "c"]);
    driven.turn();
    let held = driven.deliveries();
    let at = driven.at();
    assert_eq!(driven.queue.purge(&mut Discarded::default(), at), 2);
    let counts = driven.queue.statistics();
    assert_eq!((counts.ready, counts.unacked, counts.purged, counts.bytes), (0, 1, 2, 1));
    driven.settle(channel, Settlement::Requeue(RequeueMethod::Nack), &held[0].1);
    driven.turn();
    assert_eq!(driven.bodies(), ["a"]);
}
