//! Messages that came back and wait for their next delivery.

use super::*;
use crate::limits::QUARANTINE_MS_MAX;
use crate::model::{Closure, Level, RequeueMethod, ReturnReason};
use crate::operation::{Block, Operation, RecoveredLevel};
use crate::queue::retry_rule::RetryRule;
use crate::queue::{Discarded, GetKind};
use crate::topology::RetryType;

const NACK: Settlement = Settlement::Requeue(RequeueMethod::Nack);
const LOST_ALONE: ChannelEnding =
    ChannelEnding { closure: Closure::Failed, held: 1, is_connection: true };

/// Waits of 4 ms, 8 ms, … and the one that each is longer by: too short for jitter to show.
fn retry() -> Option<RetryRule> {
    Some(RetryRule { kind: RetryType::All, min: 4, max: 9, multiplier: None })
}

fn with_retry() -> Driven {
    Driven::new(Rules { retry: retry(), ..rules() })
}

/// Delivers the next message and nacks it.
fn fail_next(driven: &mut Driven, channel: ChannelSlot) -> Delivery {
    driven.run();
    let mut deliveries = driven.deliveries();
    assert_eq!(deliveries.len(), 1);
    let (_, delivery) = deliveries.remove(0);
    driven.settle(channel, NACK, &delivery);
    delivery
}

fn counts(driven: &Driven) -> (u64, u64, u64) {
    let counts = driven.queue.statistics();
    (counts.ready, counts.unacked, counts.parked)
}

#[test]
fn a_failed_message_waits_out_of_the_way_and_comes_back_to_its_place() {
    let mut driven = with_retry();
    let channel = driven.consume(1, 1);
    driven.publish(&["a", "b", "c"]);
    fail_next(&mut driven, channel);
    assert_eq!(counts(&driven), (2, 0, 1));
    driven.run();
    let b = driven.deliveries().remove(0).1;
    assert_eq!(body(&b.message), "b");
    assert_eq!(driven.queue.poll_timeout(), Some(driven.now.monotonic.plus(5)));
    driven.pass_time(4);
    driven.run();
    assert_eq!(counts(&driven), (1, 1, 1));
    driven.pass_time(1);
    driven.run();
    driven.settle(channel, Settlement::Ack, &b);
    driven.run();
    let a = driven.deliveries().remove(0).1;
    assert_eq!((body(&a.message).as_str(), a.redelivered, a.failures), ("a", true, 1));
}

#[test]
fn the_waits_of_a_message_grow_and_the_last_failure_ends_it_at_once() {
    let mut driven = Driven::new(Rules { retry: retry(), delivery_limit: Some(4), ..rules() });
    let channel = driven.consume(1, 1);
    driven.publish(&["a"]);
    for wait in [5, 9, 10] {
        fail_next(&mut driven, channel);
        assert_eq!(driven.queue.poll_timeout(), Some(driven.now.monotonic.plus(wait)));
        driven.pass_time(wait);
    }
    fail_next(&mut driven, channel);
    assert_eq!(dead(&driven.run()), [("a".to_owned(), "delivery_limit")]);
    assert_eq!(counts(&driven), (0, 0, 0));
}

#[test]
fn a_consumer_chooses_the_wait_itself_whatever_the_queue_says() {
    for retry in [None, retry()] {
        let mut driven = Driven::new(Rules { retry, ..rules() });
        let channel = driven.consume(1, 1);
        driven.publish(&["a"]);
        driven.run();
        let held = driven.deliveries();
        driven.settle(channel, Settlement::Retry(70_000), &held[0].1);
        driven.run();
        assert_eq!(driven.queue.poll_timeout(), Some(driven.now.monotonic.plus(70_001)));
        driven.pass_time(70_001);
        driven.run();
        let again = driven.deliveries();
        assert_eq!(again[0].1.failures, 1);
        driven.settle(channel, Settlement::Retry(0), &again[0].1);
        driven.run();
        assert_eq!(driven.bodies(), ["a"], "without a wait it is ready at once");
    }
}

#[test]
fn what_waits_counts_for_the_length_and_gives_way_in_the_order_of_the_queue() {
    for (dead_letters, letters) in [(DeadLetters::Exchange, 1), (DeadLetters::Dropped, 0)] {
        let (length_max, length_bytes_max) = (Some(2), Some(100));
        let rules = Rules { retry: retry(), length_max, length_bytes_max, dead_letters, ..rules() };
        let mut driven = Driven::new(rules);
        let channel = driven.consume(1, 1);
        driven.publish(&["a"]);
        fail_next(&mut driven, channel);
        driven.queue.consumers.remove(ConsumerId(1));
        driven.publish(&["b"]);
        assert!(driven.run().is_empty());
        assert!(driven.queue.has_no_room_for(&held_message(&driven)));
        driven.publish(&["c"]);
        assert_eq!(driven.run().len(), letters);
        assert_eq!(counts(&driven), (2, 0, 0));
        let counts = driven.queue.statistics();
        assert_eq!((counts.overflowed, counts.bytes), (1, 2));
    }
}

fn held_message(driven: &Driven) -> Message {
    match driven.queue.front() {
        crate::queue::Next::Present { message, .. } => message,
        _ => panic!("no message is ready"),
    }
}

#[test]
fn what_is_too_old_leaves_when_its_wait_is_over_and_not_before() {
    let mut driven = Driven::new(Rules { retry: retry(), message_ttl: Some(2), ..rules() });
    let channel = driven.consume(1, 1);
    driven.publish(&["a"]);
    fail_next(&mut driven, channel);
    driven.pass_time(4);
    assert!(driven.run().is_empty());
    driven.pass_time(1);
    assert_eq!(dead(&driven.run()), [("a".to_owned(), "expired")]);
}

#[test]
fn a_purge_takes_what_waits() {
    let mut driven = with_retry();
    let channel = driven.consume(1, 1);
    driven.publish(&["a", "b"]);
    fail_next(&mut driven, channel);
    driven.run();
    let at = driven.at();
    assert_eq!(driven.queue.purge(&mut Discarded::default(), at), 1);
    assert_eq!(counts(&driven), (0, 1, 0));
    assert_eq!(driven.queue.statistics().bytes, 1);
    driven.pass_time(100);
    driven.run();
    assert_eq!(driven.queue.poll_timeout(), None);
}

#[test]
fn each_priority_has_its_own_places() {
    let mut driven = with_retry();
    let channel = driven.consume(1, 1);
    driven.publish_with("low", 1, |_| {});
    driven.publish_with("high", 7, |_| {});
    assert_eq!(body(&fail_next(&mut driven, channel).message), "high");
    assert_eq!(body(&fail_next(&mut driven, channel).message), "low");
    driven.pass_time(5);
    driven.run();
    assert_eq!(driven.bodies(), ["high"]);
}

#[test]
fn bystanders_of_a_crash_wait_and_the_suspects_among_them_do_not() {
    let mut driven = Driven::new(Rules { retry: retry(), delivery_limit: Some(2), ..rules() });
    let channel = driven.consume(1, 2);
    driven.publish(&["a", "b"]);
    driven.run();
    assert_eq!(driven.bodies(), ["a", "b"]);
    let in_company = ChannelEnding { closure: Closure::Failed, held: 2, is_connection: true };
    driven.end_channel(channel, in_company);
    assert_eq!(counts(&driven), (0, 0, 2));
    driven.pass_time(5);
    let channel = driven.consume(2, 2);
    driven.run();
    assert_eq!(driven.bodies(), ["a", "b"]);
    driven.end_channel(channel, in_company);
    driven.run();
    assert_eq!(counts(&driven), (2, 0, 0), "each is tried alone as soon as possible");
    driven.pass_time(QUARANTINE_MS_MAX);
    let channel = driven.consume(3, 2);
    driven.run();
    assert_eq!(driven.bodies(), ["a"]);
    driven.end_channel(channel, LOST_ALONE);
    assert_eq!(dead(&driven.run()), [("a".to_owned(), "delivery_limit")]);
}

#[test]
fn a_single_active_consumer_goes_on_with_what_is_behind() {
    let mut driven = Driven::new(Rules { retry: retry(), single_active: true, ..rules() });
    let channel = driven.consume(1, 1);
    driven.publish(&["a", "b"]);
    fail_next(&mut driven, channel);
    driven.run();
    assert_eq!(driven.bodies(), ["b"]);
}

#[test]
fn a_get_finds_what_is_ready_and_not_what_waits() {
    let mut driven = with_retry();
    let channel = driven.consume(1, 1);
    driven.publish(&["a"]);
    fail_next(&mut driven, channel);
    driven.queue.consumers.remove(ConsumerId(1));
    let get = PendingGet {
        connection: ConnectionId(1),
        channel: CHANNEL,
        slot: channel,
        kind: GetKind::NoAck,
    };
    driven.queue.get(get);
    driven.run();
    assert_eq!(driven.queue.statistics().gets_empty, 1);
}

#[test]
fn a_late_acknowledgement_of_what_waits_after_a_time_out_counts() {
    let rules = Rules { retry: retry(), consumer_timeout: Some(1_000), ..rules() };
    let mut driven = Driven::new(rules);
    let channel = driven.consume(1, 1);
    driven.publish(&["a"]);
    driven.run();
    let held = driven.deliveries();
    driven.pass_time(1_000);
    driven.turn();
    assert_eq!(counts(&driven), (0, 0, 1));
    driven.settle(channel, Settlement::Ack, &held[0].1);
    assert_eq!(counts(&driven), (0, 0, 0));
    assert_eq!(driven.queue.statistics().bytes, 0);
}

#[test]
fn when_too_many_wait_the_one_that_is_due_first_is_ready_at_once() {
    let mut driven = with_retry();
    driven.queue.parked_max = 2;
    let channel = driven.consume(1, 1);
    driven.publish(&["a", "b", "c"]);
    for _ in 0..3 {
        fail_next(&mut driven, channel);
    }
    assert_eq!(counts(&driven), (1, 0, 2));
    driven.run();
    assert_eq!(driven.bodies(), ["a"]);
}

#[test]
fn a_damaged_queue_delivers_nothing_that_is_due() {
    let mut driven = with_retry();
    let channel = driven.consume(1, 1);
    driven.publish(&["a"]);
    fail_next(&mut driven, channel);
    driven.queue.recover_damaged("page 3".into());
    driven.pass_time(100);
    driven.run();
    assert!(driven.bodies().is_empty());
    assert_eq!(driven.queue.poll_timeout(), None);
}

/// What a store would have after a commit.
fn stored(driven: &mut Driven) -> (RecoveredLevel, Vec<crate::page::Page>) {
    let mut operations = Vec::new();
    driven.queue.take_commit(&mut operations);
    let mut pages = Vec::new();
    let mut block = Block::default();
    for operation in operations {
        match operation {
            Operation::PutPage { page, .. } => pages.push(crate::page::Page::clone(&page)),
            Operation::PutBlock { content, .. } => block = content,
            _ => {}
        }
    }
    let last = pages.last().unwrap();
    let recovered = RecoveredLevel {
        queue: QUEUE,
        level: Level(0),
        watermark: Default::default(),
        blocks: vec![(0, block)],
        last_page: Some((last.end, last.bytes_after)),
        bounds: last.bounds,
    };
    (recovered, pages)
}

#[test]
fn a_wait_survives_a_restart_and_no_jump_of_the_clock_makes_it_longer_than_it_was() {
    // The wall clock at the start of the next process, from the failure on; how long it waits then.
    for (since_failure, left) in [(0, 7_001), (2_000, 5_001), (8_000, 0), (-900_000, 7_001)] {
        let mut before = Driven::new(rules());
        let channel = before.consume(1, 1);
        before.publish(&["a", "b", "c"]);
        before.run();
        let a = before.deliveries().remove(0).1;
        before.settle(channel, Settlement::Retry(7_000), &a);
        before.run();
        let b = before.deliveries().remove(0).1;
        before.settle(channel, Settlement::Retry(7_000), &b);
        let (recovered, pages) = stored(&mut before);
        let mut driven = Driven::new(rules());
        driven.queue.recover(&recovered, None);
        assert_eq!(counts(&driven), (1, 0, 2), "known before the first turn");
        let started = i64::try_from(START).unwrap() + since_failure;
        driven.now.wall = WallClock(started.unsigned_abs());
        driven.run();
        let expected = if left == 0 { None } else { Some(driven.now.monotonic.plus(left)) };
        assert_eq!(driven.queue.poll_timeout(), expected);
        // A jump while the process lives changes nothing.
        driven.now.wall.0 += 3_600_000;
        driven.consume(1, 0);
        driven.pass_time(left);
        driven.run();
        let (level, from, _) = driven.queue.poll_fetch().unwrap();
        driven.queue.handle_fetched(level, from, pages);
        driven.run();
        let deliveries = driven.deliveries();
        let failures: Vec<_> =
            deliveries.iter().map(|(_, it)| (body(&it.message), it.failures)).collect();
        let expected = [("a", 1), ("b", 1), ("c", 0)].map(|(body, count)| (body.to_owned(), count));
        assert_eq!(failures, expected);
    }
}

#[test]
fn an_operator_sees_how_often_and_why_a_message_came_back_without_disturbing_it() {
    use crate::browse::BrowseAction::ShowParked;
    let mut driven = with_retry();
    let channel = driven.consume(1, 1);
    driven.publish(&["a", "b"]);
    fail_next(&mut driven, channel);
    driven.run();
    driven.pass_time(1);
    let runs = driven.queue.extent(ShowParked);
    let crate::queue::Next::Present { offset, message, .. } =
        driven.queue.first_browsed_in(runs[0], ShowParked)
    else {
        panic!("it is in memory");
    };
    let position = crate::model::Position { level: Level(0), offset };
    let shown = driven.queue.show(position, message, driven.now.monotonic);
    assert_eq!((body(&shown.message).as_str(), shown.failures, shown.due_in), ("a", 1, Some(4)));
    assert_eq!(shown.retry.unwrap().reason, ReturnReason::Nacked);
    assert_eq!(counts(&driven), (0, 1, 1));
}
