//! A queue against a naive model: a list of messages, each with its state. Random publishes,
//! deliveries, settlements, closes, pauses, commits and crashes; order, `redelivered`, failure counts,
//! prefetch limits, pauses, confirms and what survives a crash are compared after every step, whatever bounds
//! of work and memory the messages cross. After every commit a shard is made from the commits so far,
//! and held against the one that made them.

use super::bounds::{Bounds, bounds};
use super::broker::{Broker, CHANNEL, arguments, consume, message, publish, settle};
use super::steps::{CLIENTS, Step, step};
use crate::administration::Administration;
use crate::command::{Command, Subscribe};
use crate::event::{Delivery, Event, Reply};
use crate::model::{Closure, ConnectionId, QueueId, Settlement};
use crate::topology::Pause;
use forebay_wire::{FieldTable, FieldValue};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ADMIN: ConnectionId = ConnectionId(1);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Ready,
    Held(u64),
    Gone,
}

#[derive(Clone, Debug)]
struct Entry {
    persistent: bool,
    place: Place,
    delivered: bool,
    failures: u32,
    returns: u32,
    confirm: Option<u64>,
}

struct Subscription {
    prefetch: u16,
    no_ack: bool,
    unacked: usize,
}

struct Model {
    broker: Broker,
    queue: QueueId,
    durable: bool,
    entries: Vec<Entry>,
    /// Confirms owed, by sequence number: which entries they are for.
    owed: BTreeMap<u64, Vec<usize>>,
    next_confirm: u64,
    subscriptions: BTreeMap<u64, Subscription>,
    held: BTreeMap<u64, Vec<(usize, Delivery, bool)>>,
    /// Nothing is delivered.
    paused: bool,
    /// Pauses and resumptions that were not answered yet.
    unanswered: usize,
    /// The entries, and whether the queue is paused, as the commits under way will leave them.
    writing: Vec<(Vec<Entry>, bool)>,
    /// The same as the store has it.
    written: Vec<Entry>,
    written_paused: bool,
}

fn connection(client: u64) -> ConnectionId {
    ConnectionId(10 + client)
}

impl Model {
    fn new(durable: bool, bounds: Bounds) -> Self {
        let mut broker = Broker::new();
        broker.rebuilds = true;
        broker.bound(bounds);
        broker.open(ADMIN);
        let limit = arguments(&[("x-delivery-limit", FieldValue::I32(-1))]);
        let queue = broker.declare("q", durable, limit);
        let mut model = Self {
            broker,
            queue,
            durable,
            entries: Vec::new(),
            owed: BTreeMap::new(),
            next_confirm: 1,
            subscriptions: BTreeMap::new(),
            held: BTreeMap::new(),
            paused: false,
            unanswered: 0,
            writing: Vec::new(),
            written: Vec::new(),
            written_paused: false,
        };
        model.connect();
        model
    }

    fn connect(&mut self) {
        (0..CLIENTS).for_each(|client| self.broker.open(connection(client)));
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Publish { count, persistent, confirm } => {
                self.publish(count, persistent, confirm);
            }
            Step::Subscribe { client, prefetch, no_ack } => {
                self.subscribe(client, prefetch, no_ack);
            }
            Step::Cancel { client } => {
                let cancel =
                    Command::Cancel { channel: CHANNEL, consumer_tag: "c".try_into().unwrap() };
                self.subscriptions.remove(&client);
                for (_, _, consumed) in self.held.entry(client).or_default() {
                    *consumed = false;
                }
                self.broker.send(connection(client), [cancel]);
                assert!(matches!(self.broker.reply(connection(client)), Ok(Reply::Done)));
            }
            Step::Settle { client, settlement, from, count } => {
                self.settle(client, settlement, from, count);
            }
            Step::Get { client, no_ack } => self.get(client, no_ack),
            Step::Close { client, closure } => self.close(client, closure),
            Step::Purge => self.purge(),
            Step::Pause(is) => self.pause(is),
            Step::BeginCommit => self.begin_commit(),
            Step::FinishCommit => self.finish_commit(),
            Step::Pass => self.broker.pass(100),
            Step::Crash => self.crash(),
            Step::Restart => self.restart(),
        }
        self.check_deliveries();
        self.check_confirms();
        self.check_progress();
    }

    fn publish(&mut self, count: usize, persistent: bool, confirm: bool) {
        let first = self.entries.len();
        let number = confirm.then_some(self.next_confirm);
        for index in first..first + count {
            let confirm = number.map(|number| number + (index - first) as u64);
            self.entries.push(Entry {
                persistent: persistent && self.durable,
                place: Place::Ready,
                delivered: false,
                failures: 0,
                returns: 0,
                confirm,
            });
            if let Some(confirm) = confirm {
                self.owed.insert(confirm, vec![index]);
                self.next_confirm += 1;
            }
        }
        let messages = (first..first + count)
            .map(|index| message((index as u32).to_be_bytes().to_vec(), persistent))
            .collect();
        self.broker.send(ADMIN, [publish(self.queue, messages, number)]);
    }

    fn subscribe(&mut self, client: u64, prefetch: u16, no_ack: bool) {
        if self.subscriptions.contains_key(&client) {
            return;
        }
        self.subscriptions.insert(client, Subscription { prefetch, no_ack, unacked: 0 });
        let consume = Subscribe { no_ack, ..consume("q", "c", prefetch) };
        self.broker.subscribe(connection(client), consume);
        assert!(matches!(self.broker.reply(connection(client)), Ok(Reply::Done)));
    }

    fn settle(&mut self, client: u64, settlement: Settlement, from: usize, count: usize) {
        let held = self.held.entry(client).or_default();
        let from = from.min(held.len());
        let settled: Vec<_> = held.drain(from..(from + count).min(held.len())).collect();
        for (index, _, consumed) in &settled {
            let entry = &mut self.entries[*index];
            match settlement {
                Settlement::Ack | Settlement::Reject => entry.place = Place::Gone,
                Settlement::Requeue(_) | Settlement::Retry(_) | Settlement::Recover => {
                    entry.place = Place::Ready;
                }
            }
            let is_failure = matches!(settlement, Settlement::Requeue(_) | Settlement::Retry(_));
            entry.failures += u32::from(is_failure);
            if *consumed && let Some(subscription) = self.subscriptions.get_mut(&client) {
                subscription.unacked -= 1;
            }
        }
        let deliveries: Vec<&Delivery> = settled.iter().map(|(_, delivery, _)| delivery).collect();
        self.broker.send(connection(client), [settle(self.queue, settlement, &deliveries)]);
    }

    fn get(&mut self, client: u64, no_ack: bool) {
        // The reply tells whether the message counts as settled: taken note of here.
        let get = Command::Get { channel: CHANNEL, queue: "q".try_into().unwrap(), no_ack };
        self.broker.send(connection(client), [get]);
        let reply = self.broker.reply(connection(client)).unwrap();
        let expected = self.lowest_ready(1);
        match reply {
            Reply::Empty => assert!(expected.is_empty() || self.paused),
            Reply::Got { delivery, remaining, .. } => {
                let index = self.check_message(&delivery);
                assert_eq!(expected, [index]);
                assert!(!self.paused);
                self.delivered(client, index, delivery, no_ack, false);
                assert_eq!(remaining as usize, self.lowest_ready(usize::MAX).len());
            }
            other => panic!("{other:?}"),
        }
    }

    fn close(&mut self, client: u64, closure: Closure) {
        self.subscriptions.remove(&client);
        for (index, _, _) in self.held.remove(&client).unwrap_or_default() {
            self.entries[index].place = Place::Ready;
            self.entries[index].failures += u32::from(closure == Closure::Failed);
            self.entries[index].returns += u32::from(closure == Closure::ByClient);
        }
        self.broker.send(connection(client), [Command::CloseConnection { closure }]);
        assert!(matches!(self.broker.reply(connection(client)), Ok(Reply::Done)));
        self.broker.open(connection(client));
    }

    fn purge(&mut self) {
        let request = crate::model::TopologyRequest::PurgeQueue { name: "q".try_into().unwrap() };
        let command = Command::Topology { channel: CHANNEL, request, nowait: true };
        self.broker.send(ADMIN, [command]);
        let ready = self.lowest_ready(usize::MAX);
        let Reply::MessageCount(count) = self.broker.reply(ADMIN).unwrap() else { panic!() };
        assert_eq!(count as usize, ready.len());
        for index in ready {
            self.entries[index].place = Place::Gone;
        }
    }

    fn pause(&mut self, is: bool) {
        self.paused = is;
        let by = "operator".try_into().unwrap();
        let pause = is.then(|| Pause { since: self.broker.now.wall, by });
        let (vhost, queue) = ("/".try_into().unwrap(), "q".try_into().unwrap());
        let request = Box::new(Administration::SetPause { vhost, queue, pause });
        self.broker.send(ADMIN, [Command::Administer { channel: CHANNEL, request }]);
        self.unanswered += 1;
    }

    fn begin_commit(&mut self) {
        let entries = self.entries.clone();
        if self.broker.begin_commit() {
            self.writing.push((entries, self.paused));
        }
    }

    fn finish_commit(&mut self) {
        if !self.writing.is_empty() {
            (self.written, self.written_paused) = self.writing.remove(0);
            self.broker.finish_commit();
        }
    }

    /// The process ends in good order: what it had durable is there, and what was delivered is known.
    fn restart(&mut self) {
        for client in 0..CLIENTS {
            self.close(client, Closure::ByBroker);
            // What it held may go to the next.
            self.check_deliveries();
        }
        self.broker.commit();
        self.written = self.entries.clone();
        self.written_paused = self.paused;
        let delivered: Vec<bool> = self.entries.iter().map(|entry| entry.delivered).collect();
        self.broker.shard.handle_stop();
        self.broker.commit();
        self.crash();
        // What the store knows of deliveries goes before there are any.
        self.broker.commit();
        if self.durable {
            for (entry, delivered) in self.entries.iter_mut().zip(delivered) {
                entry.delivered = delivered;
            }
            self.written = self.entries.clone();
        }
    }

    fn crash(&mut self) {
        self.broker.crash();
        self.subscriptions.clear();
        self.held.clear();
        self.writing.clear();
        self.owed.clear();
        self.unanswered = 0;
        self.written_paused &= self.durable;
        self.paused = self.written_paused;
        if !self.durable {
            // The queue went with the process.
            assert!(self.broker.shard.statistics().queues.is_empty());
            self.broker.open(ADMIN);
            self.queue = self.broker.declare("q", false, FieldTable::new());
            self.written.clear();
            self.entries.iter_mut().for_each(|entry| entry.place = Place::Gone);
        }
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let kept = self.written.get(index);
            let survives = kept.is_some_and(|kept| kept.persistent && kept.place != Place::Gone);
            entry.place = if survives { Place::Ready } else { Place::Gone };
            entry.delivered = true;
            entry.failures = kept.map_or(0, |kept| kept.failures);
            entry.returns = kept.map_or(0, |kept| kept.returns);
        }
        self.written = self.entries.clone();
        if self.durable {
            self.broker.open(ADMIN);
        }
        self.connect();
    }

    fn lowest_ready(&self, count: usize) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        let ready = entries.filter(|(_, entry)| entry.place == Place::Ready);
        ready.map(|(index, _)| index).take(count).collect()
    }

    fn check_message(&self, delivery: &Delivery) -> usize {
        let index = u32::from_be_bytes(delivery.message.body()[..].try_into().unwrap()) as usize;
        let entry = &self.entries[index];
        assert_eq!(entry.place, Place::Ready, "message {index} was delivered");
        assert_eq!(delivery.redelivered, entry.delivered, "redelivered of {index}");
        assert_eq!(delivery.failures, entry.failures, "failures of {index}");
        assert_eq!(delivery.returns, entry.returns, "returns of {index}");
        index
    }

    fn delivered(
        &mut self,
        client: u64,
        index: usize,
        delivery: Delivery,
        no_ack: bool,
        sub: bool,
    ) {
        let entry = &mut self.entries[index];
        entry.delivered = true;
        entry.place = if no_ack { Place::Gone } else { Place::Held(client) };
        if !no_ack {
            let held = self.held.entry(client).or_default();
            held.push((index, delivery, sub));
        }
    }

    /// Together they are the lowest that were ready; each consumer got its own in order.
    fn check_deliveries(&mut self) {
        let mut delivered = Vec::new();
        for client in 0..CLIENTS {
            for event in self.broker.take_events(connection(client)) {
                let Event::Deliver { deliveries, no_ack, .. } = event else {
                    panic!("{event:?}");
                };
                let mut last = None;
                for delivery in deliveries {
                    let index = self.check_message(&delivery);
                    assert!(last < Some(index), "out of order within a consumer");
                    last = Some(index);
                    delivered.push((index, client, delivery, no_ack));
                }
            }
        }
        assert!(delivered.is_empty() || !self.paused, "a paused queue delivers nothing");
        delivered.sort_by_key(|(index, ..)| *index);
        let indices: Vec<usize> = delivered.iter().map(|(index, ..)| *index).collect();
        assert_eq!(indices, self.lowest_ready(indices.len()));
        for (index, client, delivery, no_ack) in delivered {
            self.delivered(client, index, delivery, no_ack, true);
            let subscription = self.subscriptions.get_mut(&client).expect("a consumer");
            assert_eq!(no_ack, subscription.no_ack);
            subscription.unacked += usize::from(!no_ack);
            if subscription.prefetch > 0 && !no_ack {
                assert!(subscription.unacked <= usize::from(subscription.prefetch));
            }
        }
    }

    fn check_confirms(&mut self) {
        for event in self.broker.take_events(ADMIN) {
            let (first, last) = match event {
                Event::Confirm { first, last, .. } => (first, last),
                Event::Reply { reply: Ok(Reply::Done), .. } => {
                    self.unanswered -= 1;
                    continue;
                }
                other => panic!("{other:?}"),
            };
            for confirm in first.0..=last.0 {
                for index in self.owed.remove(&confirm).expect("an owed confirm, once") {
                    let written = self.written.get(index).is_some_and(|entry| entry.persistent);
                    let entry = &self.entries[index];
                    assert_eq!(entry.confirm, Some(confirm));
                    assert!(
                        written || !entry.persistent || entry.place == Place::Gone,
                        "{index} was confirmed and would not survive"
                    );
                }
            }
        }
    }

    /// Nobody waits with credit while something is ready; the counts are right.
    fn check_progress(&mut self) {
        let ready = self.lowest_ready(usize::MAX).len();
        let has_credit = self.subscriptions.values().any(|subscription| {
            subscription.no_ack
                || subscription.prefetch == 0
                || subscription.unacked < usize::from(subscription.prefetch)
        });
        assert!(!has_credit || ready == 0 || self.paused, "{ready} are ready and somebody waits");
        let statistics = self.broker.statistics("q");
        assert_eq!(statistics.ready as usize, ready);
        assert_eq!(statistics.unacked as usize, self.held.values().map(Vec::len).sum::<usize>());
        assert_eq!(statistics.missing, 0);
        if ready + statistics.unacked as usize == 0 {
            assert_eq!(statistics.bytes, 0);
        }
    }

    /// Everything that was owed is kept in the end, and nothing is left in an empty store.
    fn finish(mut self) {
        self.broker.commit();
        self.written = self.entries.clone();
        self.check_confirms();
        assert!(self.owed.is_empty(), "confirms still owed: {:?}", self.owed);
        assert_eq!(self.unanswered, 0);
        let live = self.entries.iter().filter(|entry| entry.place != Place::Gone);
        if live.filter(|entry| entry.persistent).count() == 0 {
            assert_eq!(self.broker.store.live_bytes(self.queue), 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_durable_queue_behaves_like_a_list_of_messages(
        bounds in bounds(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut model = Model::new(true, bounds);
        steps.iter().for_each(|step| model.apply(step));
        model.finish();
    }

    #[test]
    fn a_queue_that_is_not_durable_behaves_like_a_list_of_messages(
        bounds in bounds(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut model = Model::new(false, bounds);
        steps.iter().for_each(|step| model.apply(step));
        model.finish();
    }
}
