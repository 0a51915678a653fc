//! The copy of a message that becomes a dead letter, with its history in the headers as RabbitMQ
//! writes it: `x-death`, one entry for each queue and reason, the latest first; `x-first-death-*`
//! and `x-last-death-*`.

use crate::limits::{DEAD_LETTER_COPIES_MAX, DEAD_LETTER_HOPS_MAX};
use crate::model::Origin;
use crate::model::{BLIND_CARBON_COPY, CARBON_COPY, DeathReason, Envelope, Message, WallClock};
use crate::queue::DeadLetter;
use bytes::{Bytes, BytesMut};
use forebay_wire::properties::Properties;
use forebay_wire::{FieldTable, FieldValue, RawProperties, ShortStr};
use std::collections::BTreeMap;

pub(super) const X_DEATH: &str = "x-death";
/// How many copies of a message there may be, made by dead letters that went to several queues
/// without a client having a hand in it. Not there: one.
const X_COPIES: &str = "x-dead-letter-copies";

/// Where a dead letter goes.
#[derive(Clone, Debug)]
pub(super) struct DeadLetterAddress {
    /// The exchange it is published to.
    pub(super) exchange: ShortStr,
    /// The routing key; nothing: those that it has.
    pub(super) routing_key: Option<ShortStr>,
}

/// A dead letter on its way.
#[derive(Clone, Debug)]
pub(super) struct DeadLetterCopy<'a> {
    original: &'a Message,
    address: &'a DeadLetterAddress,
    properties: Properties,
    pub(super) routing_keys: Vec<ShortStr>,
    pub(super) headers: FieldTable,
    /// This death and those before it, as the broker knows them.
    origins: Vec<Origin>,
    reason: DeathReason,
}

impl<'a> DeadLetterCopy<'a> {
    /// Writes it for a message that died in `queue`.
    pub(super) fn new(
        letter: &'a DeadLetter,
        queue: &ShortStr,
        address: &'a DeadLetterAddress,
        now: WallClock,
    ) -> Self {
        let DeadLetter { message, reason, .. } = letter;
        let raw = RawProperties::parse(message.properties_bytes()).ok();
        let mut properties = raw.map(|raw| raw.decode()).unwrap_or_default();
        let mut headers = properties.headers.take().unwrap_or_default();
        let own_key = short(message.routing_key());
        let copies = keys(&headers, CARBON_COPY);
        let blind_copies =
            if message.has_blind_copies() { keys(&headers, BLIND_CARBON_COPY) } else { Vec::new() };
        let death = Death {
            reason: *reason,
            queue,
            exchange: short(message.exchange()),
            routing_keys: std::iter::once(&own_key).chain(&copies).cloned().collect(),
            expiration: properties.expiration.take(),
            at: now,
        };
        death.record(&mut headers);
        let origins = death.origin(&own_key).after(message.origins());
        if !reason.is_automatic() {
            headers.remove(X_COPIES);
        }
        let routing_keys = match &address.routing_key {
            Some(key) => {
                headers.remove(CARBON_COPY);
                if message.has_blind_copies() {
                    headers.remove(BLIND_CARBON_COPY);
                }
                vec![key.clone()]
            }
            None => std::iter::once(own_key).chain(copies).chain(blind_copies).collect(),
        };
        let (original, reason) = (message, *reason);
        Self { original, address, properties, routing_keys, headers, origins, reason }
    }

    /// The message for as many queues as it goes to.
    pub(super) fn into_message(mut self, queues: usize, now: WallClock) -> Message {
        let copies = self.copies_in(queues);
        if self.reason.is_automatic() && queues > 1 {
            let copies = i64::try_from(copies).unwrap_or(i64::MAX);
            set(&mut self.headers, X_COPIES, FieldValue::I64(copies));
            self.headers = sorted(self.headers);
        }
        self.properties.headers = Some(self.headers);
        let routing_key = self.routing_keys.first();
        rewritten(self.original, &self.properties, self.address, routing_key, now)
            .with_origins(&self.origins)
    }

    /// The exchange that it goes to.
    pub(super) fn exchange(&self) -> &'a ShortStr {
        &self.address.exchange
    }

    /// Takes the count of copies away: whoever finds the message decides what becomes of it.
    pub(super) fn forget_copies(&mut self) {
        self.headers.remove(X_COPIES);
    }

    /// Whether it has died so often without any client having a hand in it, or would then be copied
    /// to so many queues, that it is not to go on by itself.
    pub(super) fn goes_too_far(&self, queues: usize) -> bool {
        if !self.reason.is_automatic() {
            return false;
        }
        let deaths = self.deaths().take_while(|death| is_automatic(death)).count();
        let grows = queues > 1 && self.copies() > 1;
        deaths > DEAD_LETTER_HOPS_MAX || (grows && self.copies_in(queues) > DEAD_LETTER_COPIES_MAX)
    }

    /// How many copies of the message there may be already.
    fn copies(&self) -> u64 {
        let copies = self.headers.get(X_COPIES).and_then(FieldValue::as_integer);
        copies.and_then(|copies| u64::try_from(copies).ok()).unwrap_or(1).max(1)
    }

    /// How many there may be when this one goes to so many queues.
    fn copies_in(&self, queues: usize) -> u64 {
        self.copies().saturating_mul(queues as u64)
    }

    /// What it died of, the latest first.
    fn deaths(&self) -> impl Iterator<Item = &FieldTable> {
        let deaths = match self.headers.get(X_DEATH) {
            Some(FieldValue::Array(deaths)) => deaths.as_slice(),
            _ => &[],
        };
        deaths.iter().filter_map(|death| match death {
            FieldValue::Table(death) => Some(death),
            _ => None,
        })
    }

    /// Whether it would come back to a queue that it went through before without any client having
    /// had a hand in it.
    pub(super) fn is_cycle(&self, queue: &ShortStr) -> bool {
        self.reason.is_automatic()
            && self
                .deaths()
                .take_while(|death| is_automatic(death))
                .any(|death| text_of(death, "queue") == Some(queue.as_bytes()))
    }
}

/// What is to be recorded of a death.
struct Death<'a> {
    reason: DeathReason,
    queue: &'a ShortStr,
    exchange: ShortStr,
    routing_keys: Vec<ShortStr>,
    expiration: Option<ShortStr>,
    at: WallClock,
}

impl Death<'_> {
    fn record(&self, headers: &mut FieldTable) {
        let earlier = headers.remove(X_DEATH);
        let is_first = earlier.is_none();
        let mut deaths = match earlier {
            Some(FieldValue::Array(deaths)) => merged(deaths),
            _ => Vec::new(),
        };
        if is_first {
            self.summarize(
                headers,
                ["x-first-death-reason", "x-first-death-queue", "x-first-death-exchange"],
            );
        }
        self.summarize(
            headers,
            ["x-last-death-reason", "x-last-death-queue", "x-last-death-exchange"],
        );
        let has_earlier = !deaths.is_empty();
        let known = deaths.iter().position(|death| self.is_like(death));
        let entry = match known.map(|at| deaths.remove(at)) {
            Some(FieldValue::Table(mut entry)) => {
                let count = entry.get("count").and_then(count).unwrap_or(0);
                set(&mut entry, "count", FieldValue::I64(count.saturating_add(1)));
                entry
            }
            _ => self.entry(),
        };
        let entry = if has_earlier { sorted(entry) } else { entry };
        deaths.insert(0, FieldValue::Table(entry));
        set(headers, X_DEATH, FieldValue::Array(deaths));
        *headers = sorted(std::mem::take(headers));
    }

    fn origin(&self, routing_key: &ShortStr) -> Origin {
        Origin {
            queue: self.queue.clone(),
            reason: ShortStr::from_static(self.reason.name()),
            exchange: self.exchange.clone(),
            routing_key: routing_key.clone(),
        }
    }

    fn summarize(&self, headers: &mut FieldTable, [reason, queue, exchange]: [&'static str; 3]) {
        set(headers, reason, text(self.reason.name().as_bytes()));
        set(headers, queue, text(self.queue.as_bytes()));
        set(headers, exchange, text(self.exchange.as_bytes()));
    }

    fn entry(&self) -> FieldTable {
        let mut entry = FieldTable::new();
        set(&mut entry, "count", FieldValue::I64(1));
        set(&mut entry, "reason", text(self.reason.name().as_bytes()));
        set(&mut entry, "queue", text(self.queue.as_bytes()));
        set(&mut entry, "time", FieldValue::Timestamp(self.at.0 / 1000));
        set(&mut entry, "exchange", text(self.exchange.as_bytes()));
        let keys = self.routing_keys.iter().map(|key| text(key.as_bytes())).collect();
        set(&mut entry, "routing-keys", FieldValue::Array(keys));
        if let Some(expiration) = &self.expiration {
            set(&mut entry, "original-expiration", text(expiration.as_bytes()));
        }
        entry
    }

    fn is_like(&self, death: &FieldValue) -> bool {
        let FieldValue::Table(death) = death else { return false };
        text_of(death, "queue") == Some(self.queue.as_bytes())
            && text_of(death, "reason") == Some(self.reason.name().as_bytes())
    }
}

/// Brokers before RabbitMQ 3.6 wrote one entry for each death, without a count: those of a queue and
/// a reason become one.
fn merged(deaths: Vec<FieldValue>) -> Vec<FieldValue> {
    let mut numbers: BTreeMap<(Vec<u8>, Vec<u8>), i64> = BTreeMap::new();
    for death in &deaths {
        let number = numbers.entry(queue_and_reason(death)).or_default();
        *number = number.saturating_add(1);
    }
    let first_of_its_kind = |death: FieldValue| {
        let number = numbers.remove(&queue_and_reason(&death))?;
        let FieldValue::Table(mut entry) = death else { return Some(death) };
        if entry.get("count").is_none() {
            set(&mut entry, "count", FieldValue::I64(number));
        }
        Some(FieldValue::Table(entry))
    };
    deaths.into_iter().filter_map(first_of_its_kind).collect()
}

fn queue_and_reason(death: &FieldValue) -> (Vec<u8>, Vec<u8>) {
    let FieldValue::Table(death) = death else { return Default::default() };
    let part = |name| text_of(death, name).unwrap_or_default().to_vec();
    (part("queue"), part("reason"))
}

fn rewritten(
    message: &Message,
    properties: &Properties,
    address: &DeadLetterAddress,
    routing_key: Option<&ShortStr>,
    now: WallClock,
) -> Message {
    let no_key = ShortStr::EMPTY;
    let envelope = Envelope {
        exchange: &address.exchange,
        routing_key: routing_key.unwrap_or(&no_key),
        properties: &properties.encode(),
        published_at: now,
        expiration: None,
    };
    let (body, arena) = (message.body().clone(), &mut BytesMut::new());
    let headers = properties.headers.as_ref();
    let is_blind = message.has_blind_copies()
        && headers.is_some_and(|headers| headers.get(BLIND_CARBON_COPY).is_some());
    let dead_letter = if is_blind {
        Message::with_blind_copies(envelope, body, arena)
    } else {
        Message::new(envelope, body, arena)
    };
    match message.shared_body() {
        Some(id) => dead_letter.with_shared_body(id),
        None => dead_letter,
    }
}

fn keys(headers: &FieldTable, name: &str) -> Vec<ShortStr> {
    let Some(FieldValue::Array(copies)) = headers.get(name) else { return Vec::new() };
    let keys = copies.iter().filter_map(|copy| match copy {
        FieldValue::LongStr(key) => ShortStr::try_from(key.clone()).ok(),
        _ => None,
    });
    keys.collect()
}

fn is_automatic(death: &FieldTable) -> bool {
    let by_client = [DeathReason::Rejected, DeathReason::DeliveryLimit];
    let reason = text_of(death, "reason");
    by_client.iter().all(|by_client| reason != Some(by_client.name().as_bytes()))
}

pub(super) fn text_of<'a>(table: &'a FieldTable, name: &str) -> Option<&'a [u8]> {
    match table.get(name) {
        Some(FieldValue::LongStr(text)) => Some(text),
        _ => None,
    }
}

/// Clients that publish a dead letter again write the number in the smallest type that holds it.
fn count(value: &FieldValue) -> Option<i64> {
    value.as_integer().and_then(|count| i64::try_from(count).ok())
}

fn set(table: &mut FieldTable, name: &'static str, value: FieldValue) {
    table.insert(ShortStr::from_static(name), value);
}

/// In the order of the names, as RabbitMQ leaves a table that it has changed.
fn sorted(table: FieldTable) -> FieldTable {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    entries.into_iter().collect()
}

fn text(bytes: &[u8]) -> FieldValue {
    FieldValue::LongStr(Bytes::copy_from_slice(bytes))
}

pub(super) fn short(bytes: &[u8]) -> ShortStr {
    ShortStr::try_from(Bytes::copy_from_slice(bytes)).unwrap_or_default()
}
