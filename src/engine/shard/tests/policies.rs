//! Policies that come and go over a living queue, with messages in it, ready and held, against a
//! naive model: a list. The work of a turn and of an input is bounded by few messages, or by many,
//! which must make no difference to what clients see.

use super::bounds::{Bounds, work_limits};
use super::broker::{Broker, CONNECTION, arguments, consume, publish, settle};
use crate::administration::Administration;
use crate::command::Command;
use crate::credit::WorkLimits;
use crate::event::Delivery;
use crate::model::{ConnectionId, Envelope, Message, QueueId, Settlement};
use crate::topology::{Policy, PolicyOwner, PolicyRequest};
use bytes::BytesMut;
use forebay_wire::properties::Properties;
use forebay_wire::{FieldTable, FieldValue, ShortStr};
use proptest::prelude::*;

const CLIENT: ConnectionId = ConnectionId(2);
const TAG: &str = "c";

/// What a policy says.
#[derive(Clone, Copy, Debug, Default)]
struct Rules {
    ttl: Option<u64>,
    length: Option<u64>,
    bytes: Option<u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Publish { count: usize, size: usize, own_ttl: Option<u64> },
    Policy(Rules),
    Clear,
    Subscribe { prefetch: u16 },
    Cancel,
    Ack { count: usize },
    Pass { milliseconds: u64 },
    Restart,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Ready,
    Held,
    Gone,
}

#[derive(Clone, Debug)]
struct Entry {
    size: u64,
    published_at: u64,
    own_ttl: Option<u64>,
    /// It was offered to consumers before.
    is_seen: bool,
    place: Place,
}

struct Model {
    broker: Broker,
    queue: QueueId,
    rules: Rules,
    entries: Vec<Entry>,
    prefetch: Option<u16>,
    held: Vec<(usize, Delivery)>,
    expired: u64,
    overflowed: u64,
    /// What left for either reason, in its order.
    dead: u64,
}

fn optional(values: std::ops::Range<u64>) -> impl Strategy<Value = Option<u64>> {
    prop::option::weighted(0.5, values)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ttl = || prop::option::weighted(0.5, prop_oneof![1 => Just(0), 3 => 1u64..300]);
    let rules = (ttl(), optional(0..20), optional(0..400))
        .prop_map(|(ttl, length, bytes)| Step::Policy(Rules { ttl, length, bytes }));
    let step = prop_oneof![
        6 => (1usize..20, 4usize..30, prop::option::weighted(0.2, 0u64..300))
            .prop_map(|(count, size, own_ttl)| Step::Publish { count, size, own_ttl }),
        3 => rules,
        1 => Just(Step::Clear),
        3 => (0u16..5).prop_map(|prefetch| Step::Subscribe { prefetch }),
        2 => Just(Step::Cancel),
        4 => (1usize..6).prop_map(|count| Step::Ack { count }),
        4 => (1u64..200).prop_map(|milliseconds| Step::Pass { milliseconds }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

pub(super) fn policy(pattern: &str, definition: &[(&str, FieldValue)]) -> Administration {
    let request = PolicyRequest {
        name: &ShortStr::from_static("p"),
        pattern,
        apply_to: "queues",
        definition: &arguments(definition),
        priority: 0,
    };
    let policy = Policy::new(PolicyOwner::User, request).unwrap();
    Administration::SetPolicy { vhost: ShortStr::from_static("/"), policy: Box::new(policy) }
}

impl Model {
    fn new(limits: WorkLimits) -> Self {
        let mut broker = Broker::new();
        broker.open(CONNECTION);
        broker.open(CLIENT);
        broker.declare("dead", true, FieldTable::new());
        let text = |text: &'static str| FieldValue::LongStr(text.into());
        let arguments = arguments(&[
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text("dead")),
            ("x-delivery-limit", FieldValue::I32(-1)),
        ]);
        let queue = broker.declare("q", true, arguments);
        broker.bound(Bounds { work: limits, ..Bounds::default() });
        Self {
            broker,
            queue,
            rules: Rules::default(),
            entries: Vec::new(),
            prefetch: None,
            held: Vec::new(),
            expired: 0,
            overflowed: 0,
            dead: 0,
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Publish { count, size, own_ttl } => self.publish(count, size, own_ttl),
            Step::Policy(rules) => self.set_policy(rules),
            Step::Clear => self.set_policy(Rules::default()),
            Step::Subscribe { prefetch } if self.prefetch.is_none() => {
                self.prefetch = Some(prefetch);
                self.broker.subscribe(CLIENT, consume("q", TAG, prefetch));
            }
            Step::Cancel if self.prefetch.is_some() => {
                self.prefetch = None;
                let consumer_tag = TAG.try_into().unwrap();
                let channel = super::broker::CHANNEL;
                self.broker.send(CLIENT, [Command::Cancel { channel, consumer_tag }]);
                self.release();
            }
            Step::Subscribe { .. } | Step::Cancel => {}
            Step::Ack { count } => {
                let acked: Vec<_> = self.held.drain(..count.min(self.held.len())).collect();
                let deliveries: Vec<&Delivery> = acked.iter().map(|(_, held)| held).collect();
                self.broker.send(CLIENT, [settle(self.queue, Settlement::Ack, &deliveries)]);
                acked.iter().for_each(|(index, _)| self.entries[*index].place = Place::Gone);
            }
            Step::Pass { milliseconds } => self.broker.pass(milliseconds),
            Step::Restart => self.restart(),
        }
        self.turn();
        self.check();
    }

    /// The client gives back what it holds, so that every subscription begins with all its credit.
    fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        let deliveries: Vec<&Delivery> = held.iter().map(|(_, held)| held).collect();
        self.broker.send(CLIENT, [settle(self.queue, Settlement::Recover, &deliveries)]);
        held.iter().for_each(|(index, _)| self.entries[*index].place = Place::Ready);
    }

    fn publish(&mut self, count: usize, size: usize, own_ttl: Option<u64>) {
        let first = self.entries.len();
        let published_at = self.broker.now.wall.0;
        let expiration = own_ttl.map(|ttl| ttl.to_string());
        let properties = Properties {
            delivery_mode: Some(2),
            expiration: expiration.map(|text| text.as_str().try_into().unwrap()),
            ..Properties::default()
        };
        let message = |index: usize| {
            let envelope = Envelope {
                exchange: &ShortStr::EMPTY,
                routing_key: &ShortStr::from_static("q"),
                properties: &properties.encode(),
                published_at: self.broker.now.wall,
                expiration: own_ttl,
            };
            let mut body = (index as u32).to_be_bytes().to_vec();
            body.resize(size, 0);
            Message::new(envelope, body.into(), &mut BytesMut::new())
        };
        let messages = (first..first + count).map(message).collect();
        let (size, is_seen, place) = (size as u64, false, Place::Ready);
        let entry = Entry { size, published_at, own_ttl, is_seen, place };
        self.entries.extend(vec![entry; count]);
        self.broker.send(CONNECTION, [publish(self.queue, messages, None)]);
    }

    fn set_policy(&mut self, rules: Rules) {
        self.rules = rules;
        let number = |name, value: Option<u64>| Some((name, FieldValue::I64(value? as i64)));
        let definition = [
            number("message-ttl", rules.ttl),
            number("max-length", rules.length),
            number("max-length-bytes", rules.bytes),
        ];
        let definition: Vec<_> = definition.into_iter().flatten().collect();
        let request = if definition.is_empty() {
            let (vhost, name) = (ShortStr::from_static("/"), ShortStr::from_static("p"));
            Administration::ClearPolicy { vhost, owner: PolicyOwner::User, name }
        } else {
            policy("^q$", &definition)
        };
        self.broker.administer(request);
    }

    fn restart(&mut self) {
        self.broker.commit();
        self.broker.crash();
        self.broker.open(CONNECTION);
        self.broker.open(CLIENT);
        self.broker.fetch();
        self.prefetch = None;
        self.held.clear();
        (self.expired, self.overflowed) = (0, 0);
        for entry in self.entries.iter_mut().filter(|entry| entry.place != Place::Gone) {
            (entry.place, entry.is_seen) = (Place::Ready, true);
        }
    }

    fn front(&self) -> Option<usize> {
        self.entries.iter().position(|entry| entry.place == Place::Ready)
    }

    fn is_overdue(&self, index: usize) -> bool {
        let entry = &self.entries[index];
        let ttl = self.rules.ttl.into_iter().chain(entry.own_ttl).min();
        ttl.is_some_and(|ttl| entry.published_at + ttl <= self.broker.now.wall.0)
    }

    fn expire(&mut self, index: usize) {
        self.entries[index].place = Place::Gone;
        self.expired += 1;
        self.dead += 1;
    }

    fn is_over(&self) -> bool {
        let ready = self.entries.iter().filter(|entry| entry.place == Place::Ready);
        let (count, bytes) = ready.fold((0, 0), |(n, bytes), entry| (n + 1, bytes + entry.size));
        self.rules.length.is_some_and(|length| count > length)
            || self.rules.bytes.is_some_and(|most| bytes > most)
    }

    /// Consumers come first, then what is too old leaves, then what is too much.
    fn turn(&mut self) {
        let mut deliveries = self.broker.deliveries(CLIENT).into_iter();
        let has_credit = |held: usize, prefetch: Option<u16>| {
            prefetch.is_some_and(|most| most == 0 || held < usize::from(most))
        };
        while has_credit(self.held.len(), self.prefetch)
            && let Some(front) = self.front()
        {
            if self.entries[front].is_seen && self.is_overdue(front) {
                self.expire(front);
                continue;
            }
            let delivery = deliveries.next().expect("a delivery");
            let body = delivery.message.body();
            assert_eq!(u32::from_be_bytes(body[..4].try_into().unwrap()) as usize, front);
            self.entries[front].place = Place::Held;
            self.held.push((front, delivery));
        }
        assert!(deliveries.next().is_none(), "nobody asked for it");
        loop {
            while let Some(front) = self.front().filter(|front| self.is_overdue(*front)) {
                self.expire(front);
            }
            let Some(front) = self.front().filter(|_| self.is_over()) else { break };
            self.entries[front].place = Place::Gone;
            self.overflowed += 1;
            self.dead += 1;
        }
        self.entries.iter_mut().for_each(|entry| entry.is_seen = true);
    }

    fn check(&mut self) {
        let count = |place| self.entries.iter().filter(|entry| entry.place == place).count();
        let statistics = self.broker.statistics("q");
        assert_eq!(statistics.ready, count(Place::Ready) as u64);
        assert_eq!(statistics.unacked, count(Place::Held) as u64);
        assert_eq!((statistics.expired, statistics.overflowed), (self.expired, self.overflowed));
        assert_eq!(self.broker.statistics("dead").ready, self.dead);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_keeps_the_rules_that_policies_give_it_while_it_lives(
        limits in work_limits(),
        steps in steps(),
    ) {
        let mut model = Model::new(limits);
        steps.iter().for_each(|step| model.apply(step));
    }
}

#[test]
fn the_time_without_use_counts_from_when_a_policy_sets_it() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.declare("q", true, FieldTable::new());
    broker.pass(10_000);
    broker.administer(policy("^q$", &[("expires", FieldValue::I32(1000))]));
    broker.pass(999);
    assert_eq!(broker.shard.statistics().queues.len(), 1);
    // Set anew with the same time, nothing changes; another one begins anew.
    broker.administer(policy("^q$", &[("expires", FieldValue::I32(5000))]));
    broker.administer(policy("^q$", &[("expires", FieldValue::I32(5000))]));
    broker.pass(4999);
    assert_eq!(broker.shard.statistics().queues.len(), 1);
    broker.pass(1);
    assert_eq!(broker.shard.statistics().queues.len(), 0);
}
