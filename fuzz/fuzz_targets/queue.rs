//! Any operations on queues: publishes, consumers, settlements, time, commits, crashes. What was
//! published is there or was settled, and the figures agree.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
#[allow(dead_code, reason = "each program uses a part of it")]
#[path = "broker.rs"]
mod broker;

#[cfg(not(fuzzing))]
use crate::broker;
use broker::Broker;
use bytes::{Bytes, BytesMut};
use forebay_engine::command::{Command, Publish, Subscribe};
use forebay_engine::event::{Event, Reply};
use forebay_engine::model::{
    ChannelId, ClientIdentity, Closure, ConnectionId, ConsumerNumber, Envelope, Message,
    OffsetRange, Position, PublishSeq, QueueDeclaration, QueueId, RequeueMethod, Settle,
    Settlement, TopologyRequest,
};
use forebay_wire::{FieldTable, FieldValue, Properties, ShortStr};
use std::collections::VecDeque;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

const CHANNEL: ChannelId = ChannelId(1);
const CONNECTIONS: u64 = 3;
const NAMES: [&str; 3] = ["plain", "bounded", "graves"];

struct Model {
    broker: Broker,
    queues: Vec<QueueId>,
    held: VecDeque<(ConnectionId, QueueId, Position)>,
    sequence: u64,
    consumers: u64,
}

/// # Panics
/// When a promise is broken.
pub fn run(bytes: &[u8]) {
    let (arguments, steps) = bytes.split_at(bytes.len().min(4));
    let mut model = Model::new(arguments);
    for step in steps.chunks_exact(3) {
        model.step(step[0], step[1], step[2]);
    }
    model.finish();
}

fn name(text: &str) -> ShortStr {
    ShortStr::try_from(text).expect("a short name")
}

impl Model {
    fn new(arguments: &[u8]) -> Self {
        let mut broker = Broker::new();
        open_all(&mut broker);
        let mut table = FieldTable::new();
        let names = ["x-max-length", "x-message-ttl", "x-consumer-timeout", "x-max-priority"];
        for (name, value) in names.into_iter().zip(arguments) {
            if !value.is_multiple_of(4) {
                table.insert(ShortStr::from_static(name), FieldValue::I32(i32::from(*value)));
            }
        }
        table.insert(name("x-dead-letter-exchange"), FieldValue::LongStr(Bytes::new()));
        let graves = FieldValue::LongStr(Bytes::from_static(b"graves"));
        table.insert(name("x-dead-letter-routing-key"), graves);
        for queue in NAMES {
            let arguments = if queue == "bounded" { table.clone() } else { FieldTable::new() };
            let request = TopologyRequest::DeclareQueue(QueueDeclaration {
                name: name(queue).into(),
                durable: true,
                arguments,
                ..QueueDeclaration::default()
            });
            let command = Command::Topology { channel: CHANNEL, request, nowait: false };
            broker.send(ConnectionId(1), vec![command]);
        }
        broker.settle();
        let queues = broker.shard.statistics().queues.iter().map(|queue| queue.record.id).collect();
        Self { broker, queues, held: VecDeque::new(), sequence: 0, consumers: 0 }
    }

    fn step(&mut self, kind: u8, which: u8, amount: u8) {
        let connection = ConnectionId(1 + u64::from(which) % CONNECTIONS);
        let place = usize::from(which / 4) % NAMES.len();
        let command = match kind % 14 {
            0..=2 => self.publish(place, amount),
            3 => self.subscribe(place, amount),
            4 => Command::Get {
                channel: CHANNEL,
                queue: name(NAMES[place]).into(),
                no_ack: amount > 200,
            },
            5..=7 => {
                let requeue = Settlement::Requeue(RequeueMethod::Nack);
                let kinds = [Settlement::Ack, Settlement::Reject, requeue];
                return self.settle(kinds[usize::from(kind % 14) - 5], which, amount);
            }
            8 => Command::SetPrefetch { channel: CHANNEL, count: u16::from(amount % 5) },
            9 => {
                self.held.retain(|(holder, ..)| *holder != connection);
                let endings = [Closure::ByClient, Closure::Failed, Closure::ByBroker];
                let closure = endings[usize::from(amount) % endings.len()];
                Command::CloseChannel { channel: CHANNEL, closure }
            }
            10 => return self.broker.commit(),
            11 => return self.broker.pass(u64::from(amount) * 3),
            12 if amount > 200 => return self.crash(usize::from(which % 4)),
            12 => {
                let request = TopologyRequest::PurgeQueue { name: name(NAMES[place]).into() };
                Command::Topology { channel: CHANNEL, request, nowait: false }
            }
            _ => Command::DeliveriesWritten { bytes: usize::from(amount) * 64 },
        };
        self.broker.send(connection, vec![command]);
        self.take_events();
    }

    fn publish(&mut self, place: usize, amount: u8) -> Command {
        let properties = Properties {
            delivery_mode: Some(1 + u8::from(!amount.is_multiple_of(5))),
            priority: Some(amount % 7),
            ..Properties::default()
        };
        let (exchange, routing_key, properties) =
            (ShortStr::EMPTY, name(NAMES[place]), properties.encode());
        let message = || {
            let envelope = Envelope {
                exchange: &exchange,
                routing_key: &routing_key,
                properties: &properties,
                published_at: self.broker.now.wall,
                expiration: amount.is_multiple_of(11).then_some(u64::from(amount)),
            };
            let size = if amount == 255 { 300_000 } else { usize::from(amount) };
            Message::new(envelope, vec![amount; size].into(), &mut BytesMut::new())
        };
        let messages: Vec<Message> = (0..=amount % 4).map(|_| message()).collect();
        let confirm = amount.is_multiple_of(2).then_some(PublishSeq(self.sequence + 1));
        self.sequence += messages.len() as u64;
        let targets = [self.queues[place]].into();
        Command::Publish(Publish { channel: CHANNEL, confirm, targets, messages })
    }

    fn subscribe(&mut self, place: usize, amount: u8) -> Command {
        self.consumers += 1;
        Command::Subscribe(Subscribe {
            channel: CHANNEL,
            queue: name(NAMES[place]).into(),
            consumer_tag: name(&self.consumers.to_string()),
            number: ConsumerNumber(self.consumers),
            no_ack: amount > 220,
            exclusive: false,
            prefetch: u16::from(amount % 4),
            arguments: FieldTable::new(),
        })
    }

    fn settle(&mut self, settlement: Settlement, which: u8, amount: u8) {
        if self.held.is_empty() {
            return;
        }
        let place = usize::from(which) % self.held.len();
        let (connection, queue, position) = self.held[place];
        // Now and then more than the channel holds: that is passed over.
        let last = forebay_engine::model::Offset(position.offset.0 + u64::from(amount > 240) * 3);
        self.held.remove(place);
        let runs = vec![OffsetRange { level: position.level, first: position.offset, last }];
        let settle = Settle { channel: CHANNEL, queue, settlement, runs };
        self.broker.send(connection, vec![Command::Settle(settle)]);
        self.take_events();
    }

    fn crash(&mut self, survivors: usize) {
        self.broker.crash(survivors);
        self.held.clear();
        open_all(&mut self.broker);
        self.take_events();
    }

    fn take_events(&mut self) {
        for (connection, event) in std::mem::take(&mut self.broker.events) {
            match event {
                Event::Deliver { queue, no_ack: false, deliveries, .. } => {
                    let positions = deliveries.iter().map(|delivery| delivery.position);
                    self.held.extend(positions.map(|position| (connection, queue, position)));
                }
                Event::Reply { reply: Ok(Reply::Got { queue, delivery, .. }), .. } => {
                    self.held.push_back((connection, queue, delivery.position));
                }
                _ => {}
            }
        }
    }

    /// After all clients are gone every queue can be emptied, and is empty then.
    fn finish(mut self) {
        for number in 1..=CONNECTIONS {
            self.broker.send(
                ConnectionId(number),
                vec![Command::CloseConnection { closure: Closure::Failed }],
            );
        }
        self.broker.settle();
        let before: u64 = self.ready();
        self.broker.crash(usize::MAX);
        assert!(self.ready() <= before, "a restart makes messages");
        open_all(&mut self.broker);
        for queue in self.broker.shard.statistics().queues {
            assert_eq!((queue.statistics.unacked, queue.statistics.missing), (0, 0));
            let request = TopologyRequest::PurgeQueue { name: queue.record.name.clone().into() };
            let purge = Command::Topology { channel: CHANNEL, request, nowait: false };
            self.broker.send(ConnectionId(1), vec![purge]);
        }
        self.broker.settle();
        for queue in self.broker.shard.statistics().queues {
            assert_eq!((queue.statistics.ready, queue.statistics.bytes), (0, 0));
        }
    }

    fn ready(&self) -> u64 {
        let queues = self.broker.shard.statistics().queues;
        queues.iter().map(|queue| queue.statistics.ready).sum()
    }
}

fn open_all(broker: &mut Broker) {
    for number in 1..=CONNECTIONS {
        let (vhost, identity) = (name("/"), ClientIdentity::of(name("guest")));
        broker.send(ConnectionId(number), vec![Command::OpenConnection { vhost, identity }]);
    }
}
