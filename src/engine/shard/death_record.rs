//! Where and why a message died last, as the broker wrote it down or else as its headers say, and the
//! message as it was there.

use super::dead_letter_copy::{X_DEATH, short, text_of};
use crate::browse::BrowseFilter;
use crate::model::Origin;
use crate::model::{Envelope, Message, WallClock};
use bytes::BytesMut;
use forebay_wire::{FieldTable, FieldValue, RawProperties, ShortStr};

/// The newest death in another queue than the message stands in now.
#[derive(Clone, Debug)]
pub(super) struct DeathRecord {
    pub(super) queue: ShortStr,
    pub(super) reason: ShortStr,
    /// Whether the broker knows it. Otherwise the message says so itself, and whoever published it may
    /// have written anything.
    pub(super) is_proven: bool,
    exchange: ShortStr,
    routing_key: Option<ShortStr>,
    /// The deaths before it, of which the broker knows too.
    earlier: Vec<Origin>,
}

impl DeathRecord {
    /// The death of a message with these headers that stands in the queue `here` now.
    pub(super) fn of(message: &Message, headers: &FieldTable, here: &ShortStr) -> Option<Self> {
        let mut origins = message.origins().into_iter().skip_while(|origin| origin.queue == *here);
        let Some(origin) = origins.next() else { return Self::claimed(headers, here) };
        Some(Self {
            queue: origin.queue,
            reason: origin.reason,
            is_proven: true,
            exchange: origin.exchange,
            routing_key: Some(origin.routing_key),
            earlier: origins.collect(),
        })
    }

    fn claimed(headers: &FieldTable, here: &ShortStr) -> Option<Self> {
        let Some(FieldValue::Array(deaths)) = headers.get(X_DEATH) else { return None };
        deaths.iter().find_map(|death| {
            let FieldValue::Table(death) = death else { return None };
            let queue = short(text_of(death, "queue")?);
            (queue != *here).then(|| Self {
                queue,
                reason: short(text_of(death, "reason").unwrap_or_default()),
                is_proven: false,
                earlier: Vec::new(),
                exchange: short(text_of(death, "exchange").unwrap_or_default()),
                routing_key: first_key(death),
            })
        })
    }

    /// Whether it is one that the filter asks for.
    pub(super) fn fits(&self, filter: &BrowseFilter) -> bool {
        let is = |wanted: &Option<ShortStr>, value: Option<&ShortStr>| {
            wanted.as_ref().is_none_or(|wanted| Some(wanted) == value)
        };
        is(&filter.queue, Some(&self.queue))
            && is(&filter.reason, Some(&self.reason))
            && is(&filter.routing_key, self.routing_key.as_ref())
    }

    /// The message as it is to be when it goes back: exchange and routing key are those that it had
    /// there, its age begins anew, and its headers keep its history.
    pub(super) fn undo(&self, message: &Message, now: WallClock) -> Message {
        let raw = RawProperties::parse(message.properties_bytes());
        let own_key = short(message.routing_key());
        let envelope = Envelope {
            exchange: &self.exchange,
            routing_key: self.routing_key.as_ref().unwrap_or(&own_key),
            properties: &raw.unwrap_or_else(|_| RawProperties::empty()),
            published_at: now,
            expiration: message.expiration(),
        };
        let (body, arena) = (message.body().clone(), &mut BytesMut::new());
        let undone = if message.has_blind_copies() {
            Message::with_blind_copies(envelope, body, arena)
        } else {
            Message::new(envelope, body, arena)
        };
        undone.with_origins(&self.earlier)
    }
}

fn first_key(death: &FieldTable) -> Option<ShortStr> {
    let Some(FieldValue::Array(keys)) = death.get("routing-keys") else { return None };
    match keys.first() {
        Some(FieldValue::LongStr(key)) => Some(short(key)),
        _ => None,
    }
}

/// The headers of a message; none when it has none.
pub(super) fn headers(message: &Message) -> FieldTable {
    message.shown_properties().headers().unwrap_or_default()
}
