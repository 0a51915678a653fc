//! What docs/reference/dead-letters.md promises of clients that die, keep messages on purpose or close in good
//! order: over several queues, channels and connections.

use super::broker::CHANNEL;
use super::scene::{OTHER, PUBLISHER, Scene, THIRD, WORKER, limit, numbers};
use crate::command::Command;
use crate::limits::QUARANTINE_MS_MAX;
use crate::model::Closure;

#[test]
fn messages_on_other_channels_of_a_dying_process_are_company() {
    let mut scene = Scene::new(&[("q", &[])]);
    scene.publish("q", 0..8);
    for _ in 0..3 {
        (1..=8).for_each(|channel| scene.join(WORKER, channel, "q", 1));
        assert_eq!(scene.take(WORKER).len(), 8);
        scene.die(WORKER);
    }
    assert_eq!((scene.ready("q"), scene.dead("q")), (8, 0));
    // Whatever channel it is: the process is given one, and nothing else.
    (1..=8).for_each(|channel| scene.join(WORKER, channel, "q", 1));
    assert_eq!(numbers(&scene.take(WORKER)), [0]);
    scene.die(WORKER);
    assert_eq!((scene.ready("q"), scene.dead("q")), (7, 1));
}

#[test]
fn what_get_handed_out_and_what_other_queues_gave_is_company() {
    let mut scene = Scene::new(&[("a", &[limit(1)]), ("b", &[limit(1)]), ("c", &[limit(1)])]);
    for queue in ["a", "b", "c"] {
        scene.publish(queue, 0..1);
    }
    scene.get(WORKER, 1, "a").unwrap();
    scene.get(WORKER, 2, "b").unwrap();
    scene.join(WORKER, 3, "c", 1);
    assert_eq!(scene.take(WORKER).len(), 1);
    scene.die(WORKER);
    for queue in ["a", "b", "c"] {
        assert_eq!((scene.ready(queue), scene.dead(queue)), (1, 0), "{queue}");
    }
    // Alone, each proves itself.
    scene.get(WORKER, 1, "a").unwrap();
    scene.die(WORKER);
    assert_eq!(scene.dead("a"), 1);
}

#[test]
fn a_batch_by_get_ends_at_a_quarantined_message_and_finds_the_poison() {
    let mut scene = Scene::new(&[("q", &[])]);
    const POISON: u8 = 3;
    scene.publish("q", 0..6);
    let (mut done, mut lives) = (Vec::new(), 0);
    while scene.ready("q") > 0 {
        lives += 1;
        assert!(lives < 20, "the poison goes round for ever; done: {done:?}");
        loop {
            let mut batch = Vec::new();
            while let Some(delivery) = scene.get(WORKER, 1, "q") {
                batch.push(delivery);
            }
            if batch.is_empty() || numbers(&batch).contains(&POISON) {
                break;
            }
            batch.iter().for_each(|delivery| scene.ack(WORKER, 1, "q", delivery));
            done.extend(numbers(&batch));
        }
        scene.die(WORKER);
    }
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2, 4, 5]);
    assert_eq!(scene.dead("q"), 1);
}

#[test]
fn what_is_kept_on_purpose_holds_nothing_up_for_longer_than_it_can_prove_something() {
    let mut scene = Scene::new(&[("q", &[]), ("r", &[])]);
    scene.publish("q", 0..5);
    for _ in 0..3 {
        scene.join(WORKER, 1, "q", 5);
        assert_eq!(scene.take(WORKER).len(), 5);
        scene.die(WORKER);
    }
    let workers = [WORKER, OTHER, THIRD];
    for worker in workers {
        scene.join(worker, 1, "q", 8);
        scene.join(worker, 2, "r", 8);
    }
    scene.publish("q", 10..30);
    scene.publish("r", 50..53);
    let mut got = Vec::new();
    for worker in workers {
        // One each, which it keeps.
        let first = scene.take(worker);
        assert_eq!(first.len(), 1);
        got.extend(numbers(&first));
    }
    assert_eq!((scene.ready("q"), scene.ready("r")), (22, 3));
    scene.broker.pass(QUARANTINE_MS_MAX);
    for _ in 0..10 {
        for worker in workers {
            for delivery in scene.take(worker) {
                let number = delivery.message.body()[0];
                let (channel, queue) = if number < 50 { (1, "q") } else { (2, "r") };
                scene.ack(worker, channel, queue, &delivery);
                got.push(number);
            }
        }
    }
    got.sort_unstable();
    let expected: Vec<u8> = (0..5).chain(10..30).chain(50..53).collect();
    assert_eq!(got, expected);
    assert_eq!(scene.dead("q"), 0);
}

#[test]
fn who_keeps_what_it_has_is_not_waited_for() {
    let mut scene = Scene::new(&[("q", &[limit(1)])]);
    scene.publish("q", 0..1);
    scene.join(OTHER, 1, "q", 10);
    assert_eq!(scene.take(OTHER).len(), 1);
    scene.publish("q", 1..3);
    assert_eq!(scene.take(OTHER).len(), 2);
    // A process dies with two messages; the other one keeps three, and goes on keeping them.
    scene.publish("q", 3..4);
    scene.take(OTHER);
    scene
        .broker
        .send(OTHER, [Command::Cancel { channel: CHANNEL, consumer_tag: "q".try_into().unwrap() }]);
    scene.publish("q", 4..6);
    scene.join(WORKER, 1, "q", 10);
    assert_eq!(numbers(&scene.take(WORKER)), [4, 5]);
    scene.join(OTHER, 2, "q", 10);
    scene.die(WORKER);
    assert!(scene.take(OTHER).is_empty());
    scene.publish("q", 6..7);
    scene.broker.pass(QUARANTINE_MS_MAX);
    let mut got = numbers(&scene.take(OTHER));
    got.sort_unstable();
    assert_eq!(got, [4, 5, 6]);
}

#[test]
fn among_those_who_keep_messages_a_poison_is_found_by_the_one_that_starts_again() {
    let mut scene = Scene::new(&[("q", &[])]);
    // 0 and 1 are kept by whoever has them; 2 kills.
    scene.publish("q", 0..3);
    for life in 0..10 {
        if scene.dead("q") > 0 {
            assert!(life > 2);
            assert_eq!(scene.ready("q") + scene.broker.statistics("q").unacked, 2);
            return;
        }
        scene.join(WORKER, 1, "q", 10);
        for _ in 0..8 {
            if numbers(&scene.take(WORKER)).contains(&2) {
                break;
            }
            scene.broker.pass(QUARANTINE_MS_MAX);
        }
        scene.die(WORKER);
    }
    panic!("the poison goes round for ever");
}

#[test]
fn deployments_condemn_nothing_and_their_count_survives_restarts() {
    let everybody = [PUBLISHER, WORKER, OTHER, THIRD];
    for by_channel in [false, true] {
        let mut scene = Scene::new(&[("q", &[])]);
        scene.publish("q", 0..4);
        for returns in 0..6 {
            scene.join(WORKER, 1, "q", 10);
            let held = scene.take(WORKER);
            assert_eq!(numbers(&held), [0, 1, 2, 3]);
            assert!(held.iter().all(|held| (held.failures, held.returns) == (0, returns)));
            let consumer_tag = "q".try_into().unwrap();
            scene.broker.send(WORKER, [Command::Cancel { channel: CHANNEL, consumer_tag }]);
            if by_channel {
                let (channel, closure) = (CHANNEL, Closure::ByClient);
                scene.broker.send(WORKER, [Command::CloseChannel { channel, closure }]);
                scene.broker.take_events(WORKER);
            } else {
                scene.close(WORKER, Closure::ByClient);
            }
            assert_eq!(scene.broker.statistics("q").returned, u64::from(returns + 1) * 4);
        }
        scene.broker.restart(&everybody);
        scene.broker.crash();
        everybody.iter().for_each(|connection| scene.broker.open(*connection));
        scene.join(WORKER, 1, "q", 10);
        let held = scene.take(WORKER);
        assert_eq!(held.len(), 4);
        assert!(held.iter().all(|held| (held.failures, held.returns) == (0, 6)));
        assert_eq!(scene.dead("q"), 0);
    }
}

#[test]
fn the_twentieth_return_makes_a_dead_letter_where_there_is_a_delivery_limit() {
    for (limit, expected) in [(1, Some(20)), (3, Some(20)), (25, Some(25)), (-1, None)] {
        let mut scene = Scene::new(&[("q", &[self::limit(limit)])]);
        scene.publish("q", 0..1);
        scene.join(WORKER, 1, "q", 10);
        let mut returns = 0;
        while scene.dead("q") == 0 && returns < 30 {
            scene.close(WORKER, Closure::ByClient);
            returns += 1;
            scene.join(WORKER, 1, "q", 10);
        }
        assert_eq!((scene.dead("q") > 0).then_some(returns), expected, "limit {limit}");
    }
}

#[test]
fn what_the_broker_ends_says_nothing() {
    let mut scene = Scene::new(&[("q", &[limit(1)])]);
    scene.publish("q", 0..2);
    for _ in 0..30 {
        scene.join(WORKER, 1, "q", 10);
        let held = scene.take(WORKER);
        assert!(held.iter().all(|delivery| (delivery.failures, delivery.returns) == (0, 0)));
        assert_eq!(numbers(&held), [0, 1]);
        scene.close(WORKER, Closure::ByBroker);
    }
}
