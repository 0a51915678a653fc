//! Does each step to a shard and to the model, and compares.

mod checks;

use super::model::{Entry, Given, Model, Owed, Place};
use super::step::{CHANNELS, CLIENTS, QUEUES, Step};
use crate::command::{Command, Extend, Subscribe};
use crate::event::{Delivery, Event, Reply};
use crate::limits::QUARANTINE_MS_MAX;
use crate::model::{
    ChannelId, Closure, ConnectionId, OffsetRange, Position, QueueId, Settle, Settlement,
};
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
    /// By client, channel and queue.
    consumers: BTreeMap<Place3, Subscribed>,
    /// Consumers so far.
    numbered: usize,
    deliveries: BTreeMap<usize, Delivery>,
    /// Where each message that was ever delivered stands in its queue.
    positions: BTreeMap<usize, Position>,
}

#[derive(Clone, Copy, Debug)]
struct Subscribed {
    number: usize,
    prefetch: u16,
    /// Since when it has had room while any message was there.
    waits_since: Option<u64>,
    /// Since when it has had room while a message was there that is not quarantined.
    passed_over_since: Option<u64>,
}

fn number(delivery: &Delivery) -> usize {
    u32::from_be_bytes(delivery.message.body()[..4].try_into().unwrap()) as usize
}

impl Drive {
    pub(super) fn new(limits: [u32; 2], timeouts: [Option<u64>; 2], is_single: bool) -> Self {
        let mut broker = Broker::new();
        broker.open(PUBLISHER);
        let ids = [0, 1].map(|queue| {
            let limit = FieldValue::I64(i64::from(limits[queue]));
            let single = FieldValue::Bool(is_single && queue == 1);
            let mut entries =
                vec![("x-delivery-limit", limit), ("x-single-active-consumer", single)];
            let timeout = timeouts[queue].map(|timeout| FieldValue::I64(timeout as i64));
            entries.extend(timeout.map(|timeout| ("x-consumer-timeout", timeout)));
            broker.declare(NAMES[queue], true, arguments(&entries))
        });
        let model = Model::new(limits, timeouts, broker.now.monotonic.0);
        let (consumers, deliveries, positions) = Default::default();
        let mut drive =
            Self { broker, ids, model, is_single, consumers, numbered: 0, deliveries, positions };
        drive.connect();
        drive
    }

    /// Each time that a process connects it has another connection.
    fn connection(&self, client: u64) -> ConnectionId {
        ConnectionId(10 + client + CLIENTS * self.model.lives[client as usize])
    }

    fn connect(&mut self) {
        (0..CLIENTS).for_each(|client| self.broker.open(self.connection(client)));
    }

    /// A process is about to use a channel. Its connection tells the shard where that waits for it.
    fn hear(&mut self, client: u64, channel: u16) {
        if self.model.hangs(client, channel) {
            self.model.hear(client, channel);
            let heard = Command::Heard { channel: ChannelId(channel) };
            self.broker.send(self.connection(client), [heard]);
            self.take();
        }
    }

    pub(super) fn apply(&mut self, step: &Step) {
        match *step {
            Step::Publish { queue, count } => self.publish(queue, count),
            Step::Subscribe { client, channel, queue, prefetch, lease } => {
                self.subscribe((client, channel, queue), prefetch, lease);
            }
            Step::Extend { client, which, lease } => {
                if let Some(index) = self.model.held(client).get(which) {
                    self.extend(*index, lease);
                }
            }
            Step::Cancel { client, channel, queue } => self.cancel((client, channel, queue)),
            Step::Settle { client, which, count, settlement } => {
                let held = self.model.held(client);
                let settled: Vec<usize> = held.into_iter().skip(which).take(count).collect();
                settled.into_iter().for_each(|index| self.settle(index, settlement));
            }
            Step::SettleLate { client, which, settlement } => {
                let mut owed = self.model.owed.iter().filter(|owed| owed.client == client);
                if let Some(owed) = owed.nth(which).copied() {
                    self.settle_late(owed, settlement);
                }
            }
            Step::Get { client, channel, queue, count } => {
                self.hear(client, channel);
                // A batch, up to where there is no more.
                for _ in 0..count {
                    if !self.get(client, channel, queue) {
                        break;
                    }
                }
            }
            Step::Hear { client, channel } => self.hear(client, channel),
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
            failed_by: Vec::new(),
            spared: None,
            given_at: 0,
            extended_to: None,
        };
        self.model.entries.extend(std::iter::repeat_n(entry, count));
        let bodies = (first..first + count).map(|index| (index as u32).to_be_bytes().to_vec());
        let messages = bodies.map(|body| message(body, true)).collect();
        self.broker.send(PUBLISHER, [publish(self.ids[queue], messages, None)]);
        self.take();
    }

    fn subscribe(&mut self, place: Place3, prefetch: u16, lease: Option<u64>) {
        if self.consumers.contains_key(&place) {
            return;
        }
        let (client, channel, queue) = place;
        self.hear(client, channel);
        let channel = ChannelId(channel);
        let lease_of = |lease| ("x-lease", FieldValue::I64(lease as i64));
        let subscribe = Subscribe {
            channel,
            arguments: arguments(&lease.map(lease_of).into_iter().collect::<Vec<_>>()),
            ..consume(NAMES[queue], NAMES[queue], prefetch)
        };
        let subscribed = Subscribed {
            number: self.numbered,
            prefetch,
            waits_since: None,
            passed_over_since: None,
        };
        self.model.leases.extend(lease.map(|lease| (self.numbered, lease)));
        self.numbered += 1;
        self.consumers.insert(place, subscribed);
        self.broker.subscribe(self.connection(client), subscribe);
        self.broker.reply(self.connection(client)).unwrap();
        self.take();
    }

    fn cancel(&mut self, place: Place3) {
        let (client, channel, queue) = place;
        if !self.consumers.contains_key(&place) {
            return;
        }
        self.hear(client, channel);
        self.consumers.remove(&place);
        let consumer_tag = NAMES[queue].try_into().unwrap();
        let cancel = Command::Cancel { channel: ChannelId(channel), consumer_tag };
        self.broker.send(self.connection(client), [cancel]);
        self.broker.reply(self.connection(client)).unwrap();
        self.take();
    }

    fn settle(&mut self, index: usize, settlement: Settlement) {
        let Place::Held { client, channel, .. } = self.model.entries[index].place else { return };
        let queue = self.ids[self.model.entries[index].queue];
        let delivery = self.deliveries.remove(&index).unwrap();
        let Command::Settle(settle) = settle(queue, settlement, &[&delivery]) else { panic!() };
        let settle = Settle { channel: ChannelId(channel), ..settle };
        self.model.settle(index, settlement);
        self.model.hear(client, channel);
        self.broker.send(self.connection(client), [Command::Settle(settle)]);
        self.take();
    }

    fn extend(&mut self, index: usize, lease: u64) {
        let Place::Held { client, channel, .. } = self.model.entries[index].place else { return };
        self.hear(client, channel);
        // It may have been taken back from who was found to hang.
        if !self.model.held(client).contains(&index) {
            return;
        }
        let extend = Extend {
            channel: ChannelId(channel),
            queue: self.ids[self.model.entries[index].queue],
            position: self.positions[&index],
            lease,
            confirm: None,
        };
        self.model.extend(index, lease);
        self.broker.send(self.connection(client), [Command::Extend(extend)]);
        self.take();
    }

    /// A process settles what was taken back from it. Where the same channel has the message again, what
    /// comes first is for that.
    fn settle_late(&mut self, owed: Owed, settlement: Settlement) {
        let Owed { index, client, channel, .. } = owed;
        let is_held_again = matches!(
            self.model.entries[index].place,
            Place::Held { client: holder, channel: on, .. } if (holder, on) == (client, channel)
        );
        if is_held_again {
            return self.settle(index, settlement);
        }
        let queue = self.ids[self.model.entries[index].queue];
        // Whoever has the message now was given it at the same place.
        let Position { level, offset } = self.positions[&index];
        let run = OffsetRange { level, first: offset, last: offset };
        let channel_id = ChannelId(channel);
        let settle =
            Settle { channel: channel_id, queue, settlement, runs: [run].into_iter().collect() };
        self.model.settle_late(owed, settlement);
        self.model.hear(client, channel);
        self.broker.send(self.connection(client), [Command::Settle(settle)]);
        self.take();
    }

    /// Asks for one message; whether there was one.
    fn get(&mut self, client: u64, channel: u16, queue: usize) -> bool {
        let name = NAMES[queue].try_into().unwrap();
        let get = Command::Get { channel: ChannelId(channel), queue: name, no_ack: false };
        self.broker.send(self.connection(client), [get]);
        let reply = self.broker.reply(self.connection(client)).unwrap();
        if let Reply::Got { delivery, .. } = reply {
            self.give(client, channel, None, vec![delivery]);
            self.take();
            return true;
        }
        let is_single = self.is_single && queue == 1;
        let are_quarantined = {
            let mut ready = self.model.ready(queue);
            match is_single {
                true => ready.next().is_none_or(|(_, front)| front.is_quarantined),
                false => ready.all(|(_, entry)| entry.is_quarantined),
            }
        };
        let is_alone = self.model.is_empty(client);
        let nothing_is_there = self.model.ready(queue).next().is_none();
        let is_right =
            nothing_is_there || self.model.is_in_trial(client) || (are_quarantined && !is_alone);
        assert!(
            is_right,
            "{client} asks for a message of {}, and is told that there is none",
            queue
        );
        // The turn that answered may have given a quarantined message to a consumer.
        self.take();
        false
    }

    fn close_channel(&mut self, client: u64, channel: u16, closure: Closure) {
        self.consumers.retain(|place, _| (place.0, place.1) != (client, channel));
        self.model.close(client, Some(channel), closure);
        let close = Command::CloseChannel { channel: ChannelId(channel), closure };
        self.broker.send(self.connection(client), [close]);
        self.broker.reply(self.connection(client)).unwrap();
        self.take();
    }

    fn close(&mut self, client: u64, closure: Closure) {
        self.consumers.retain(|place, _| place.0 != client);
        self.model.close(client, None, closure);
        self.broker.send(self.connection(client), [Command::CloseConnection { closure }]);
        self.broker.reply(self.connection(client)).unwrap();
        self.model.lives[client as usize] += 1;
        self.broker.open(self.connection(client));
        self.take();
    }

    /// Lets time pass, from one moment at which something happens to the next: what is given to a client
    /// in between comes before it lets something time out.
    fn pass(&mut self, milliseconds: u64) {
        let end = self.model.now + milliseconds;
        while let Some((due, timed)) = self.model.next_time_out().filter(|(due, _)| *due <= end) {
            let other = self.next_moment(self.ids[self.model.entries[timed].queue]);
            if let Some(other) = other.filter(|other| *other < due) {
                self.pass_on(other - self.model.now);
                self.check();
                continue;
            }
            let is_same_moment = other == Some(due);
            let coinciding = is_same_moment.then_some(timed).or_else(|| self.model.coinciding(due));
            if let Some(index) = coinciding {
                self.settle(index, Settlement::Ack);
                continue;
            }
            self.pass_on(due - self.model.now);
            self.check();
        }
        self.pass_on(end - self.model.now);
    }

    /// When the shard wakes up next for something else than this queue.
    fn next_moment(&self, queue: QueueId) -> Option<u64> {
        let timers = self.broker.shard.timers.iter().filter(|(_, other)| *other != queue);
        let isolation = self.broker.shard.clients.poll_isolation_timeout();
        let moments = timers.map(|(when, _)| when.0).chain(isolation.map(|when| when.0));
        moments.filter(|when| *when > self.model.now).min()
    }

    fn pass_on(&mut self, milliseconds: u64) {
        self.model.pass(milliseconds);
        self.model.time_out();
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
        self.model.lives.iter_mut().for_each(|lives| *lives += 1);
        self.consumers.clear();
        self.deliveries.clear();
        self.broker.open(PUBLISHER);
        self.connect();
    }

    /// What was given to consumers.
    fn take(&mut self) {
        for queue in 0..QUEUES {
            let consumers = self.consumers.keys().filter(|place| place.2 == queue);
            let consumers: Vec<_> = consumers.map(|place| (place.0, place.1)).collect();
            self.model.take_from_hung(queue, &consumers);
        }
        for client in 0..CLIENTS {
            for event in self.broker.take_events(self.connection(client)) {
                match event {
                    Event::Deliver { channel, deliveries, .. } => {
                        let first = number(deliveries.first().unwrap());
                        let queue = self.model.entries[first].queue;
                        let consumer = self.consumers[&(client, channel.0, queue)];
                        self.give(client, channel.0, Some(consumer), deliveries);
                    }
                    Event::Overdue { channel } => assert!(self.model.hangs(client, channel.0)),
                    event => panic!("{event:?}"),
                }
            }
        }
    }

    fn give(
        &mut self,
        client: u64,
        channel: u16,
        consumer: Option<Subscribed>,
        deliveries: Vec<Delivery>,
    ) {
        for delivery in deliveries {
            let (redelivered, failures, returns) =
                (delivery.redelivered, delivery.failures, delivery.returns);
            let index = number(&delivery);
            self.positions.insert(index, delivery.position);
            self.deliveries.insert(index, delivery);
            let number = consumer.map(|consumer| consumer.number);
            let given =
                Given { index, client, channel, consumer: number, redelivered, failures, returns };
            self.model.give(given);
            let most = consumer.map_or(0, |consumer| usize::from(consumer.prefetch));
            assert!(most == 0 || self.taken_room(number) <= most, "{consumer:?} has no room");
        }
    }

    /// How much of its prefetch window a consumer has taken: by what it holds, and by what was taken back
    /// from it that it has not settled.
    fn taken_room(&self, consumer: Option<usize>) -> usize {
        let holds =
            |place| matches!(place, Place::Held { consumer: other, .. } if other == consumer);
        let held = self.model.entries.iter().filter(|entry| holds(entry.place)).count();
        held + self.model.owed.iter().filter(|owed| owed.consumer == consumer).count()
    }

    /// A healthy process that takes one message after the other finishes all work.
    pub(super) fn finish(mut self) {
        for client in 1..CLIENTS {
            self.close(client, Closure::ByClient);
        }
        for queue in 0..QUEUES {
            (1..=CHANNELS).for_each(|channel| self.cancel((0, channel, queue)));
            self.subscribe((0, 1, queue), 0, None);
        }
        (1..=CHANNELS).for_each(|channel| self.hear(0, channel));
        while let Some(owed) = self.model.owed.first().copied() {
            self.settle_late(owed, Settlement::Ack);
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
