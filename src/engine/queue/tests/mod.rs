//! A queue by itself: what a client relies on, asked of a [`Queue`] and the credit of its clients, without
//! a shard, topology or store.

mod delivery;
mod departure;
mod groups;
mod level;
mod retry;
mod stored;

use super::delivery_pass::DeliveryPass;
use super::{
    ChannelEnding, Consumer, DeadLetter, DeadLetters, Instants, PendingGet, Queue, Rules,
    SteadyClock, Timings,
};
use crate::credit::{ChannelSlot, Clients, ConsumerId, Outbox, WorkLimits};
use crate::event::{Delivery, Event, Reply};
use crate::model::{
    ChannelId, ChannelKey, ClientIdentity, ConnectionId, Envelope, Message, Monotonic, Now,
    OffsetRange, QueueId, Settle, Settlement, WallClock,
};
use crate::topology::Overflow;
use bytes::BytesMut;
use forebay_wire::ShortStr;
use forebay_wire::properties::Properties;

const QUEUE: QueueId = QueueId(5);
const CHANNEL: ChannelId = ChannelId(1);
/// When messages are published, unless the time has passed since.
const START: u64 = 1_000_000;

/// A durable queue without limits, whose dead letters go somewhere.
fn rules() -> Rules {
    Rules {
        paused: false,
        durable: true,
        single_active: false,
        priority_max: 9,
        dead_letters: DeadLetters::Exchange,
        has_dead_letter_queue: false,
        delivery_limit: None,
        message_ttl: None,
        length_max: None,
        length_bytes_max: None,
        overflow: Overflow::DropHead,
        consumer_timeout: None,
        expires: None,
        retry: None,
        max_in_flight: None,
        rate_limit: None,
        dedup: None,
        group: None,
        trace: None,
    }
}

/// A queue, its clients, and what it gave them.
struct Driven {
    queue: Queue,
    clients: Clients,
    outbox: Outbox,
    timings: Timings,
    clock: SteadyClock,
    now: Now,
    limits: WorkLimits,
}

impl Driven {
    fn new(rules: Rules) -> Self {
        Self {
            queue: Queue::new(QUEUE, rules),
            clients: Clients::default(),
            outbox: Outbox::default(),
            timings: Timings::default(),
            clock: SteadyClock::default(),
            now: Now { monotonic: Monotonic(1_000), wall: WallClock(START) },
            limits: WorkLimits::DEFAULT,
        }
    }

    fn at(&mut self) -> Instants {
        self.clock.moment(self.now)
    }

    fn pass_time(&mut self, ms: u64) {
        self.now.monotonic = self.now.monotonic.plus(ms);
        self.now.wall.0 += ms;
    }

    /// A channel of its own connection.
    fn channel(&mut self, connection: u64) -> ChannelSlot {
        let connection = ConnectionId(connection);
        if self.clients.vhost(connection).is_none() {
            self.clients.open(connection, ShortStr::from_static("/"), ClientIdentity::default());
        }
        self.clients.channel(ChannelKey { connection, channel: CHANNEL }).unwrap()
    }

    /// A consumer on the channel of a connection, which has the number of both.
    fn consume(&mut self, number: u64, prefetch: u16) -> ChannelSlot {
        self.consume_with(number, |consumer| consumer.prefetch = prefetch)
    }

    fn consume_with(&mut self, number: u64, set: impl FnOnce(&mut Consumer)) -> ChannelSlot {
        let channel = self.channel(number);
        let mut consumer = Consumer::new(ConsumerId(number), channel, ShortStr::from_static("tag"));
        set(&mut consumer);
        self.queue.consumers.add(consumer);
        channel
    }

    fn publish(&mut self, bodies: &[&str]) {
        bodies.iter().for_each(|body| self.publish_with(body, 0, |_| {}));
    }

    fn publish_with(&mut self, body: &str, priority: u8, set: impl FnOnce(&mut Properties)) {
        let mut properties = Properties {
            delivery_mode: Some(2),
            priority: Some(priority),
            ..Properties::default()
        };
        set(&mut properties);
        let expiration = properties.expiration.as_ref();
        let expiration = expiration.map(|text| text.to_string().parse().unwrap());
        let envelope = Envelope {
            exchange: &ShortStr::EMPTY,
            routing_key: &ShortStr::from_static("q"),
            properties: &properties.encode(),
            published_at: self.now.wall,
            expiration,
        };
        let message = Message::new(envelope, body.to_owned().into(), &mut BytesMut::new());
        let at = self.at();
        self.queue.enqueue(message, None, true, at);
    }

    /// One turn.
    fn turn(&mut self) -> DeliveryPass {
        let at = self.at();
        self.queue.take_turn(
            at,
            &mut self.clients,
            &mut self.outbox,
            &mut self.timings,
            self.limits,
        )
    }

    /// Turns until the queue wants no more; what left it as dead letters.
    fn run(&mut self) -> Vec<DeadLetter> {
        let mut dead = Vec::new();
        loop {
            let pass = self.turn();
            dead.extend(pass.dead);
            if !pass.is_unfinished {
                return dead;
            }
        }
    }

    /// What was delivered since, each with its connection.
    fn deliveries(&mut self) -> Vec<(u64, Delivery)> {
        let mut all = Vec::new();
        while let Some((connection, events)) = self.outbox.poll() {
            for event in events {
                let deliveries = match event {
                    Event::Deliver { deliveries, .. } => deliveries,
                    Event::Reply { reply: Ok(Reply::Got { delivery, .. }), .. } => vec![delivery],
                    other => panic!("{other:?}"),
                };
                all.extend(deliveries.into_iter().map(|delivery| (connection.0, delivery)));
            }
        }
        all
    }

    /// The bodies of what was delivered since, in order.
    fn bodies(&mut self) -> Vec<String> {
        self.deliveries().iter().map(|(_, delivery)| body(&delivery.message)).collect()
    }

    /// A channel ends, with its consumers; how many messages it held.
    fn end_channel(&mut self, channel: ChannelSlot, ending: ChannelEnding) -> u64 {
        let gone = self.queue.consumers.iter().filter(|consumer| consumer.channel == channel);
        for id in gone.map(|consumer| consumer.id).collect::<Vec<_>>() {
            self.queue.consumers.remove(id);
        }
        let at = self.at();
        self.queue.end_channels(&[channel].into(), ending, at).count.all
    }

    fn settle(&mut self, channel: ChannelSlot, settlement: Settlement, delivery: &Delivery) {
        let (level, offset) = (delivery.position.level, delivery.position.offset);
        let runs = vec![OffsetRange { level, first: offset, last: offset }];
        let settle = Settle { channel: CHANNEL, queue: QUEUE, settlement, runs };
        let at = self.at();
        let released = self.queue.settle(channel, &settle, at, &mut self.timings);
        self.clients.settled(channel, released.count);
    }
}

fn body(message: &Message) -> String {
    String::from_utf8(message.body().to_vec()).unwrap()
}

fn dead(letters: &[DeadLetter]) -> Vec<(String, &'static str)> {
    letters.iter().map(|letter| (body(&letter.message), letter.reason.name())).collect()
}
