//! Groups of messages: one at a time, in order, and none in the way of another.

use super::*;
use crate::limits::QUARANTINE_MS_MAX;
use crate::model::{Closure, RequeueMethod};
use crate::queue::retry_rule::RetryRule;
use crate::queue::{Discarded, GetKind};
use crate::topology::{GroupKey, RetryType};
use forebay_wire::FieldValue;

const NACK: Settlement = Settlement::Requeue(RequeueMethod::Nack);

fn grouped(rules: Rules) -> Driven {
    Driven::new(Rules { group: Some(GroupKey::Header(ShortStr::from_static("g"))), ..rules })
}

/// Publishes bodies such as `a1`, whose first letter is the group; `-` is none.
fn publish(driven: &mut Driven, bodies: &[&str]) {
    bodies.iter().for_each(|body| publish_at(driven, body, 0));
}

fn publish_at(driven: &mut Driven, body: &str, priority: u8) {
    let group = body[..1].to_owned();
    driven.publish_with(body, priority, |it| {
        if group != "-" {
            let value = FieldValue::LongStr(group.into_bytes().into());
            it.headers = Some([(ShortStr::from_static("g"), value)].into_iter().collect());
        }
    });
}

/// Turns, and what they delivered.
fn turn(driven: &mut Driven) -> Vec<(u64, Delivery)> {
    driven.run();
    driven.deliveries()
}

fn names(deliveries: &[(u64, Delivery)]) -> Vec<String> {
    deliveries.iter().map(|(_, delivery)| body(&delivery.message)).collect()
}

#[test]
fn one_message_of_each_group_is_delivered_at_a_time_and_the_next_when_it_is_done() {
    let mut driven = grouped(rules());
    let channel = driven.consume(1, 0);
    publish(&mut driven, &["a1", "a2", "b1", "-1", "a3", "b2", "-2"]);
    let first = turn(&mut driven);
    assert_eq!(names(&first), ["a1", "b1", "-1", "-2"]);
    assert!(first.iter().all(|(_, delivery)| !delivery.redelivered));
    let counts = driven.queue.statistics();
    assert_eq!((counts.ready, counts.unacked, counts.blocked, counts.groups_held), (3, 4, 3, 2));
    driven.settle(channel, Settlement::Ack, &first[1].1);
    let second = turn(&mut driven);
    assert_eq!(names(&second), ["b2"]);
    assert!(!second[0].1.redelivered, "it was looked at and not delivered");
    driven.settle(channel, Settlement::Ack, &first[0].1);
    let third = turn(&mut driven);
    assert_eq!(names(&third), ["a2"]);
    driven.settle(channel, Settlement::Ack, &third[0].1);
    assert_eq!(names(&turn(&mut driven)), ["a3"]);
}

#[test]
fn groups_spread_over_all_consumers() {
    let mut driven = grouped(rules());
    driven.consume(1, 1);
    driven.consume(2, 1);
    publish(&mut driven, &["a1", "a2", "b1", "b2"]);
    let deliveries = turn(&mut driven);
    let mut given: Vec<_> = deliveries.iter().map(|(to, it)| (*to, body(&it.message))).collect();
    given.sort();
    assert_eq!(given, [(1, "a1".to_owned()), (2, "b1".to_owned())]);
}

#[test]
fn a_failed_message_holds_back_its_group_until_it_is_done_or_dead() {
    let retry = Some(RetryRule { kind: RetryType::All, min: 5, max: 5, multiplier: None });
    let mut driven = grouped(Rules { retry, delivery_limit: Some(2), ..rules() });
    let channel = driven.consume(1, 0);
    publish(&mut driven, &["a1", "a2", "b1", "b2"]);
    let first = turn(&mut driven);
    driven.settle(channel, NACK, &first[0].1);
    driven.settle(channel, Settlement::Ack, &first[1].1);
    assert_eq!(names(&turn(&mut driven)), ["b2"], "a1 waits, and a2 behind it");
    driven.pass_time(6);
    let again = turn(&mut driven);
    assert_eq!(names(&again), ["a1"]);
    driven.settle(channel, NACK, &again[0].1);
    assert_eq!(dead(&driven.run()), [("a1".to_owned(), "delivery_limit")]);
    assert_eq!(driven.bodies(), ["a2"]);
}

#[test]
fn what_came_back_goes_before_what_is_behind_it_even_at_a_higher_priority() {
    let mut driven = grouped(rules());
    let channel = driven.consume(1, 0);
    publish_at(&mut driven, "a-low", 1);
    let low = turn(&mut driven);
    publish_at(&mut driven, "a-high", 9);
    assert!(turn(&mut driven).is_empty());
    driven.settle(channel, NACK, &low[0].1);
    let again = turn(&mut driven);
    assert_eq!(names(&again), ["a-low"]);
    driven.settle(channel, Settlement::Ack, &again[0].1);
    assert_eq!(names(&turn(&mut driven)), ["a-high"]);
}

#[test]
fn of_messages_that_wait_the_highest_priority_goes_first() {
    let mut driven = grouped(rules());
    let channel = driven.consume(1, 0);
    publish_at(&mut driven, "a1", 0);
    let first = turn(&mut driven);
    publish_at(&mut driven, "a2", 0);
    publish_at(&mut driven, "a3", 5);
    assert!(turn(&mut driven).is_empty());
    driven.settle(channel, Settlement::Ack, &first[0].1);
    assert_eq!(names(&turn(&mut driven)), ["a3"]);
}

#[test]
fn the_death_of_a_consumer_changes_no_order_within_a_group() {
    let mut driven = grouped(Rules { delivery_limit: Some(2), ..rules() });
    let channel = driven.consume(1, 0);
    publish(&mut driven, &["a1", "b1", "a2", "b2"]);
    assert_eq!(names(&turn(&mut driven)), ["a1", "b1"]);
    let lost = ChannelEnding { closure: Closure::Failed, held: 2, is_connection: true };
    driven.end_channel(channel, lost);
    let channel = driven.consume(2, 0);
    assert_eq!(names(&turn(&mut driven)), ["a1", "b1"]);
    // Now both are suspects: each is delivered alone, and keeps its group waiting meanwhile.
    driven.end_channel(channel, lost);
    driven.pass_time(QUARANTINE_MS_MAX);
    let channel = driven.consume(3, 0);
    let alone = turn(&mut driven);
    assert_eq!(names(&alone), ["a1"]);
    driven.settle(channel, Settlement::Ack, &alone[0].1);
    let next = turn(&mut driven);
    assert!(!names(&next).contains(&"b2".to_owned()), "{:?}", names(&next));
}

#[test]
fn consumers_without_acknowledgements_get_a_whole_group_in_order() {
    let mut driven = grouped(rules());
    let channel = driven.consume(1, 1);
    publish(&mut driven, &["a1", "a2", "a3", "b1"]);
    let first = turn(&mut driven);
    driven.consume_with(2, |consumer| consumer.no_ack = true);
    assert_eq!(names(&turn(&mut driven)), ["b1"]);
    driven.settle(channel, Settlement::Ack, &first[0].1);
    driven.queue.consumers.remove(ConsumerId(1));
    assert_eq!(names(&turn(&mut driven)), ["a2", "a3"]);
    assert_eq!(driven.queue.statistics().groups_held, 0);
}

#[test]
fn a_get_takes_part() {
    let mut driven = grouped(rules());
    let channel = driven.channel(1);
    publish(&mut driven, &["a1", "a2", "b1"]);
    let get = |driven: &mut Driven| {
        let connection = ConnectionId(1);
        let get = PendingGet { connection, channel: CHANNEL, slot: channel, kind: GetKind::Ack };
        driven.queue.get(get);
        driven.run();
        let mut got = None;
        while let Some((_, events)) = driven.outbox.poll() {
            for event in events {
                match event {
                    Event::Reply { reply: Ok(Reply::Got { delivery, .. }), .. } => {
                        got = Some(delivery);
                    }
                    Event::Reply { reply: Ok(Reply::Empty), .. } => got = None,
                    other => panic!("{other:?}"),
                }
            }
        }
        got
    };
    let a1 = get(&mut driven).unwrap();
    assert_eq!(body(&a1.message), "a1");
    assert_eq!(body(&get(&mut driven).unwrap().message), "b1");
    assert!(get(&mut driven).is_none(), "a2 waits behind a1");
    assert_eq!(driven.queue.ready(), 1);
    driven.settle(channel, Settlement::Ack, &a1);
    assert_eq!(body(&get(&mut driven).unwrap().message), "a2");
}

#[test]
fn what_waits_behind_its_group_expires_is_dropped_and_purged_as_what_is_ready() {
    let mut driven = grouped(Rules { message_ttl: Some(10), length_max: Some(2), ..rules() });
    let channel = driven.consume(1, 0);
    publish(&mut driven, &["a1"]);
    let first = turn(&mut driven);
    publish(&mut driven, &["a2", "a3", "a4"]);
    assert_eq!(dead(&driven.run()), [("a2".to_owned(), "maxlen")]);
    driven.pass_time(10);
    let expired = ["a3", "a4"].map(|body| (body.to_owned(), "expired"));
    assert_eq!(dead(&driven.run()), expired);
    publish(&mut driven, &["a5", "b1"]);
    assert_eq!(names(&turn(&mut driven)), ["b1"]);
    let at = driven.at();
    assert_eq!(driven.queue.purge(&mut Discarded::default(), at), 1);
    assert_eq!(driven.queue.statistics().blocked, 0);
    driven.settle(channel, Settlement::Ack, &first[0].1);
    publish(&mut driven, &["a6"]);
    assert_eq!(names(&turn(&mut driven)), ["a6"]);
}

#[test]
fn a_queue_looks_past_so_many_and_no_further_and_goes_on_when_they_do() {
    let mut driven = grouped(rules());
    driven.queue.blocked_max = 2;
    let channel = driven.consume(1, 0);
    publish(&mut driven, &["a1", "a2", "a3", "a4", "b1"]);
    let first = turn(&mut driven);
    assert_eq!(names(&first), ["a1"]);
    driven.settle(channel, Settlement::Ack, &first[0].1);
    assert_eq!(names(&turn(&mut driven)), ["a2", "b1"]);
}

#[test]
fn looking_past_many_takes_several_turns_of_bounded_work() {
    let mut driven = grouped(rules());
    driven.limits.departures_max = 3;
    driven.consume(1, 0);
    let bodies: Vec<String> = (0..20).map(|number| format!("a{number}")).collect();
    publish(&mut driven, &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    publish(&mut driven, &["b1"]);
    let mut turns = 0;
    while driven.turn().is_unfinished {
        turns += 1;
    }
    assert!(turns >= 6, "{turns}");
    assert_eq!(driven.bodies(), ["a0", "b1"]);
}

#[test]
fn a_policy_that_ends_the_groups_lets_everything_go() {
    let mut driven = grouped(rules());
    driven.consume(1, 0);
    publish(&mut driven, &["a1", "a2", "a3"]);
    assert_eq!(names(&turn(&mut driven)), ["a1"]);
    let now = driven.now.monotonic;
    driven.queue.set_rules(rules(), now);
    assert_eq!(names(&turn(&mut driven)), ["a2", "a3"]);
}

#[test]
fn the_routing_key_names_groups_too() {
    let mut driven = Driven::new(Rules { group: Some(GroupKey::RoutingKey), ..rules() });
    driven.consume(1, 0);
    driven.publish(&["first", "second"]);
    assert_eq!(names(&turn(&mut driven)), ["first"], "both have the routing key q");
}
