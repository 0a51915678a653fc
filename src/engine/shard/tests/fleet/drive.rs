//! Does each step to a shard and to the model, and compares.

use super::model::{Entry, Given, Model, Place};
use super::step::{CHANNELS, CLIENTS, QUEUES, Step};
use crate::command::{Closure, Command, Settle, Settlement, Subscribe};
use crate::event::{Delivery, Event, Reply};
use crate::ids::{ChannelId, ConnectionId, QueueId};
use crate::limits::QUARANTINE_MS_MAX;
use crate::shard::tests::broker::{Broker, arguments, consume, message, publish, settle};
use forebay_wire::FieldValue;
use std::collections::BTreeMap;

const PUBLISHER: ConnectionId = ConnectionId(1);
const NAMES: [&str; QUEUES] = ["a", "b"];
/// How long a quarantined message may wait while somebody has room: for each process to become empty
/// in vain, and for one that was lost to start again.
const QUARANTINED_WAIT_MS_MAX: u64 = QUARANTINE_MS_MAX * (CLIENTS + 2);

type Place3 = (u64, u16, usize);

pub(super) struct Drive {
    broker: Broker,
    ids: [QueueId; QUEUES],
    model: Model,
    is_single: bool,
    /// Prefetch limits of consumers, by client, channel and queue, and since when each has waited for
    /// something that was there.
    consumers: BTreeMap<Place3, (u16, Option<u64>)>,
    deliveries: BTreeMap<usize, Delivery>,
}

fn connection(client: u64) -> ConnectionId {
    ConnectionId(10 + client)
}

fn number(delivery: &Delivery) -> usize {
    u32::from_be_bytes(delivery.message.body()[..4].try_into().unwrap()) as usize
}

impl Drive {
    pub(super) fn new(limits: [u32; 2], is_single: bool) -> Self {
        let mut broker = Broker::new();
        broker.open(PUBLISHER);
        let ids = [0, 1].map(|queue| {
            let limit = FieldValue::I64(i64::from(limits[queue]));
            let single = FieldValue::Bool(is_single && queue == 1);
            let entries = [("x-delivery-limit", limit), ("x-single-active-consumer", single)];
            broker.declare(NAMES[queue], true, arguments(&entries))
        });
        let clients = Default::default();
        let now = broker.now.monotonic.0;
        let model = Model { entries: Vec::new(), clients, limits, now };
        let (consumers, deliveries) = Default::default();
        let mut drive = Self { broker, ids, model, is_single, consumers, deliveries };
        drive.connect();
        drive
    }

    fn connect(&mut self) {
        (0..CLIENTS).for_each(|client| self.broker.open(connection(client)));
    }

    pub(super) fn apply(&mut self, step: &Step) {
        match *step {
            Step::Publish { queue, count } => self.publish(queue, count),
            Step::Subscribe { client, channel, queue, prefetch } => {
                self.subscribe((client, channel, queue), prefetch);
            }
            Step::Cancel { client, channel, queue } => self.cancel((client, channel, queue)),
            Step::Settle { client, which, count, settlement } => {
                let held = self.model.held(client);
                let settled: Vec<usize> = held.into_iter().skip(which).take(count).collect();
                settled.into_iter().for_each(|index| self.settle(index, settlement));
            }
            Step::Get { client, channel, queue } => self.get(client, channel, queue),
            Step::CloseChannel { client, channel, closure } => {
                self.close_channel(client, channel, closure);
            }
            Step::Close { client, closure } => self.close(client, closure),
            Step::Pass { milliseconds } => self.pass(milliseconds),
            Step::Restart { in_good_order } => self.restart(in_good_order),
        }
        self.check();
    }

    fn publish(&mut self, queue: usize, count: usize) {
        let first = self.model.entries.len();
        let entry = Entry {
            queue,
            place: Place::Ready,
            failures: 0,
            returns: 0,
            is_delivered: false,
            is_quarantined: false,
        };
        self.model.entries.extend(std::iter::repeat_n(entry, count));
        let bodies = (first..first + count).map(|index| (index as u32).to_be_bytes().to_vec());
        let messages = bodies.map(|body| message(body, true)).collect();
        self.broker.send(PUBLISHER, [publish(self.ids[queue], messages, None)]);
        self.take();
    }

    fn subscribe(&mut self, place: Place3, prefetch: u16) {
        if self.consumers.contains_key(&place) {
            return;
        }
        let (client, channel, queue) = place;
        let channel = ChannelId(channel);
        let subscribe = Subscribe { channel, ..consume(NAMES[queue], NAMES[queue], prefetch) };
        self.consumers.insert(place, (prefetch, None));
        self.broker.subscribe(connection(client), subscribe);
        self.broker.reply(connection(client)).unwrap();
        self.take();
    }

    fn cancel(&mut self, place: Place3) {
        if self.consumers.remove(&place).is_none() {
            return;
        }
        let (client, channel, queue) = place;
        let consumer_tag = NAMES[queue].try_into().unwrap();
        let cancel = Command::Cancel { channel: ChannelId(channel), consumer_tag };
        self.broker.send(connection(client), [cancel]);
        self.broker.reply(connection(client)).unwrap();
        self.take();
    }

    fn settle(&mut self, index: usize, settlement: Settlement) {
        let Place::Held { client, channel, .. } = self.model.entries[index].place else { return };
        let queue = self.ids[self.model.entries[index].queue];
        let delivery = self.deliveries.remove(&index).unwrap();
        let Command::Settle(settle) = settle(queue, settlement, &[&delivery]) else { panic!() };
        let settle = Settle { channel: ChannelId(channel), ..settle };
        self.model.settle(index, settlement);
        self.broker.send(connection(client), [Command::Settle(settle)]);
        self.take();
    }

    fn get(&mut self, client: u64, channel: u16, queue: usize) {
        let name = NAMES[queue].try_into().unwrap();
        let get = Command::Get { channel: ChannelId(channel), queue: name, no_ack: false };
        self.broker.send(connection(client), [get]);
        let reply = self.broker.reply(connection(client)).unwrap();
        if let Reply::Got { delivery, .. } = reply {
            return self.give(client, channel, false, vec![delivery]);
        }
        let is_single = self.is_single && queue == 1;
        let mut ready = self.model.ready(queue);
        let are_quarantined = match is_single {
            true => ready.next().is_none_or(|(_, front)| front.is_quarantined),
            false => ready.all(|(_, entry)| entry.is_quarantined),
        };
        let is_alone = self.model.held(client).is_empty();
        let nothing_is_there = self.model.ready(queue).next().is_none();
        let is_right =
            nothing_is_there || self.model.is_in_trial(client) || (are_quarantined && !is_alone);
        assert!(
            is_right,
            "{client} asks for a message of {}, and is told that there is none",
            queue
        );
    }

    fn close_channel(&mut self, client: u64, channel: u16, closure: Closure) {
        self.consumers.retain(|place, _| (place.0, place.1) != (client, channel));
        self.model.close(client, Some(channel), closure);
        let close = Command::CloseChannel { channel: ChannelId(channel), closure };
        self.broker.send(connection(client), [close]);
        self.broker.reply(connection(client)).unwrap();
        self.take();
    }

    fn close(&mut self, client: u64, closure: Closure) {
        self.consumers.retain(|place, _| place.0 != client);
        self.model.close(client, None, closure);
        self.broker.send(connection(client), [Command::CloseConnection { closure }]);
        self.broker.reply(connection(client)).unwrap();
        self.broker.open(connection(client));
        self.take();
    }

    fn pass(&mut self, milliseconds: u64) {
        self.model.pass(milliseconds);
        self.broker.pass(milliseconds);
        self.take();
    }

    fn restart(&mut self, in_good_order: bool) {
        if in_good_order {
            // One after the other: what the first held may go to the next.
            (0..CLIENTS).for_each(|client| self.close(client, Closure::ByBroker));
            self.broker.restart(&[]);
        } else {
            self.broker.commit();
            self.broker.crash();
        }
        self.model.restart(in_good_order);
        self.consumers.clear();
        self.deliveries.clear();
        self.broker.open(PUBLISHER);
        self.connect();
    }

    /// What was given to consumers.
    fn take(&mut self) {
        for client in 0..CLIENTS {
            for event in self.broker.take_events(connection(client)) {
                let Event::Deliver { channel, deliveries, .. } = event else { panic!("{event:?}") };
                self.give(client, channel.0, true, deliveries);
            }
        }
    }

    fn give(&mut self, client: u64, channel: u16, is_consumed: bool, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let (redelivered, failures, returns) =
                (delivery.redelivered, delivery.failures, delivery.returns);
            let index = number(&delivery);
            self.deliveries.insert(index, delivery);
            let given =
                Given { index, client, channel, is_consumed, redelivered, failures, returns };
            self.model.give(given);
        }
    }

    fn check(&mut self) {
        for (queue, name) in NAMES.iter().enumerate() {
            let count = |is: fn(Place) -> bool| {
                self.model.of(queue).filter(|(_, entry)| is(entry.place)).count() as u64
            };
            let statistics = self.broker.statistics(name);
            assert_eq!(statistics.ready, count(|place| place == Place::Ready), "queue {queue}");
            assert_eq!(statistics.unacked, count(|place| matches!(place, Place::Held { .. })));
            let name = format!("{name}.dlq");
            let reports = self.broker.shard.statistics().queues;
            let dead = reports.into_iter().find(|report| report.record.name == name.as_str());
            let dead = dead.map_or(0, |dead| dead.statistics.ready);
            assert_eq!(dead, count(|place| place == Place::Dead), "condemned in queue {queue}");
        }
        if self.is_single {
            self.check_order();
        }
        self.check_waits();
    }

    /// No message of the second queue is in the hands of a consumer before an earlier one.
    fn check_order(&self) {
        let mut holder = None;
        let mut is_earlier_ready = false;
        for (index, entry) in self.model.of(1) {
            match entry.place {
                Place::Ready => is_earlier_ready = true,
                Place::Held { client, channel, is_consumed: true } => {
                    let consumer = (client, channel);
                    let first = *holder.get_or_insert(consumer);
                    assert_eq!(first, consumer, "{index} is with another one than those before it");
                    // What came back by itself may stand before what is still held.
                    let is_new = self.model.clients[client as usize].given_at == self.model.now;
                    let has_room = is_new && !entry.is_delivered;
                    assert!(!is_earlier_ready || !has_room, "{index} has passed an earlier one");
                }
                _ => {}
            }
        }
    }

    /// Nobody who has room waits for long.
    fn check_waits(&mut self) {
        let now = self.model.now;
        let places: Vec<Place3> = self.consumers.keys().copied().collect();
        for place in places {
            let (client, channel, queue) = place;
            let is_single = self.is_single && queue == 1;
            let consumers = self.consumers.keys().filter(|(_, _, other)| *other == queue).count();
            let held = self.model.of(queue).filter(|(_, entry)| {
                entry.place == Place::Held { client, channel, is_consumed: true }
            });
            let held = held.count();
            let (prefetch, since) = self.consumers[&place];
            let has_room = prefetch == 0 || held < usize::from(prefetch);
            let others = self.model.of(queue).any(|(_, entry)| match entry.place {
                Place::Held { client: other, channel: on, is_consumed } => {
                    is_consumed && (other, on) != (client, channel)
                }
                _ => false,
            });
            let mut ready = self.model.ready(queue);
            let is_there = match is_single {
                true => ready.next().is_some_and(|(_, front)| !front.is_quarantined),
                false => ready.any(|(_, entry)| !entry.is_quarantined),
            };
            let is_anything_there = self.model.ready(queue).next().is_some();
            let is_served = !is_single || (consumers == 1 && !others);
            let waits = has_room && is_served && is_anything_there;
            let since = waits.then(|| since.unwrap_or(now));
            self.consumers.insert(place, (prefetch, since));
            let Some(since) = since else { continue };
            let waited = now - since.max(self.model.clients[client as usize].given_at);
            let most = if is_there { QUARANTINE_MS_MAX } else { QUARANTINED_WAIT_MS_MAX };
            assert!(waited <= most, "{place:?} has room, and waits since {waited} ms");
        }
    }

    /// A healthy process that takes one message after the other finishes all work.
    pub(super) fn finish(mut self) {
        for client in 1..CLIENTS {
            self.close(client, Closure::ByClient);
        }
        for queue in 0..QUEUES {
            (1..=CHANNELS).for_each(|channel| self.cancel((0, channel, queue)));
            self.subscribe((0, 1, queue), 0);
        }
        for _ in 0..1_000 {
            match self.model.held(0).first() {
                Some(index) => self.settle(*index, Settlement::Ack),
                None if (0..QUEUES).all(|queue| self.model.ready(queue).next().is_none()) => break,
                None => self.pass(QUARANTINE_MS_MAX),
            }
            self.check();
        }
        let left = self
            .model
            .entries
            .iter()
            .filter(|entry| matches!(entry.place, Place::Ready | Place::Held { .. }));
        assert_eq!(left.count(), 0, "work is left");
    }
}
