//! What docs/reference/dead-letters.md promises of clients that hang, of a single active consumer, and of
//! `redelivered` after a restart.

use super::broker::{CHANNEL, arguments, consume};
use super::scene::{OTHER, PUBLISHER, SINGLE, Scene, THIRD, WORKER, limit, numbers, timeout};
use crate::command::{Command, Extend, Subscribe};
use crate::event::{Delivery, Event, Reply};
use crate::limits::QUARANTINE_MS_MAX;
use crate::model::{Closure, ConnectionId, PublishSeq, RequeueMethod, Settlement};
use forebay_wire::FieldValue;

#[test]
fn who_lets_a_message_time_out_gets_no_more_until_it_is_heard_of() {
    let mut scene = Scene::new(&[("q", &[timeout(1000)]), ("r", &[])]);
    scene.join(WORKER, 1, "q", 1);
    scene.join(WORKER, 1, "r", 1);
    scene.join(WORKER, 2, "r", 1);
    scene.publish("q", 0..1);
    assert_eq!(numbers(&scene.take(WORKER)), [0]);
    for _ in 0..10 {
        scene.broker.pass(1000);
    }
    let events = scene.broker.take_events(WORKER);
    assert!(matches!(events[..], [Event::Overdue { channel: CHANNEL }]), "{events:?}");
    assert_eq!((scene.ready("q"), scene.broker.statistics("q").timed_out), (1, 1));
    // Its other channel goes on, this one gets nothing of any queue.
    scene.publish("r", 10..12);
    assert_eq!(numbers(&scene.take(WORKER)), [10]);
    scene.broker.send(WORKER, [Command::Heard { channel: CHANNEL }]);
    let again = scene.take(WORKER);
    // It owes the settlement of the first delivery: the room of one is taken.
    assert_eq!(numbers(&again), [11]);
}

#[test]
fn what_a_client_holds_that_hangs_goes_to_somebody_else_as_soon_as_there_is_somebody() {
    let mut scene = Scene::new(&[("q", &[timeout(1000)])]);
    scene.join(WORKER, 1, "q", 0);
    scene.publish("q", 0..6);
    assert_eq!(scene.take(WORKER).len(), 6);
    scene.broker.pass(1000);
    assert_eq!((scene.ready("q"), scene.broker.statistics("q").unacked), (1, 5));
    scene.join(OTHER, 1, "q", 0);
    let got = scene.take(OTHER);
    assert_eq!(numbers(&got), [0, 1, 2, 3, 4, 5]);
    let failures: Vec<u32> = got.iter().map(|delivery| delivery.failures).collect();
    assert_eq!(failures, [1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_time_out_alone_never_condemns_what_only_one_client_had() {
    for (clients, expected) in [(1, 0), (3, 1)] {
        let mut scene = Scene::new(&[("q", &[timeout(1000)])]);
        scene.publish("q", 0..1);
        for life in 0..10 {
            let connection = [WORKER, OTHER, THIRD][life % clients];
            let Some(held) = scene.get(connection, 1, "q") else { break };
            scene.broker.pass(1000);
            // Too late, which is to say: it lives.
            scene.settle(connection, 1, "q", Settlement::Requeue(RequeueMethod::Nack), &held);
        }
        assert_eq!(scene.dead("q"), expected, "{clients} clients");
    }
}

#[test]
fn a_single_active_consumer_that_hangs_loses_its_turn_and_order_holds() {
    let mut scene = Scene::new(&[("q", &[SINGLE, timeout(1000)])]);
    scene.join(WORKER, 1, "q", 3);
    scene.join(OTHER, 1, "q", 10);
    scene.publish("q", 0..6);
    assert_eq!(numbers(&scene.take(WORKER)), [0, 1, 2]);
    scene.broker.pass(1000);
    assert_eq!(numbers(&scene.take(OTHER)), [0, 1, 2, 3, 4, 5]);
    // It is there again, and waits behind the other one.
    scene.broker.send(WORKER, [Command::Heard { channel: CHANNEL }]);
    scene.publish("q", 6..7);
    assert_eq!(numbers(&scene.take(OTHER)), [6]);
}

#[test]
fn a_single_active_consumer_loses_its_turn_also_when_it_hangs_at_a_message_of_another_queue() {
    let mut scene = Scene::new(&[("q", &[SINGLE, timeout(1000)]), ("r", &[timeout(1000)])]);
    scene.publish("q", 0..1);
    scene.publish("r", 1..2);
    scene.join(WORKER, 1, "q", 1);
    assert_eq!(numbers(&scene.take(WORKER)), [0]);
    scene.broker.pass(1000);
    // It is heard of again, and owes a settlement: it is the active one, and has no room.
    scene.broker.send(WORKER, [Command::Heard { channel: CHANNEL }]);
    scene.get(WORKER, 1, "r").unwrap();
    scene.join(OTHER, 1, "q", 1);
    scene.broker.pass(999);
    assert!(scene.take(OTHER).is_empty());
    scene.broker.pass(1);
    assert_eq!(numbers(&scene.take(OTHER)), [0]);
}

#[test]
fn a_single_active_consumer_that_nobody_could_follow_goes_on_when_it_is_heard_of_again() {
    let mut scene = Scene::new(&[("q", &[SINGLE]), ("r", &[timeout(1000)])]);
    scene.join(WORKER, 1, "r", 1);
    scene.join(WORKER, 1, "q", 0);
    scene.join(OTHER, 1, "q", 0);
    scene.publish("r", 9..10);
    scene.publish("q", 0..2);
    assert_eq!(numbers(&scene.take(WORKER)), [9, 0, 1]);
    scene.broker.pass(1000);
    // What it holds keeps the other one waiting, which goes.
    assert!(scene.take(OTHER).is_empty());
    scene.close(OTHER, Closure::ByClient);
    scene.take(WORKER);
    scene.broker.send(WORKER, [Command::Heard { channel: CHANNEL }]);
    scene.publish("q", 2..3);
    assert_eq!(numbers(&scene.take(WORKER)), [2]);
}

#[test]
fn a_single_active_consumer_is_followed_when_what_it_held_is_settled_or_back() {
    let mut scene = Scene::new(&[("q", &[SINGLE])]);
    scene.join(WORKER, 1, "q", 3);
    scene.join(OTHER, 1, "q", 10);
    scene.publish("q", 0..6);
    let held = scene.take(WORKER);
    let consumer_tag = "q".try_into().unwrap();
    scene.broker.send(WORKER, [Command::Cancel { channel: CHANNEL, consumer_tag }]);
    scene.ack(WORKER, 1, "q", &held[0]);
    scene.ack(WORKER, 1, "q", &held[2]);
    assert!(scene.take(OTHER).is_empty());
    scene.close(WORKER, Closure::ByClient);
    assert_eq!(numbers(&scene.take(OTHER)), [1, 3, 4, 5]);
}

#[test]
fn no_later_message_passes_a_quarantined_one_of_a_single_active_consumer() {
    let mut scene = Scene::new(&[("q", &[SINGLE, limit(1)])]);
    scene.join(WORKER, 1, "q", 3);
    scene.publish("q", 0..6);
    assert_eq!(scene.take(WORKER).len(), 3);
    scene.join(OTHER, 1, "q", 10);
    scene.die(WORKER);
    let first = scene.take(OTHER);
    assert_eq!(numbers(&first), [0]);
    // It keeps that one: after a while everything comes, in order.
    scene.broker.pass(QUARANTINE_MS_MAX);
    assert_eq!(numbers(&scene.take(OTHER)), [1, 2, 3, 4, 5]);
}

#[test]
fn a_time_out_by_policy_begins_for_what_is_held_when_it_is_set() {
    let mut scene = Scene::new(&[("q", &[])]);
    scene.join(WORKER, 1, "q", 1);
    scene.publish("q", 0..1);
    assert_eq!(scene.take(WORKER).len(), 1);
    scene.broker.pass(5000);
    scene.set_policy(&[("consumer-timeout", FieldValue::I32(1000))]);
    scene.broker.pass(999);
    assert_eq!(scene.ready("q"), 0);
    scene.broker.pass(1);
    assert_eq!(scene.ready("q"), 1);
}

#[test]
fn after_a_stop_in_good_order_redelivered_is_set_on_what_was_delivered_alone() {
    let mut scene = Scene::new(&[("q", &[])]);
    scene.publish("q", 0..4);
    let look = |scene: &mut Scene, expected: &[bool]| {
        let got = expected.iter().map(|_| scene.get(WORKER, 1, "q").unwrap().redelivered);
        assert_eq!(got.collect::<Vec<bool>>(), expected);
    };
    look(&mut scene, &[false, false]);
    for expected in [&[true, true, false][..], &[true, true, true, false]] {
        scene.broker.restart(&[PUBLISHER, WORKER]);
        scene.broker.open(PUBLISHER);
        scene.broker.open(WORKER);
        look(&mut scene, expected);
    }
    // What came in since is new; after a crash nobody knows that.
    scene.publish("q", 4..5);
    scene.broker.commit();
    scene.broker.crash();
    scene.broker.open(WORKER);
    look(&mut scene, &[true; 5]);
}

#[test]
fn an_operator_who_looks_sees_what_is_quarantined() {
    let mut scene = Scene::new(&[("q", &[limit(1)])]);
    scene.publish("q", 0..3);
    scene.join(WORKER, 1, "q", 3);
    scene.die(WORKER);
    for _ in 0..3 {
        let queue = "q".try_into().unwrap();
        scene.broker.send(OTHER, [Command::Inspect { channel: CHANNEL, queue }]);
        assert!(matches!(scene.broker.reply(OTHER), Ok(Reply::Got { .. })));
    }
}

fn join_with_lease(scene: &mut Scene, connection: ConnectionId, lease: i64, prefetch: u16) {
    let arguments = arguments(&[("x-lease", FieldValue::I64(lease))]);
    scene.broker.subscribe(connection, Subscribe { arguments, ..consume("q", "q", prefetch) });
    scene.broker.reply(connection).unwrap();
}

/// Whether the delivery could be extended.
fn extend(scene: &mut Scene, connection: ConnectionId, delivery: &Delivery, lease: u64) -> bool {
    let confirm = Some(PublishSeq(1));
    let (queue, position) = (scene.id("q"), delivery.position);
    let extend = Extend { channel: CHANNEL, queue, position, lease, confirm };
    scene.broker.send(connection, [Command::Extend(extend)]);
    let events = scene.broker.take_events(connection).into_iter();
    let is_answer = |event: &Event| matches!(event, Event::Confirm { .. } | Event::Refuse { .. });
    let (mut answers, others): (Vec<Event>, Vec<Event>) = events.partition(is_answer);
    scene.broker.events.extend(others.into_iter().map(|event| (connection, event)));
    let answer = answers.pop();
    matches!(answer, Some(Event::Confirm { .. }))
}

#[test]
fn a_lease_is_the_consumer_s_own_whatever_the_queue_says() {
    for queue_s in [1_000, 60_000] {
        let mut scene = Scene::new(&[("q", &[timeout(queue_s)])]);
        join_with_lease(&mut scene, WORKER, 5_000, 1);
        scene.publish("q", 0..1);
        assert_eq!(scene.take(WORKER).len(), 1);
        scene.broker.pass(4_999);
        scene.join(OTHER, 1, "q", 1);
        assert!(scene.take(OTHER).is_empty());
        scene.broker.pass(1);
        assert_eq!(numbers(&scene.take(OTHER)), [0]);
    }
}

#[test]
fn a_message_is_kept_as_long_as_it_is_extended_and_so_is_what_waits_behind_it() {
    let mut scene = Scene::new(&[("q", &[])]);
    join_with_lease(&mut scene, WORKER, 1_000, 3);
    scene.publish("q", 0..3);
    let held = scene.take(WORKER);
    for _ in 0..20 {
        scene.broker.pass(900);
        assert!(extend(&mut scene, WORKER, &held[0], 1_000));
    }
    assert_eq!((scene.ready("q"), scene.broker.statistics("q").timed_out), (0, 0));
    assert_eq!(scene.broker.statistics("q").extended, 20);
    // The client hangs: it loses the one, and the others go to who is there.
    scene.broker.pass(1_000);
    scene.join(OTHER, 1, "q", 0);
    assert_eq!(numbers(&scene.take(OTHER)), [0, 1, 2]);
    assert!(!extend(&mut scene, WORKER, &held[0], 1_000), "another one has it");
    scene.broker.pass(60_000);
    assert_eq!(scene.ready("q"), 0);
}

#[test]
fn a_message_that_was_extended_in_time_is_not_taken_because_its_consumer_hangs_at_another() {
    let mut scene = Scene::new(&[("q", &[])]);
    join_with_lease(&mut scene, WORKER, 1_000, 2);
    scene.publish("q", 0..2);
    let held = scene.take(WORKER);
    assert!(extend(&mut scene, WORKER, &held[1], 10_000));
    scene.join(OTHER, 1, "q", 0);
    scene.broker.pass(1_000);
    assert_eq!(numbers(&scene.take(OTHER)), [0]);
    scene.broker.pass(8_999);
    assert_eq!(numbers(&scene.take(OTHER)), [0; 0]);
    scene.broker.pass(1);
    assert_eq!(numbers(&scene.take(OTHER)), [1]);
}

#[test]
fn a_lease_holds_for_what_a_consumer_left_behind_that_was_cancelled() {
    for queue_s in [1_000, 60_000] {
        let mut scene = Scene::new(&[("q", &[timeout(queue_s)])]);
        join_with_lease(&mut scene, WORKER, 5_000, 2);
        scene.publish("q", 0..2);
        let held = scene.take(WORKER);
        scene.leave(WORKER, 1, "q");
        scene.broker.pass(4_000);
        // A sign of life: the other one is timed from here.
        scene.settle(WORKER, 1, "q", Settlement::Ack, &held[0]);
        scene.join(OTHER, 1, "q", 1);
        scene.broker.pass(4_999);
        assert!(scene.take(OTHER).is_empty());
        scene.broker.pass(1);
        assert_eq!(numbers(&scene.take(OTHER)), [1]);
    }
}

#[test]
fn an_extension_holds_for_one_delivery_and_is_over_with_it() {
    let mut scene = Scene::new(&[("q", &[timeout(1_000)])]);
    scene.publish("q", 0..2);
    let first = scene.get(WORKER, 1, "q").unwrap();
    scene.get(WORKER, 1, "q").unwrap();
    assert!(extend(&mut scene, WORKER, &first, 10_000));
    scene.broker.pass(1_000);
    assert_eq!(scene.ready("q"), 1);
    scene.settle(WORKER, 1, "q", Settlement::Requeue(RequeueMethod::Nack), &first);
    let again = scene.get(OTHER, 1, "q").unwrap();
    assert_eq!(again.message.body()[0], 0);
    scene.broker.pass(1_000);
    assert_eq!(scene.ready("q"), 2);
    assert!(!extend(&mut scene, OTHER, &again, 1_000), "its time was over");
}

#[test]
fn a_lease_of_a_consumer_that_acknowledges_nothing_is_refused() {
    let mut scene = Scene::new(&[("q", &[])]);
    for (no_ack, lease) in [(true, 1_000), (false, 0), (false, -1)] {
        let arguments = arguments(&[("x-lease", FieldValue::I64(lease))]);
        let subscribe = Subscribe { arguments, no_ack, ..consume("q", "q", 1) };
        scene.broker.subscribe(WORKER, subscribe);
        let fault = scene.broker.reply(WORKER).unwrap_err();
        assert!(fault.text.starts_with("invalid arg 'x-lease' for queue 'q'"), "{}", fault.text);
    }
}
