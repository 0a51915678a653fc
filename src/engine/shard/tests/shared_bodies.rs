//! A large body that several queues get has one name, under which a store writes it once.

use super::broker::{Broker, CHANNEL, CONNECTION, message, settle};
use crate::command::{Command, Publish};
use crate::limits::BODY_OWN_SIZE_MAX;
use crate::model::{BodyId, Message, QueueId, Settlement};
use forebay_wire::FieldTable;

const LARGE: usize = BODY_OWN_SIZE_MAX + 1;

fn broker(queues: &[&str]) -> (Broker, Vec<QueueId>) {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queues = queues.iter().map(|name| broker.declare(name, true, FieldTable::new()));
    let queues = queues.collect();
    (broker, queues)
}

fn publish(broker: &mut Broker, targets: &[QueueId], message: Message) {
    let targets = targets.into();
    let publish = Publish { channel: CHANNEL, confirm: None, targets, messages: vec![message] };
    broker.send(CONNECTION, [Command::Publish(publish)]);
    broker.commit();
}

/// The names of the bodies in the stored pages of a queue.
fn bodies(broker: &Broker, queue: QueueId) -> Vec<Option<BodyId>> {
    broker.store.messages(queue).iter().map(Message::shared_body).collect()
}

#[test]
fn a_large_body_has_one_name_in_all_queues() {
    let (mut broker, queues) = broker(&["a", "b", "c"]);
    publish(&mut broker, &queues, message(vec![1; LARGE], true));
    publish(&mut broker, &queues, message(vec![2; LARGE], true));
    let names = bodies(&broker, queues[0]);
    assert!(names[0].is_some() && names[1].is_some() && names[0] != names[1], "{names:?}");
    for queue in queues {
        assert_eq!(bodies(&broker, queue), names);
    }
}

#[test]
fn a_small_body_and_one_of_a_single_queue_stay_with_the_message() {
    let (mut broker, queues) = broker(&["a", "b"]);
    publish(&mut broker, &queues, message(vec![1; BODY_OWN_SIZE_MAX], true));
    publish(&mut broker, &queues[..1], message(vec![2; LARGE], true));
    assert_eq!(bodies(&broker, queues[0]), [None, None]);
    assert_eq!(bodies(&broker, queues[1]), [None]);
}

#[test]
fn a_dead_letter_keeps_the_name_and_a_restart_gives_new_ones() {
    let (mut broker, queues) = broker(&["a", "b"]);
    publish(&mut broker, &queues, message(vec![1; LARGE], true));
    let names = bodies(&broker, queues[1]);
    let get = Command::Get { channel: CHANNEL, queue: "a".try_into().unwrap(), no_ack: false };
    broker.send(CONNECTION, [get]);
    let delivery = broker.deliveries(CONNECTION).pop().unwrap();
    let reject = settle(queues[0], Settlement::Reject, &[&delivery]);
    broker.send(CONNECTION, [reject]);
    broker.commit();
    let dead = broker.queue("a.dlq");
    assert_eq!(bodies(&broker, dead), names);
    broker.crash();
    broker.open(CONNECTION);
    publish(&mut broker, &queues, message(vec![2; LARGE], true));
    let after = bodies(&broker, queues[1]);
    assert_eq!(after[0], names[0]);
    assert!(after[1].is_some() && after[1] != names[0], "{after:?}");
}
