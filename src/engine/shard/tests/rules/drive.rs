//! Does each step to a shard with a store and to the list, and compares.

use super::list::{Entry, Handover, Handovers, List, Place, UNSEEN};
use super::setting::Setting;
use super::step::{CLIENTS, Draft, Step};
use crate::command::{Command, Subscribe};
use crate::event::{Delivery, Event, Reply};
use crate::limits::QUARANTINE_MS_MAX;
use crate::model::{
    Closure, ConnectionId, Envelope, Message, QueueId, Settlement, TopologyRequest,
};
use crate::shard::tests::broker::{Broker, CHANNEL, arguments, consume, publish, settle};
use crate::trace::Happening;
use crate::trace_request::TraceRequest;
use bytes::BytesMut;
use forebay_wire::properties::Properties;
use forebay_wire::{FieldTable, FieldValue, RawProperties, ShortStr};
use std::collections::BTreeMap;

const ADMIN: ConnectionId = ConnectionId(1);

struct Subscription {
    /// Ascending in the order of subscribing.
    number: u64,
    prefetch: u16,
    no_ack: bool,
}

pub(super) struct Drive {
    setting: Setting,
    broker: Broker,
    queue: QueueId,
    list: List,
    subscriptions: BTreeMap<u64, Subscription>,
    subscribed: u64,
    deliveries: BTreeMap<usize, Delivery>,
    /// When each client was last given something.
    given: BTreeMap<u64, u64>,
    /// Since when each client has waited for something that was there.
    waits: BTreeMap<u64, u64>,
    /// Confirms owed, by number: of which message, and whether it was refused.
    owed: BTreeMap<u64, (usize, bool)>,
    next_confirm: u64,
    /// The messages as the commits under way will leave them, and as the store has them.
    writing: Vec<Vec<Entry>>,
    written: Vec<Entry>,
}

fn connection(client: u64) -> ConnectionId {
    ConnectionId(10 + client)
}

impl Drive {
    pub(super) fn new(setting: Setting) -> Self {
        let mut broker = Broker::new();
        broker.open(ADMIN);
        broker.declare("dead", true, FieldTable::new());
        let queue = broker.declare("q", setting.is_durable(), setting.arguments());
        (0..CLIENTS).for_each(|client| broker.open(connection(client)));
        Self {
            list: List::new(setting.clone()),
            setting,
            broker,
            queue,
            subscriptions: BTreeMap::new(),
            subscribed: 0,
            deliveries: BTreeMap::new(),
            given: BTreeMap::new(),
            waits: BTreeMap::new(),
            owed: BTreeMap::new(),
            next_confirm: 1,
            writing: Vec::new(),
            written: Vec::new(),
        }
    }

    pub(super) fn apply(&mut self, step: &Step) {
        let mut handovers = match step {
            Step::Publish { drafts, confirm } => self.publish(drafts, *confirm),
            other => {
                self.apply_to_what_is_there(other);
                self.take_handovers()
            }
        };
        self.turn(&mut handovers);
        assert!(handovers.is_empty(), "out of their order: {handovers:?}");
        self.check_confirms();
        self.check_progress();
        self.check_counts();
    }

    /// The list does what the queue did: of what it can't know, it takes what fits.
    fn turn(&mut self, handovers: &mut Handovers) {
        let statistics = self.broker.statistics("q");
        let (before, given) = (self.list.clone(), handovers.clone());
        for unseen in 0..=before.entries.len() {
            *handovers = given.clone();
            self.list = before.clone();
            self.list.turn(self.now(), handovers, unseen);
            let ready = self.list.ready().len() as u64;
            let fits = (ready, self.list.expired) == (statistics.ready, statistics.expired);
            if !self.setting.has_groups || (fits && handovers.is_empty()) {
                return;
            }
        }
    }

    fn apply_to_what_is_there(&mut self, step: &Step) {
        match *step {
            Step::Publish { .. } => {}
            Step::Subscribe { client, prefetch, no_ack } => {
                self.subscribe(client, prefetch, no_ack);
            }
            Step::Cancel { client } => self.cancel(client),
            Step::Settle { client, settlement, from, count } => {
                self.settle(client, settlement, from, count);
            }
            Step::Get { client, no_ack } => self.get(client, no_ack),
            Step::Close { client, closure } => self.close(client, closure),
            Step::Purge => self.purge(),
            Step::BeginCommit => {
                if self.broker.begin_commit() {
                    self.list.write_keys();
                    self.writing.push(self.list.entries.clone());
                }
            }
            Step::FinishCommit => {
                if !self.writing.is_empty() {
                    self.written = self.writing.remove(0);
                    self.broker.finish_commit();
                }
            }
            Step::Pass { milliseconds } => {
                self.list.pass(self.now() + milliseconds);
                self.broker.pass(milliseconds);
            }
            Step::Crash => self.crash(),
        }
    }

    fn now(&self) -> u64 {
        self.broker.now.monotonic.0
    }

    fn publish(&mut self, drafts: &[Draft], confirm: bool) -> Handovers {
        let first = self.list.entries.len();
        let drafted = drafts.iter().zip(first..);
        let messages = drafted.map(|(draft, index)| self.message(*draft, index)).collect();
        let confirm = confirm.then_some(self.next_confirm);
        self.broker.send(ADMIN, [publish(self.queue, messages, confirm)]);
        let mut handovers = self.take_handovers();
        let refused = self.list.publish(drafts, self.now(), &mut handovers);
        if let Some(confirm) = confirm {
            self.next_confirm += drafts.len() as u64;
            let numbered = (first..first + drafts.len()).zip(confirm..);
            let owed = numbered.map(|(index, number)| (number, (index, refused.contains(&index))));
            self.owed.extend(owed);
        }
        handovers
    }

    fn message(&self, draft: Draft, index: usize) -> Message {
        let expiration = draft.expiration.map(|expiration| expiration.to_string());
        let properties = Properties {
            delivery_mode: Some(if draft.persistent { 2 } else { 1 }),
            priority: Some(draft.priority),
            expiration: expiration.map(|text| text.as_str().try_into().unwrap()),
            message_id: draft.key.map(|key| key.to_string().as_str().try_into().unwrap()),
            headers: draft.group.map(|group| arguments(&[("group", FieldValue::U8(group))])),
            ..Properties::default()
        };
        let envelope = Envelope {
            exchange: &ShortStr::EMPTY,
            routing_key: &index.to_string().try_into().unwrap(),
            properties: &properties.encode(),
            published_at: self.broker.now.wall,
            expiration: draft.expiration,
        };
        let mut body = (index as u32).to_be_bytes().to_vec();
        body.resize(draft.size, 0);
        Message::new(envelope, body.into(), &mut BytesMut::new())
    }

    fn subscribe(&mut self, client: u64, prefetch: u16, no_ack: bool) {
        if self.subscriptions.contains_key(&client) {
            return;
        }
        self.subscribed += 1;
        let number = self.subscribed;
        self.subscriptions.insert(client, Subscription { number, prefetch, no_ack });
        let consume = Subscribe { no_ack, ..consume("q", "c", prefetch) };
        self.broker.subscribe(connection(client), consume);
        assert!(matches!(self.broker.reply(connection(client)), Ok(Reply::Done)));
    }

    fn cancel(&mut self, client: u64) {
        self.subscriptions.remove(&client);
        let consumer_tag = "c".try_into().unwrap();
        self.broker.send(connection(client), [Command::Cancel { channel: CHANNEL, consumer_tag }]);
        assert!(matches!(self.broker.reply(connection(client)), Ok(Reply::Done)));
    }

    fn settle(&mut self, client: u64, settlement: Settlement, from: usize, count: usize) {
        let held = self.list.held(client);
        let settled: Vec<usize> = held.into_iter().skip(from).take(count).collect();
        let deliveries = settled.iter().map(|index| self.deliveries.remove(index).unwrap());
        let deliveries: Vec<Delivery> = deliveries.collect();
        let deliveries: Vec<&Delivery> = deliveries.iter().collect();
        self.broker.send(connection(client), [settle(self.queue, settlement, &deliveries)]);
        let now = self.now();
        self.list.settle(&settled, settlement, now);
    }

    fn get(&mut self, client: u64, no_ack: bool) {
        let get = Command::Get { channel: CHANNEL, queue: "q".try_into().unwrap(), no_ack };
        self.broker.send(connection(client), [get]);
        match self.broker.reply(connection(client)).unwrap() {
            Reply::Empty => self.list.get(client, no_ack, None, self.now()),
            Reply::Got { delivery, remaining, .. } => {
                let got = self.note(delivery, client, None, no_ack);
                self.list.get(client, no_ack, Some(got), self.now());
                assert_eq!(remaining as usize, self.list.ready().len());
            }
            other => panic!("{other:?}"),
        }
    }

    fn close(&mut self, client: u64, closure: Closure) {
        self.subscriptions.remove(&client);
        let now = self.now();
        self.list.close(client, closure, now);
        self.broker.send(connection(client), [Command::CloseConnection { closure }]);
        assert!(matches!(self.broker.reply(connection(client)), Ok(Reply::Done)));
        self.broker.open(connection(client));
    }

    fn purge(&mut self) {
        let request = TopologyRequest::PurgeQueue { name: "q".try_into().unwrap() };
        let command = Command::Topology { channel: CHANNEL, request, nowait: true };
        self.broker.send(ADMIN, [command]);
        let Reply::MessageCount(count) = self.broker.reply(ADMIN).unwrap() else { panic!() };
        assert_eq!(count as usize, self.list.purge());
    }

    fn crash(&mut self) {
        self.check_traces();
        self.broker.crash();
        self.subscriptions.clear();
        self.deliveries.clear();
        self.waits.clear();
        self.owed.clear();
        self.writing.clear();
        self.list.crash(&self.written);
        self.broker.open(ADMIN);
        if !self.setting.is_durable() {
            self.queue = self.broker.declare("q", false, self.setting.arguments());
        }
        (0..CLIENTS).for_each(|client| self.broker.open(connection(client)));
        self.written = self.list.entries.clone();
    }

    fn active(&self) -> Option<u64> {
        let first = self.subscriptions.iter().min_by_key(|(_, subscription)| subscription.number);
        first.map(|(client, _)| *client)
    }

    /// What the queue gave to consumers in this step; each got its own in their order.
    fn take_handovers(&mut self) -> Handovers {
        let mut handovers = Handovers::new();
        for client in 0..CLIENTS {
            for event in self.broker.take_events(connection(client)) {
                let Event::Deliver { deliveries, no_ack, .. } = event else { panic!("{event:?}") };
                let subscription = self.subscriptions.get(&client).expect("a consumer");
                assert_eq!(no_ack, subscription.no_ack);
                assert!(!self.setting.single_active || self.active() == Some(client));
                let number = Some(subscription.number);
                let noted = deliveries
                    .into_iter()
                    .map(|delivery| self.note(delivery, client, number, no_ack))
                    .collect::<Vec<_>>();
                handovers.extend(noted);
            }
        }
        handovers
    }

    fn note(
        &mut self,
        delivery: Delivery,
        client: u64,
        subscription: Option<u64>,
        no_ack: bool,
    ) -> (usize, Handover) {
        let (redelivered, failures, returns) =
            (delivery.redelivered, delivery.failures, delivery.returns);
        let index = number(&delivery);
        self.given.insert(client, self.now());
        if !no_ack {
            self.deliveries.insert(index, delivery);
        }
        (index, Handover { client, subscription, no_ack, redelivered, failures, returns })
    }

    fn check_confirms(&mut self) {
        for event in self.broker.take_events(ADMIN) {
            let (first, last, is_refusal) = match event {
                Event::Confirm { first, last, .. } => (first, last, false),
                Event::Refuse { first, last, .. } => (first, last, true),
                other => panic!("{other:?}"),
            };
            for number in first.0..=last.0 {
                let (index, is_refused) = self.owed.remove(&number).expect("owed, once");
                assert_eq!(is_refusal, is_refused, "the confirm of {index}");
                // A duplicate is as safe as what it repeats.
                let index = self.list.entries[index].original.unwrap_or(index);
                let entry = &self.list.entries[index];
                let is_done =
                    entry.place == Place::Gone && !self.list.is_remembered(index, self.now());
                let is_written = self.written.get(index).is_some_and(|entry| entry.persistent);
                assert!(
                    is_refused || is_written || !entry.persistent || is_done,
                    "{index} was confirmed and would not survive"
                );
            }
        }
    }

    /// How many messages its subscription has.
    fn unacked(&self, client: u64) -> usize {
        let number = self.subscriptions.get(&client).map(|subscription| subscription.number);
        let place = Place::Held { client, subscription: number };
        self.list.entries.iter().filter(|entry| entry.place == place).count()
    }

    /// Nobody waits with credit while there is something to be had, or not for long; nobody has more
    /// than he may.
    fn check_progress(&mut self) {
        let now = self.now();
        let before = std::mem::take(&mut self.waits);
        for (client, subscription) in &self.subscriptions {
            let (prefetch, unacked) = (usize::from(subscription.prefetch), self.unacked(*client));
            let has_limit = prefetch > 0 && !subscription.no_ack;
            assert!(!has_limit || unacked <= prefetch, "{client} has {unacked} of {prefetch}");
            // The active one may wait until what was given to one before it is back.
            let is_served = !self.setting.single_active || self.subscribed == 1;
            if !is_served || (has_limit && unacked == prefetch) || self.list.order().is_empty() {
                continue;
            }
            let is_alone = self.list.held(*client).is_empty();
            let (quarantined, others) = (self.list.quarantined(), self.list.unquarantined());
            assert!(quarantined.is_empty() || !is_alone, "{quarantined:?} waits for nobody");
            let since = *before.get(client).unwrap_or(&now);
            self.waits.insert(*client, since);
            let has_others = match self.setting.single_active {
                true => self.list.order().first().is_some_and(|i| !self.list.is_quarantined(*i)),
                false => !others.is_empty(),
            };
            let most =
                if has_others { QUARANTINE_MS_MAX } else { QUARANTINE_MS_MAX * (CLIENTS + 2) };
            let since = since.max(self.given.get(client).copied().unwrap_or(0));
            assert!(now - since <= most, "{client} waits since {} ms", now - since);
        }
    }

    fn check_counts(&mut self) {
        let statistics = self.broker.statistics("q");
        let count = |is: fn(Place) -> bool| {
            self.list.entries.iter().filter(|entry| is(entry.place)).count() as u64
        };
        assert_eq!(statistics.ready, count(|place| place == Place::Ready));
        assert_eq!(statistics.parked, count(|place| matches!(place, Place::Parked { .. })));
        assert_eq!(statistics.unacked, count(|place| matches!(place, Place::Held { .. })));
        assert_eq!(statistics.expired, self.list.expired);
        assert_eq!(statistics.overflowed, self.list.overflowed);
        assert_eq!(statistics.refused, self.list.refused);
        assert_eq!(statistics.deduplicated, self.list.deduplicated);
        assert_eq!(statistics.missing, 0);
        let dead = count(|place| matches!(place, Place::Dead(_)));
        let letters = self.setting.letter_queue().filter(|_| dead > 0);
        assert_eq!(letters.map_or(0, |queue| self.broker.statistics(queue).ready), dead);
    }

    /// The queue tells of each message what happened to it, and of no other.
    fn check_traces(&mut self) {
        let Some(most) = self.setting.trace else { return };
        let mut found = BTreeMap::new();
        let mut below = None;
        loop {
            let queue = "q".try_into().unwrap();
            let request = TraceRequest { queue, message_id: None, below, count_max: 7 };
            let request = Box::new(request);
            self.broker.send(ADMIN, [Command::Trace { channel: CHANNEL, request }]);
            let Reply::Trace(page) = self.broker.reply(ADMIN).unwrap() else { panic!() };
            for life in page.lives {
                let index: usize = life.routing_key.to_string().parse().unwrap();
                let before = self.monotonic_before_wall();
                let told = life.events.iter().filter_map(|event| told(&event.what, before));
                assert_eq!(life.omitted, 0);
                assert!(found.insert(index, told.collect::<Vec<_>>()).is_none(), "{index} twice");
            }
            below = page.next;
            if below.is_none() {
                break;
            }
        }
        let entries = self.list.entries.iter().enumerate();
        let expected = entries.filter(|(_, entry)| !entry.story.is_empty());
        let expected = expected.map(|(index, entry)| (index, entry.story.clone()));
        let expected: BTreeMap<usize, Vec<String>> = expected.collect();
        if found.len() < most {
            assert_eq!(found, expected);
            return;
        }
        // Those that were kept last; which these are depends on the order within a step.
        assert!(found.len() == most || expected.len() < most, "{} of {most}", found.len());
        for (index, told) in found {
            let whole = &expected[&index];
            let rest = match told.split_first() {
                Some((first, rest)) if first == UNSEEN => rest,
                _ => &told[..],
            };
            // What repeats it is known as long as its record is the one that began with it.
            let is_told = |what: &&String| rest.len() == told.len() || *what != "repeated";
            let whole: Vec<&String> = whole.iter().filter(is_told).collect();
            let end = &whole[whole.len().saturating_sub(rest.len())..];
            assert!(rest.iter().eq(end.iter().copied()), "{index}: {told:?} of {whole:?}");
        }
    }

    /// By how much the wall clock is ahead.
    fn monotonic_before_wall(&self) -> u64 {
        self.broker.now.wall.0 - self.now()
    }

    /// In the end the dead letters are those that ought to be, each with its reason, and everything
    /// that was owed is kept.
    pub(super) fn finish(mut self) {
        self.broker.commit();
        self.check_traces();
        self.written = self.list.entries.clone();
        self.check_confirms();
        assert!(self.owed.is_empty(), "confirms still owed: {:?}", self.owed);
        let entries = self.list.entries.iter().enumerate();
        let expected: BTreeMap<usize, &str> = entries
            .filter_map(|(index, entry)| match entry.place {
                Place::Dead(reason) => Some((index, reason)),
                _ => None,
            })
            .collect();
        let mut found = BTreeMap::new();
        let queue = self.setting.letter_queue().filter(|_| !expected.is_empty());
        while let Some(delivery) = queue.and_then(|queue| self.take_letter(queue)) {
            found.insert(number(&delivery), reason(&delivery));
        }
        assert!(found.iter().map(|(index, reason)| (*index, reason.as_str())).eq(expected));
    }

    fn take_letter(&mut self, queue: &str) -> Option<Delivery> {
        let get = Command::Get { channel: CHANNEL, queue: queue.try_into().unwrap(), no_ack: true };
        self.broker.send(ADMIN, [get]);
        self.broker.deliveries(ADMIN).pop()
    }
}

fn number(delivery: &Delivery) -> usize {
    u32::from_be_bytes(delivery.message.body()[..4].try_into().unwrap()) as usize
}

/// What happened, as the list writes it. What waits for others of its group is not the list's to know.
fn told(what: &Happening, before_wall: u64) -> Option<String> {
    Some(match what {
        Happening::Published { by: None } => UNSEEN.to_owned(),
        Happening::Published { by: Some(by) } => {
            assert_eq!((by.connection, by.channel), (ADMIN, CHANNEL));
            "published".to_owned()
        }
        Happening::Repeated { .. } => "repeated".to_owned(),
        Happening::Refused => "refused".to_owned(),
        Happening::HeldByGroup => return None,
        Happening::Delivered { to, consumer, attempt, is_redelivered, is_settled } => {
            let client = to.as_ref().unwrap().connection.0 - connection(0).0;
            format!(
                "delivered to {client}, consumer {}, attempt {attempt}, again {is_redelivered}, \
                 settled {is_settled}",
                consumer.is_some()
            )
        }
        Happening::Acknowledged { is_late: false } => "acknowledged".to_owned(),
        Happening::Rejected { is_late: false } => "rejected".to_owned(),
        Happening::CameBack { cause } => format!("back, {}", cause.name()),
        Happening::Parked { until, .. } => format!("parked until {}", until.0 - before_wall),
        Happening::Ready => "ready".to_owned(),
        Happening::Quarantined => "quarantined".to_owned(),
        Happening::Died { reason, is_dead_letter } => {
            format!("died of {}, dead letter {is_dead_letter}", reason.name())
        }
        Happening::DeadLettered { queues, .. } => format!("dead letter in {}", queues[0]),
        Happening::Purged => "purged".to_owned(),
        other => panic!("{other:?}"),
    })
}

/// Why a dead letter died.
fn reason(delivery: &Delivery) -> String {
    let properties = RawProperties::parse(delivery.message.properties_bytes()).unwrap();
    match properties.headers().unwrap_or_default().get("x-first-death-reason") {
        Some(FieldValue::LongStr(reason)) => String::from_utf8(reason.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}
