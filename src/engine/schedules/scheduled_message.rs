//! The message that a schedule publishes: as its author wrote it, with headers that tell of the schedule and
//! the due time, and with an id that is the same for the same due time.

use super::schedule::{DUE_HEADER, NAME_HEADER, RUN_HEADER, Schedule};
use crate::model::{Envelope, Fault, Message, WallClock};
use crate::published_delay::{Delay, delay};
use crate::published_properties::{copies, expiration};
use bytes::BytesMut;
use forebay_wire::{Properties, ShortStr};
use jiff::Timestamp;

/// Why a schedule publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firing {
    /// It was due then.
    Due(WallClock),
    /// An operator asked for it.
    Run {
        /// When.
        at: WallClock,
        /// How many times it was asked for before.
        number: u64,
    },
}

/// A message on its way to the exchange.
#[derive(Debug)]
pub(crate) struct ScheduledMessage {
    /// The routing key and the further ones of `CC` and `BCC`.
    pub(crate) routing_keys: Vec<ShortStr>,
    pub(crate) message: Message,
}

impl ScheduledMessage {
    /// Writes it.
    ///
    /// # Errors
    /// When it can't be published now, as when its delay would end behind the calendar.
    pub(crate) fn new(schedule: &Schedule, firing: Firing, now: WallClock) -> Result<Self, Fault> {
        let properties = properties(schedule, firing).encode();
        let further_keys = copies(&properties)?;
        let (has_blind, further_keys) = match further_keys {
            Some(copies) => (copies.has_blind, copies.routing_keys),
            None => (false, Vec::new()),
        };
        let delay = delay(&properties, now)?;
        let envelope = Envelope {
            exchange: &schedule.exchange,
            routing_key: &schedule.routing_key,
            properties: delay.as_ref().map_or(&properties, Delay::properties),
            published_at: now,
            expiration: expiration(&properties)?,
        };
        let (body, arena) = (schedule.body.clone(), &mut BytesMut::new());
        let message = match has_blind {
            true => Message::with_blind_copies(envelope, body, arena),
            false => Message::new(envelope, body, arena),
        };
        let message = match &delay {
            Some(delay) => delay.apply(message),
            None => message,
        };
        let own_key = std::iter::once(schedule.routing_key.clone());
        Ok(Self { routing_keys: own_key.chain(further_keys).collect(), message })
    }
}

fn properties(schedule: &Schedule, firing: Firing) -> Properties {
    let name = &schedule.name;
    let (header, at, id) = match firing {
        Firing::Due(due) => (DUE_HEADER, due, format!("{name}@{}", date(due))),
        Firing::Run { at, number } => (RUN_HEADER, at, format!("{name}@{}#{number}", date(at))),
    };
    let mut properties = schedule.properties.decode();
    let headers = properties.headers.get_or_insert_default();
    headers.insert(ShortStr::from_static(NAME_HEADER), name.clone());
    headers.insert(ShortStr::from_static(header), i64::try_from(at.0).unwrap_or(i64::MAX));
    properties.message_id = ShortStr::try_from(id.as_str()).ok();
    properties.timestamp = Some(at.0 / 1000);
    properties
}

/// As `2026-12-01T02:00:00Z`.
fn date(at: WallClock) -> String {
    let milliseconds = i64::try_from(at.0).ok();
    let date = milliseconds.and_then(|at| Timestamp::from_millisecond(at).ok());
    date.map_or_else(|| at.0.to_string(), |date| date.to_string())
}
