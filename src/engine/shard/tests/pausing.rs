//! A queue that an operator has paused delivers nothing, and everything else goes on.

use super::broker::CHANNEL;
use super::scene::{OTHER, PUBLISHER, Scene, THIRD, WORKER, numbers, timeout};
use crate::command::Command;
use crate::event::Reply;
use crate::model::{QueueDeclaration, RequeueMethod, Settlement, TopologyRequest};
use crate::queue::HeldBack;
use forebay_wire::{FieldValue, ReplyCode};

const NACK: Settlement = Settlement::Requeue(RequeueMethod::Nack);

fn held_back(scene: &mut Scene) -> Option<HeldBack> {
    let report = scene.broker.report();
    let queue = report.queues.iter().find(|report| report.record.name == "q").unwrap();
    queue.statistics.held_back
}

#[test]
fn a_paused_queue_delivers_nothing_and_goes_on_where_it_stopped() {
    let mut scene = Scene::new(&[("q", &[])]);
    scene.join(WORKER, 1, "q", 2);
    scene.publish("q", 0..5);
    let held = scene.take(WORKER);
    assert_eq!(numbers(&held), [0, 1]);
    scene.set_pause("q", true).unwrap();
    assert_eq!(held_back(&mut scene), None, "the consumer has no room anyway");
    scene.ack(WORKER, 1, "q", &held[0]);
    scene.settle(WORKER, 1, "q", NACK, &held[1]);
    scene.publish("q", 5..7);
    scene.join(OTHER, 1, "q", 0);
    assert!(scene.take(WORKER).is_empty() && scene.take(OTHER).is_empty());
    assert!(scene.get(THIRD, 1, "q").is_none());
    assert_eq!((scene.ready("q"), held_back(&mut scene)), (6, Some(HeldBack::Paused)));
    scene.set_pause("q", false).unwrap();
    let mut given = [numbers(&scene.take(WORKER)), numbers(&scene.take(OTHER))].concat();
    given.sort_unstable();
    assert_eq!(given, [1, 2, 3, 4, 5, 6]);
    assert_eq!(held_back(&mut scene), None);
}

#[test]
fn an_operator_sees_the_messages_of_a_paused_queue() {
    let mut scene = Scene::new(&[("q", &[])]);
    scene.publish("q", 0..1);
    scene.set_pause("q", true).unwrap();
    let inspect = Command::Inspect { channel: CHANNEL, queue: "q".try_into().unwrap() };
    scene.broker.send(THIRD, [inspect]);
    assert!(matches!(scene.broker.reply(THIRD), Ok(Reply::Got { .. })));
}

#[test]
fn messages_expire_and_give_way_while_the_queue_is_paused() {
    let settings = [("x-message-ttl", FieldValue::I64(100)), ("x-max-length", FieldValue::I64(2))];
    let mut scene = Scene::new(&[("q", &settings)]);
    scene.join(WORKER, 1, "q", 0);
    scene.set_pause("q", true).unwrap();
    scene.publish("q", 0..3);
    assert_eq!(scene.ready("q"), 2);
    scene.broker.pass(100);
    assert_eq!(scene.ready("q"), 0);
    let statistics = scene.broker.statistics("q");
    assert_eq!((statistics.overflowed, statistics.expired), (1, 2));
    assert!(scene.take(WORKER).is_empty());
}

#[test]
fn who_holds_a_message_for_too_long_loses_it_while_the_queue_is_paused() {
    let mut scene = Scene::new(&[("q", &[timeout(1_000)])]);
    scene.join(WORKER, 1, "q", 0);
    scene.publish("q", 0..1);
    assert_eq!(scene.take(WORKER).len(), 1);
    scene.set_pause("q", true).unwrap();
    scene.broker.pass(1_000);
    scene.join(OTHER, 1, "q", 0);
    assert!(scene.take(OTHER).is_empty());
    assert_eq!(scene.ready("q"), 1);
    scene.set_pause("q", false).unwrap();
    assert_eq!(numbers(&scene.take(OTHER)), [0]);
}

#[test]
fn a_pause_is_there_after_a_crash_and_so_is_its_end() {
    let mut scene = Scene::new(&[("q", &[])]);
    scene.publish("q", 0..1);
    scene.set_pause("q", true).unwrap();
    let reconnect = |scene: &mut Scene| {
        scene.broker.crash();
        [PUBLISHER, WORKER].into_iter().for_each(|connection| scene.broker.open(connection));
        scene.join(WORKER, 1, "q", 0);
    };
    reconnect(&mut scene);
    assert!(scene.take(WORKER).is_empty());
    scene.set_pause("q", false).unwrap();
    assert_eq!(numbers(&scene.take(WORKER)), [0]);
    reconnect(&mut scene);
    assert_eq!(numbers(&scene.take(WORKER)), [0]);
}

#[test]
fn a_pause_says_since_when_and_by_whom_and_a_second_one_changes_nothing() {
    let mut scene = Scene::new(&[("q", &[])]);
    let paused = |scene: &Scene| {
        let topology = scene.broker.shard.topology();
        let queue = topology.queue_by_id(scene.id("q")).unwrap();
        queue.pause.as_ref().map(|pause| (pause.since, pause.by.to_string()))
    };
    assert_eq!(paused(&scene), None);
    let began = scene.broker.now.wall;
    let version = scene.broker.shard.snapshot();
    scene.set_pause("q", true).unwrap();
    assert!(scene.broker.shard.has_changed_since(&version), "the catalogue tells of it");
    scene.broker.pass(1_000);
    scene.set_pause("q", true).unwrap();
    assert_eq!(paused(&scene), Some((began, "operator".to_owned())));
    scene.set_pause("q", false).unwrap();
    scene.set_pause("q", false).unwrap();
    assert_eq!(paused(&scene), None);
}

#[test]
fn a_queue_that_is_declared_anew_is_not_paused_and_one_that_is_there_stays_so() {
    let mut scene = Scene::new(&[("q", &[])]);
    scene.set_pause("q", true).unwrap();
    let declare = TopologyRequest::DeclareQueue(QueueDeclaration {
        name: "q".try_into().unwrap(),
        durable: true,
        ..QueueDeclaration::default()
    });
    scene.broker.ask(declare).unwrap();
    scene.publish("q", 0..1);
    assert!(scene.get(WORKER, 1, "q").is_none());
    scene.broker.delete("q");
    scene.broker.declare("q", true, Default::default());
    scene.publish("q", 0..1);
    assert!(scene.get(WORKER, 1, "q").is_some());
}

#[test]
fn a_queue_that_is_not_there_or_is_somebody_s_own_can_t_be_paused() {
    let mut scene = Scene::new(&[("q", &[])]);
    let fault = scene.set_pause("none", true).unwrap_err();
    assert_eq!(
        (fault.code, fault.text.as_str()),
        (ReplyCode::NotFound, "no queue 'none' in vhost '/'")
    );
    let declare = TopologyRequest::DeclareQueue(QueueDeclaration {
        name: "own".try_into().unwrap(),
        exclusive: true,
        ..QueueDeclaration::default()
    });
    scene.broker.ask(declare).unwrap();
    assert_eq!(scene.set_pause("own", true).unwrap_err().code, ReplyCode::ResourceLocked);
}
