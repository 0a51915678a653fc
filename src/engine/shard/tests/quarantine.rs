//! Messages that are to be delivered alone, because one of them may kill its consumer: what they
//! hold up, and what not.

use super::broker::{Broker, CHANNEL, CONNECTION, arguments, consume, message, publish, settle};
use crate::command::Command;
use crate::event::Delivery;
use crate::model::{Closure, ConnectionId, QueueId, Settlement};
use forebay_wire::FieldValue;

const DOOMED: ConnectionId = ConnectionId(2);
const FIRST: ConnectionId = ConnectionId(3);
const SECOND: ConnectionId = ConnectionId(4);

struct Scene {
    broker: Broker,
    queue: QueueId,
}

impl Scene {
    fn new(entries: &[(&str, FieldValue)]) -> Self {
        let mut broker = Broker::new();
        for connection in [CONNECTION, DOOMED, FIRST, SECOND] {
            broker.open(connection);
        }
        let limit = [("x-delivery-limit", FieldValue::I32(1))];
        let queue = broker.declare("q", true, arguments(&[entries, &limit].concat()));
        Self { broker, queue }
    }

    /// Subscribes with room for two messages.
    fn join(&mut self, connection: ConnectionId) {
        self.broker.subscribe(connection, consume("q", "c", 2));
        self.broker.reply(connection).unwrap();
    }

    fn publish(&mut self, numbers: std::ops::Range<u8>) {
        let messages = numbers.map(|number| message(vec![number], true)).collect();
        self.broker.send(CONNECTION, [publish(self.queue, messages, None)]);
    }

    /// What a connection has been sent since the last look.
    fn take(&mut self, connection: ConnectionId) -> Vec<Delivery> {
        self.broker.deliveries(connection)
    }

    fn ack(&mut self, connection: ConnectionId, delivery: &Delivery) {
        self.broker.send(connection, [settle(self.queue, Settlement::Ack, &[delivery])]);
    }

    fn die(&mut self, connection: ConnectionId) {
        self.broker.send(connection, [Command::CloseConnection { closure: Closure::Failed }]);
        self.broker.reply(connection).unwrap();
    }

    /// Two workers are busy with 0 to 3; a third one died with 4 and 5, of which one may be poison.
    fn with_two_busy_and_two_quarantined(
        entries: &[(&str, FieldValue)],
    ) -> (Self, [Vec<Delivery>; 2]) {
        let mut scene = Self::new(entries);
        scene.join(FIRST);
        scene.publish(0..2);
        scene.join(SECOND);
        scene.publish(2..4);
        scene.join(DOOMED);
        scene.publish(4..6);
        assert_eq!(numbers(&scene.take(DOOMED)), [4, 5]);
        scene.die(DOOMED);
        let held = [FIRST, SECOND].map(|connection| scene.take(connection));
        (scene, held)
    }
}

fn numbers(deliveries: &[Delivery]) -> Vec<u8> {
    deliveries.iter().map(|delivery| delivery.message.body()[0]).collect()
}

#[test]
fn quarantined_messages_wait_for_one_connection_and_the_others_go_on() {
    let (mut scene, [first, second]) = Scene::with_two_busy_and_two_quarantined(&[]);
    scene.publish(6..9);
    // The one that holds least is drained: it gets nothing until it is empty.
    scene.ack(FIRST, &first[0]);
    assert!(scene.take(FIRST).is_empty());
    scene.ack(SECOND, &second[0]);
    scene.ack(SECOND, &second[1]);
    assert_eq!(numbers(&scene.take(SECOND)), [6, 7]);
    scene.ack(FIRST, &first[1]);
    let alone = scene.take(FIRST);
    assert_eq!(numbers(&alone), [4]);
    assert!(alone[0].redelivered);
    // It dies of it; the message is condemned, its neighbour is not.
    scene.die(FIRST);
    assert_eq!(scene.broker.statistics("q.dlq").ready, 1);
    assert_eq!(scene.broker.statistics("q").ready, 2);
    // Nobody else is left: the quarantined one comes first, then the rest.
    scene
        .broker
        .send(SECOND, [Command::CloseChannel { channel: CHANNEL, closure: Closure::ByClient }]);
    scene.broker.reply(SECOND).unwrap();
    scene.join(SECOND);
    assert_eq!(numbers(&scene.take(SECOND)), [5]);
}

#[test]
fn a_quarantined_message_does_not_wait_for_a_consumer_that_hangs() {
    let timeout = [("x-consumer-timeout", FieldValue::I32(1000))];
    let (mut scene, [first, mut held]) = Scene::with_two_busy_and_two_quarantined(&timeout);
    scene.publish(6..20);
    scene.ack(FIRST, &first[0]);
    // It is drained and hangs; the second goes on, and is never empty.
    for _ in 0..3 {
        scene.broker.pass(400);
        scene.ack(SECOND, &held.remove(0));
        held.extend(scene.take(SECOND));
    }
    assert_eq!(scene.broker.statistics("q").timed_out, 1);
    // Time is up for the first: now the second is to become empty, and gets one.
    assert_eq!(numbers(&held), [7]);
    scene.ack(SECOND, &held[0]);
    assert_eq!(numbers(&scene.take(SECOND)), [4]);
    assert!(scene.take(FIRST).is_empty());
}

#[test]
fn a_single_active_consumer_gets_quarantined_messages_in_their_order() {
    let mut scene = Scene::new(&[("x-single-active-consumer", FieldValue::Bool(true))]);
    scene.join(DOOMED);
    scene.publish(0..4);
    scene.die(DOOMED);
    scene.join(FIRST);
    for expected in [[0], [1]] {
        let delivery = scene.take(FIRST).pop().unwrap();
        assert_eq!(numbers(std::slice::from_ref(&delivery)), expected);
        scene.ack(FIRST, &delivery);
    }
    assert_eq!(numbers(&scene.take(FIRST)), [2, 3]);
}

#[test]
fn what_was_purged_is_not_quarantined() {
    let (mut scene, [first, second]) = Scene::with_two_busy_and_two_quarantined(&[]);
    let request = crate::model::TopologyRequest::PurgeQueue { name: "q".try_into().unwrap() };
    scene.broker.ask(request).unwrap();
    scene.publish(6..9);
    scene.ack(FIRST, &first[0]);
    scene.ack(SECOND, &second[0]);
    assert_eq!(numbers(&scene.take(FIRST)), [6]);
    assert_eq!(numbers(&scene.take(SECOND)), [7]);
}
