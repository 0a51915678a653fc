//! What is known of one message.

use super::happening::Happening;
use crate::deduplication::DedupKey;
use crate::limits::{LIFE_EVENTS_FIRST, LIFE_EVENTS_MAX};
use crate::model::{DelayedId, Message, Position, WallClock};
use bytes::Bytes;
use forebay_wire::{RawProperties, ShortStr};

/// Bytes that the entries for one life take in the indices, about.
const INDEX_SIZE: usize = 160;

/// A life, among those of its queue: ascending in the order in which their records began, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LifeNumber(pub u64);

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifeEvent {
    /// By the wall clock.
    pub at: WallClock,
    /// What.
    pub what: Happening,
}

/// The life of one message in one queue.
#[derive(Clone, Debug)]
pub struct Life {
    /// Its number.
    pub number: LifeNumber,
    /// Where the message stands, or stood; `None`: it never came into the order.
    pub position: Option<Position>,
    /// How it was named while it was delayed.
    pub delayed: Option<DelayedId>,
    /// The property `message-id`.
    pub message_id: Option<ShortStr>,
    /// The exchange that it was published to.
    pub exchange: ShortStr,
    /// The routing key that it was published with.
    pub routing_key: ShortStr,
    /// Bytes of its body.
    pub size: u64,
    /// What happened, in order: at most [`LIFE_EVENTS_MAX`].
    pub events: Vec<LifeEvent>,
    /// How many events are left out behind the first [`LIFE_EVENTS_FIRST`].
    pub omitted: u64,
    /// By which other messages are duplicates of it.
    pub(super) key: Option<DedupKey>,
}

impl Life {
    /// A message to which nothing has happened yet. What is kept of it is copied out of the buffer that it
    /// was received in.
    pub(crate) fn of(message: &Message) -> Self {
        let properties = RawProperties::parse(message.properties_bytes()).ok();
        let message_id = properties.and_then(|properties| properties.message_id());
        Self {
            number: LifeNumber(0),
            position: None,
            delayed: None,
            message_id: message_id.map(|id| id.detached()),
            exchange: copied(message.exchange()),
            routing_key: copied(message.routing_key()),
            size: message.body().len() as u64,
            events: Vec::new(),
            omitted: 0,
            key: None,
        }
    }

    /// Adds what happened; the events in the middle give way.
    pub(super) fn add(&mut self, at: WallClock, what: Happening) {
        if self.events.len() >= LIFE_EVENTS_MAX {
            self.events.remove(LIFE_EVENTS_FIRST);
            self.omitted += 1;
        }
        self.events.push(LifeEvent { at, what });
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn size_in_memory(&self) -> usize {
        let texts = self.exchange.len() + self.routing_key.len();
        let outside = self.events.iter().map(|event| event.what.outside_size());
        size_of::<Self>()
            + INDEX_SIZE
            + texts
            + self.message_id.as_ref().map_or(0, ShortStr::len)
            + self.events.capacity() * size_of::<LifeEvent>()
            + outside.sum::<usize>()
    }
}

fn copied(bytes: &[u8]) -> ShortStr {
    ShortStr::try_from(Bytes::copy_from_slice(bytes)).unwrap_or_default()
}
