//! What is behind the consumers of a queue is spared (`x-max-in-flight`, `x-rate-limit`).

use super::scene::{OTHER, Scene, THIRD, WORKER, numbers, timeout};
use crate::model::{Closure, RequeueMethod, Settlement};
use crate::queue::HeldBack;
use forebay_wire::FieldValue;
use proptest::prelude::*;

fn in_flight(most: i64) -> (&'static str, FieldValue) {
    ("x-max-in-flight", FieldValue::I64(most))
}

fn rate(rate: i64) -> (&'static str, FieldValue) {
    ("x-rate-limit", FieldValue::I64(rate))
}

fn burst(burst: i64) -> (&'static str, FieldValue) {
    ("x-rate-burst", FieldValue::I64(burst))
}

fn held_back(scene: &mut Scene) -> Option<HeldBack> {
    let report = scene.broker.report();
    let queue = report.queues.iter().find(|report| report.record.name == "q").unwrap();
    queue.statistics.held_back
}

#[test]
fn consumers_and_gets_together_hold_no_more_than_may_be_in_flight() {
    let mut scene = Scene::new(&[("q", &[in_flight(3)])]);
    scene.publish("q", 0..9);
    scene.join(WORKER, 1, "q", 0);
    let held = scene.take(WORKER);
    assert_eq!(numbers(&held), [0, 1, 2]);
    scene.join(OTHER, 1, "q", 0);
    assert!(scene.take(OTHER).is_empty());
    assert!(scene.get(THIRD, 1, "q").is_none());
    assert_eq!(held_back(&mut scene), Some(HeldBack::MaxInFlight));
    scene.ack(WORKER, 1, "q", &held[1]);
    scene.settle(WORKER, 1, "q", Settlement::Requeue(RequeueMethod::Nack), &held[2]);
    let given = [scene.take(WORKER), scene.take(OTHER)].concat();
    assert_eq!(given.len(), 2);
    scene.close(WORKER, Closure::Failed);
    scene.close(OTHER, Closure::ByClient);
    assert!(scene.get(THIRD, 1, "q").is_some());
}

#[test]
fn what_is_taken_back_from_who_hangs_makes_room() {
    let mut scene = Scene::new(&[("q", &[in_flight(1), timeout(1_000)])]);
    scene.publish("q", 0..2);
    scene.join(WORKER, 1, "q", 0);
    scene.join(OTHER, 1, "q", 0);
    assert_eq!(numbers(&scene.take(WORKER)), [0]);
    scene.broker.pass(1_000);
    assert_eq!(numbers(&scene.take(OTHER)), [0]);
}

#[test]
fn deliveries_come_at_their_rate_after_a_burst() {
    let mut scene = Scene::new(&[("q", &[rate(10), burst(2)])]);
    scene.publish("q", 0..9);
    scene.join(WORKER, 1, "q", 0);
    scene.join(OTHER, 1, "q", 0);
    let mut given = || {
        let given = [scene.take(WORKER), scene.take(OTHER)].concat().len();
        scene.broker.pass(50);
        given
    };
    let counts: Vec<usize> = (0..7).map(|_| given()).collect();
    assert_eq!(counts, [2, 0, 1, 0, 1, 0, 1]);
    assert_eq!(held_back(&mut scene), Some(HeldBack::RateLimit));
    assert!(scene.get(THIRD, 1, "q").is_none());
    scene.broker.pass(50);
    scene.close(WORKER, Closure::ByClient);
    scene.close(OTHER, Closure::ByClient);
    scene.broker.pass(1_000);
    assert!(scene.get(THIRD, 1, "q").is_some());
    assert!(scene.get(THIRD, 1, "q").is_some());
    assert!(scene.get(THIRD, 1, "q").is_none());
}

#[test]
fn messages_that_are_held_back_expire_all_the_same() {
    let ttl = ("x-message-ttl", FieldValue::I64(100));
    let mut scene = Scene::new(&[("q", &[in_flight(1), ttl])]);
    scene.publish("q", 0..5);
    scene.join(WORKER, 1, "q", 0);
    assert_eq!(scene.take(WORKER).len(), 1);
    scene.broker.pass(100);
    assert_eq!(scene.ready("q"), 0);
    assert_eq!(held_back(&mut scene), None);
}

#[test]
fn policies_set_change_and_lift_the_limits_live() {
    let mut scene = Scene::new(&[("q", &[])]);
    scene.set_policy(&[("max-in-flight", FieldValue::I64(1))]);
    scene.publish("q", 0..10);
    scene.join(WORKER, 1, "q", 0);
    assert_eq!(scene.take(WORKER).len(), 1);
    scene.set_policy(&[("max-in-flight", FieldValue::I64(3))]);
    assert_eq!(scene.take(WORKER).len(), 2);
    scene.set_policy(&[("rate-limit", FieldValue::I64(2)), ("rate-burst", FieldValue::I64(1))]);
    assert_eq!(scene.take(WORKER).len(), 1);
    scene.broker.pass(500);
    assert_eq!(scene.take(WORKER).len(), 1);
    scene.set_policy(&[("message-ttl", FieldValue::I64(60_000))]);
    assert_eq!(scene.take(WORKER).len(), 5);
}

#[derive(Clone, Debug)]
enum Step {
    Publish(u8),
    Join(usize, u16),
    Get(usize),
    Settle(usize, bool),
    Die(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u8..8).prop_map(Step::Publish),
        3 => (0_usize..3, 0_u16..4).prop_map(|(client, prefetch)| Step::Join(client, prefetch)),
        2 => (0_usize..3).prop_map(Step::Get),
        6 => (0_usize..8, any::<bool>()).prop_map(|(which, is_ack)| Step::Settle(which, is_ack)),
        1 => (0_usize..3).prop_map(Step::Die),
        5 => (1_u64..400).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever clients do, no more is in flight than may be, no time sees more deliveries than the rate and
    /// one burst, and nobody who waits with room is passed over once the limits leave room.
    #[test]
    fn no_client_gets_past_the_limits_and_nothing_is_held_back_beyond_them(
        most in prop::option::of(1_i64..6),
        limit in prop::option::of((1_i64..60, 1_i64..5)),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let clients = [WORKER, OTHER, THIRD];
        let mut settings: Vec<_> = most.map(in_flight).into_iter().collect();
        settings.extend(limit.iter().flat_map(|(limit, at_once)| [rate(*limit), burst(*at_once)]));
        settings.push(("x-delivery-limit", FieldValue::I64(-1)));
        let mut scene = Scene::new(&[("q", &settings)]);
        let mut joined = [None; 3];
        let mut held: Vec<(usize, crate::event::Delivery)> = Vec::new();
        let mut delivered_at: Vec<u64> = Vec::new();
        for step in steps {
            match step {
                Step::Publish(count) => scene.publish("q", 0..count),
                Step::Join(client, prefetch) if joined[client].is_none() => {
                    scene.join(clients[client], 1, "q", prefetch);
                    joined[client] = Some(prefetch);
                }
                Step::Get(client) => {
                    if let Some(got) = scene.get(clients[client], 1, "q") {
                        delivered_at.push(scene.broker.now.monotonic.0);
                        held.push((client, got));
                    }
                }
                Step::Settle(which, is_ack) if which < held.len() => {
                    let (client, delivery) = held.remove(which);
                    let requeue = Settlement::Requeue(RequeueMethod::Nack);
                    let settlement = if is_ack { Settlement::Ack } else { requeue };
                    scene.settle(clients[client], 1, "q", settlement, &delivery);
                }
                Step::Die(client) => {
                    held.retain(|(holder, _)| *holder != client);
                    joined[client] = None;
                    scene.close(clients[client], Closure::ByBroker);
                }
                Step::Pass(ms) => scene.broker.pass(ms),
                Step::Join(..) | Step::Settle(..) => {}
            }
            let now = scene.broker.now.monotonic.0;
            for (client, connection) in clients.into_iter().enumerate() {
                let given = scene.take(connection);
                delivered_at.extend(given.iter().map(|_| now));
                held.extend(given.into_iter().map(|delivery| (client, delivery)));
            }
            if let Some(most) = most {
                prop_assert!(held.len() as i64 <= most);
            }
            if let Some((limit, at_once)) = limit {
                for (first, begin) in delivered_at.iter().enumerate() {
                    let passed = (now - begin) * limit as u64 + 1_000 * (at_once as u64 + 1);
                    prop_assert!(((delivered_at.len() - first) as u64) * 1_000 <= passed);
                }
            }
            let has_room = |client: usize| joined[client].is_some_and(|prefetch| {
                let of_client = held.iter().filter(|(holder, _)| *holder == client).count();
                prefetch == 0 || of_client < usize::from(prefetch)
            });
            let waits = scene.ready("q") > 0 && (0..3).any(has_room);
            if waits {
                let reason = held_back(&mut scene);
                let is_full = most.is_some_and(|most| held.len() as i64 >= most);
                prop_assert!(reason.is_some());
                prop_assert_eq!(reason == Some(HeldBack::MaxInFlight), is_full);
            }
        }
    }
}
