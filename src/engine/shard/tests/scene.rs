//! Three processes beside a publisher, and what they do: for tests of what becomes of messages when
//! processes die, hang, or keep what they have.

use super::broker::{Broker, CHANNEL, arguments, consume, message, publish, settle};
use crate::administration::Administration;
use crate::command::{Command, Subscribe};
use crate::event::{Delivery, Reply};
use crate::model::{ChannelId, Closure, ConnectionId, Fault, QueueId, Settle, Settlement};
use crate::topology::{Pause, Policy, PolicyOwner, PolicyRequest};
use forebay_wire::{FieldValue, ShortStr};

pub(super) const PUBLISHER: ConnectionId = ConnectionId(1);
pub(super) const WORKER: ConnectionId = ConnectionId(2);
pub(super) const OTHER: ConnectionId = ConnectionId(3);
pub(super) const THIRD: ConnectionId = ConnectionId(4);

pub(super) struct Scene {
    pub(super) broker: Broker,
}

impl Scene {
    pub(super) fn new(queues: &[(&str, &[(&str, FieldValue)])]) -> Self {
        let mut broker = Broker::new();
        for connection in [PUBLISHER, WORKER, OTHER, THIRD] {
            broker.open(connection);
        }
        for (name, entries) in queues {
            broker.declare(name, true, arguments(entries));
        }
        Self { broker }
    }

    pub(super) fn id(&self, queue: &str) -> QueueId {
        self.broker.queue(queue)
    }

    pub(super) fn publish(&mut self, queue: &str, numbers: std::ops::Range<u8>) {
        let messages = numbers.map(|number| message(vec![number], true)).collect();
        let command = publish(self.id(queue), messages, None);
        self.broker.send(PUBLISHER, [command]);
    }

    pub(super) fn join(
        &mut self,
        connection: ConnectionId,
        channel: u16,
        queue: &str,
        prefetch: u16,
    ) {
        let channel = ChannelId(channel);
        let subscribe = Subscribe { channel, ..consume(queue, queue, prefetch) };
        self.broker.subscribe(connection, subscribe);
        self.broker.reply(connection).unwrap();
    }

    pub(super) fn get(
        &mut self,
        connection: ConnectionId,
        channel: u16,
        queue: &str,
    ) -> Option<Delivery> {
        let queue = queue.try_into().unwrap();
        let get = Command::Get { channel: ChannelId(channel), queue, no_ack: false };
        self.broker.send(connection, [get]);
        match self.broker.reply(connection).unwrap() {
            Reply::Got { delivery, .. } => Some(delivery),
            _ => None,
        }
    }

    /// The consumer of a queue is cancelled.
    pub(super) fn leave(&mut self, connection: ConnectionId, channel: u16, queue: &str) {
        let (channel, consumer_tag) = (ChannelId(channel), queue.try_into().unwrap());
        self.broker.send(connection, [Command::Cancel { channel, consumer_tag }]);
        self.broker.reply(connection).unwrap();
    }

    pub(super) fn take(&mut self, connection: ConnectionId) -> Vec<Delivery> {
        self.broker.deliveries(connection)
    }

    pub(super) fn settle(
        &mut self,
        connection: ConnectionId,
        channel: u16,
        queue: &str,
        settlement: Settlement,
        delivery: &Delivery,
    ) {
        let command = settle(self.id(queue), settlement, &[delivery]);
        let Command::Settle(settle) = command else { unreachable!() };
        let settle = Settle { channel: ChannelId(channel), ..settle };
        self.broker.send(connection, [Command::Settle(settle)]);
    }

    pub(super) fn ack(
        &mut self,
        connection: ConnectionId,
        channel: u16,
        queue: &str,
        delivery: &Delivery,
    ) {
        self.settle(connection, channel, queue, Settlement::Ack, delivery);
    }

    pub(super) fn close(&mut self, connection: ConnectionId, closure: Closure) {
        self.broker.send(connection, [Command::CloseConnection { closure }]);
        self.broker.take_events(connection);
        self.broker.open(connection);
    }

    pub(super) fn die(&mut self, connection: ConnectionId) {
        self.close(connection, Closure::Failed);
    }

    /// Dead letters of a queue.
    pub(super) fn dead(&self, queue: &str) -> u64 {
        let name = format!("{queue}.dlq");
        let reports = self.broker.shard.statistics().queues;
        let dead = reports.into_iter().find(|report| report.record.name == name.as_str());
        dead.map_or(0, |dead| dead.statistics.ready)
    }

    pub(super) fn set_policy(&mut self, entries: &[(&str, FieldValue)]) {
        let (name, definition) = (ShortStr::from_static("p"), arguments(entries));
        let request = PolicyRequest {
            name: &name,
            pattern: "^q$",
            apply_to: "queues",
            definition: &definition,
            priority: 0,
        };
        let policy = Box::new(Policy::new(PolicyOwner::User, request).unwrap());
        let set = Administration::SetPolicy { vhost: ShortStr::from_static("/"), policy };
        let command = Command::Administer { channel: CHANNEL, request: Box::new(set) };
        self.broker.send(PUBLISHER, [command]);
        self.broker.commit();
        self.broker.reply(PUBLISHER).unwrap();
    }

    /// Pauses a queue, or resumes it.
    pub(super) fn set_pause(&mut self, queue: &str, is: bool) -> Result<(), Fault> {
        let by = ShortStr::from_static("operator");
        let pause = is.then(|| Pause { since: self.broker.now.wall, by });
        let (vhost, queue) = (ShortStr::from_static("/"), queue.try_into().unwrap());
        let request = Box::new(Administration::SetPause { vhost, queue, pause });
        self.broker.send(PUBLISHER, [Command::Administer { channel: CHANNEL, request }]);
        self.broker.commit();
        self.broker.reply(PUBLISHER).map(drop)
    }

    pub(super) fn ready(&self, queue: &str) -> u64 {
        self.broker.statistics(queue).ready
    }
}

pub(super) fn numbers(deliveries: &[Delivery]) -> Vec<u8> {
    deliveries.iter().map(|delivery| delivery.message.body()[0]).collect()
}

pub(super) fn limit(limit: i32) -> (&'static str, FieldValue) {
    ("x-delivery-limit", FieldValue::I32(limit))
}

pub(super) fn timeout(milliseconds: i32) -> (&'static str, FieldValue) {
    ("x-consumer-timeout", FieldValue::I32(milliseconds))
}

pub(super) const SINGLE: (&str, FieldValue) = ("x-single-active-consumer", FieldValue::Bool(true));
