//! A message as it lives in queues, pages and deliveries.
//!
//! ```text
//! head: version:u8 flags:u8 priority:u8 exchange_len:u8 routing_key_len:u8 properties_len:u24
//!       published_at:u64 (ms since the epoch) expiration:u64 (ms; NO_EXPIRATION: none)
//!       exchange routing_key properties (all integers big endian)
//!       version 2, of dead letters: origins, as in [`crate::origin`]
//! body: the bytes, untouched
//! ```
//!
//! The head is written once, when the message is published (and once more when a delay is over), and is
//! then passed on, stored and read back as it is: a delivery copies its slices straight into frames. A clone costs two
//! reference counts and copies nothing.

use super::origin::{self, Origin};
use super::{BodyId, DueClock, WallClock};
use bytes::{BufMut, Bytes, BytesMut};
use forebay_wire::{RawProperties, ShortStr};

const VERSION: u8 = 1;
/// Of a head that ends with origins.
const VERSION_WITH_ORIGINS: u8 = 2;
const HEAD_FIXED_SIZE: usize = 24;
const FLAG_PERSISTENT: u8 = 1;
/// The properties have a header `BCC`, which no consumer is shown.
const FLAG_BLIND_COPIES: u8 = 2;
/// The message waits until `published_at`, which is when it is due, by [`DueClock::Elapsed`].
const FLAG_DELAYED: u8 = 4;
/// The same by [`DueClock::Calendar`].
const FLAG_DELAYED_TO_DATE: u8 = 8;
const NO_EXPIRATION: u64 = u64::MAX;
const PUBLISHED_AT: usize = 8;

/// The header with further routing keys.
pub(crate) const CARBON_COPY: &str = "CC";

/// The header with further routing keys that consumers are not shown.
pub(crate) const BLIND_CARBON_COPY: &str = "BCC";

/// One message: routing facts, properties as they came, body. Immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    head: Bytes,
    body: Bytes,
    /// 0: the body is this message's own.
    body_id: BodyId,
}

/// The bytes are no message head: from a damaged or newer store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageHeadError {
    /// The version is not ours.
    #[error("message head has version {found}, expected {VERSION} or {VERSION_WITH_ORIGINS}")]
    Version {
        /// What stood there.
        found: u8,
    },
    /// The lengths in the head don't add up to its size.
    #[error("message head is {found} bytes, its own lengths ask for {expected}")]
    Length {
        /// Bytes there.
        found: usize,
        /// Bytes that the lengths ask for.
        expected: usize,
    },
    /// What follows the properties is no list of origins.
    #[error("message head has damaged origins")]
    Origins,
}

/// What a message is made from, as the publisher sent it.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The exchange it was published to; empty for the default exchange.
    pub exchange: &'a ShortStr,
    /// The routing key as published.
    pub routing_key: &'a ShortStr,
    /// Properties as on the wire, already validated; at most `PROPERTIES_SIZE_MAX` bytes.
    pub properties: &'a RawProperties,
    /// When the broker took it.
    pub published_at: WallClock,
    /// The per-message time to live in ms (`expiration`), parsed.
    pub expiration: Option<u64>,
}

impl Message {
    /// Writes the head behind `arena`'s content and splits it off: many heads share one allocation.
    pub fn new(envelope: Envelope<'_>, body: Bytes, arena: &mut BytesMut) -> Self {
        Self::with_flags(envelope, body, arena, 0)
    }

    /// A message with a header `BCC`. The header stays with the message, since a dead letter goes by
    /// those keys too; [`Self::shown_properties`] leaves it out.
    pub fn with_blind_copies(envelope: Envelope<'_>, body: Bytes, arena: &mut BytesMut) -> Self {
        Self::with_flags(envelope, body, arena, FLAG_BLIND_COPIES)
    }

    /// The message as it waits for its due time, which stands in the place of the time of publishing until
    /// then.
    #[must_use]
    pub fn delayed(self, clock: DueClock, due: WallClock) -> Self {
        let flag = match clock {
            DueClock::Elapsed => FLAG_DELAYED,
            DueClock::Calendar => FLAG_DELAYED_TO_DATE,
        };
        self.with_delay(flag, due)
    }

    /// The message as it comes into its queue: published at this time, and delayed no more.
    #[must_use]
    pub(crate) fn released(self, published_at: WallClock) -> Self {
        self.with_delay(0, published_at)
    }

    fn with_delay(mut self, flag: u8, at: WallClock) -> Self {
        let flags = self.byte(1) & !(FLAG_DELAYED | FLAG_DELAYED_TO_DATE) | flag;
        let mut head = BytesMut::with_capacity(self.head.len());
        head.put_u8(self.byte(0));
        head.put_u8(flags);
        head.put_slice(self.part(2, PUBLISHED_AT - 2));
        head.put_u64(at.0);
        head.put_slice(self.head.get(PUBLISHED_AT + 8..).unwrap_or_default());
        self.head = head.freeze();
        self
    }

    fn with_flags(envelope: Envelope<'_>, body: Bytes, arena: &mut BytesMut, flags: u8) -> Self {
        let properties = envelope.properties.as_bytes();
        let exchange = envelope.exchange.as_bytes();
        let routing_key = envelope.routing_key.as_bytes();
        let persistent = envelope.properties.delivery_mode() == Some(2);
        arena.reserve(HEAD_FIXED_SIZE + exchange.len() + routing_key.len() + properties.len());
        arena.put_u8(VERSION);
        arena.put_u8(flags | if persistent { FLAG_PERSISTENT } else { 0 });
        arena.put_u8(envelope.properties.priority().unwrap_or(0));
        arena.put_u8(exchange.len() as u8);
        arena.put_u8(routing_key.len() as u8);
        arena.put_uint(properties.len() as u64, 3);
        arena.put_u64(envelope.published_at.0);
        arena.put_u64(envelope.expiration.unwrap_or(NO_EXPIRATION));
        arena.put_slice(exchange);
        arena.put_slice(routing_key);
        arena.put_slice(properties);
        Self { head: arena.split().freeze(), body, body_id: BodyId(0) }
    }

    /// Takes a head as it was stored.
    ///
    /// # Errors
    /// When the version is unknown or the lengths don't add up: the bytes are damaged.
    pub fn from_stored(head: Bytes, body: Bytes) -> Result<Self, MessageHeadError> {
        match head.first() {
            Some(&VERSION | &VERSION_WITH_ORIGINS) => {}
            found => return Err(MessageHeadError::Version { found: found.copied().unwrap_or(0) }),
        }
        let message = Self { head, body, body_id: BodyId(0) };
        let (found, expected) = (message.head.len(), message.plain_size());
        if found < expected || (found > expected && !message.has_origins()) {
            return Err(MessageHeadError::Length { found, expected });
        }
        match message.decode_origins() {
            Some(_) => Ok(message),
            None => Err(MessageHeadError::Origins),
        }
    }

    /// Marks the message as moved by the broker itself because it died, the latest death first. Only
    /// the broker calls this, so that what it says is true, unlike what a publisher writes into `x-death`.
    #[must_use]
    pub(crate) fn with_origins(mut self, origins: &[Origin]) -> Self {
        let fields = self.part(1, self.plain_size() - 1);
        let mut head = BytesMut::with_capacity(self.head.len());
        head.put_u8(if origins.is_empty() { VERSION } else { VERSION_WITH_ORIGINS });
        head.put_slice(fields);
        if !origins.is_empty() {
            origin::encode(origins, &mut head);
        }
        self.head = head.freeze();
        self
    }

    /// The deaths that the broker knows of, the latest first; none of a message as it was published.
    #[must_use]
    pub fn origins(&self) -> Vec<Origin> {
        // They were checked when the message was read, and its page by a checksum.
        self.decode_origins().unwrap_or_default()
    }

    fn has_origins(&self) -> bool {
        self.byte(0) == VERSION_WITH_ORIGINS
    }

    fn decode_origins(&self) -> Option<Vec<Origin>> {
        if !self.has_origins() {
            return Some(Vec::new());
        }
        let start = self.plain_size();
        (start <= self.head.len()).then(|| self.head.slice(start..)).and_then(origin::decode)
    }

    /// Bytes of the head without origins.
    fn plain_size(&self) -> usize {
        let names = usize::from(self.byte(3)) + usize::from(self.byte(4));
        HEAD_FIXED_SIZE + names + self.properties_length()
    }

    /// A copy of the message in other memory, which `copy` provides: for messages that stay longer than
    /// the receive buffer they came in should.
    #[must_use]
    pub fn copied_by(&self, copy: &mut impl FnMut(&Bytes) -> Bytes) -> Self {
        Self { head: copy(&self.head), body: copy(&self.body), body_id: self.body_id }
    }

    /// The head as it is stored.
    #[must_use]
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body under which several queues' messages are stored once; `None`: it is this message's own.
    #[must_use]
    pub fn shared_body(&self) -> Option<BodyId> {
        (self.body_id != BodyId(0)).then_some(self.body_id)
    }

    /// Marks the message's body as one that other messages have, too.
    #[must_use]
    pub fn with_shared_body(mut self, id: BodyId) -> Self {
        self.body_id = id;
        self
    }

    /// Bytes that the message takes, head and body.
    #[must_use]
    pub fn size(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether the publisher asked for it to be kept (`delivery_mode` 2).
    #[must_use]
    pub fn is_persistent(&self) -> bool {
        self.byte(1) & FLAG_PERSISTENT != 0
    }

    /// The clock and the time by which it waits; `None`: it does not, or no more.
    #[must_use]
    pub fn delay(&self) -> Option<(DueClock, WallClock)> {
        let clock = match self.byte(1) & (FLAG_DELAYED | FLAG_DELAYED_TO_DATE) {
            0 => return None,
            FLAG_DELAYED => DueClock::Elapsed,
            _ => DueClock::Calendar,
        };
        Some((clock, WallClock(self.integer(PUBLISHED_AT))))
    }

    /// Whether it has a header `BCC`.
    #[must_use]
    pub fn has_blind_copies(&self) -> bool {
        self.byte(1) & FLAG_BLIND_COPIES != 0
    }

    /// The properties as consumers see them.
    #[must_use]
    pub fn shown_properties(&self) -> RawProperties {
        // They were checked when the message came, and its page by a checksum.
        let raw = RawProperties::parse(self.properties_bytes())
            .unwrap_or_else(|_| RawProperties::empty());
        if !self.has_blind_copies() {
            return raw;
        }
        let mut properties = raw.decode();
        properties.headers.as_mut().map(|headers| headers.remove(BLIND_CARBON_COPY));
        properties.encode()
    }

    /// The priority as published; 0 when none was given.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.byte(2)
    }

    /// When the broker took it; of one that was delayed, when it was due.
    #[must_use]
    pub fn published_at(&self) -> WallClock {
        WallClock(self.integer(PUBLISHED_AT))
    }

    /// The time to live in ms that the publisher gave (`expiration`).
    #[must_use]
    pub fn expiration(&self) -> Option<u64> {
        Some(self.integer(16)).filter(|value| *value != NO_EXPIRATION)
    }

    /// The exchange it was published to.
    #[must_use]
    pub fn exchange(&self) -> &[u8] {
        self.part(HEAD_FIXED_SIZE, self.byte(3) as usize)
    }

    /// The routing key as published.
    #[must_use]
    pub fn routing_key(&self) -> &[u8] {
        self.part(HEAD_FIXED_SIZE + self.byte(3) as usize, self.byte(4) as usize)
    }

    /// The properties as on the wire.
    #[must_use]
    pub fn properties(&self) -> &[u8] {
        let start = HEAD_FIXED_SIZE + self.byte(3) as usize + self.byte(4) as usize;
        self.part(start, self.properties_length())
    }

    /// The properties as on the wire, sharing the head's memory.
    #[must_use]
    pub fn properties_bytes(&self) -> Bytes {
        self.head.slice_ref(self.properties())
    }

    fn byte(&self, at: usize) -> u8 {
        self.head.get(at).copied().unwrap_or(0)
    }

    fn integer(&self, at: usize) -> u64 {
        self.part(at, 8).iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn properties_length(&self) -> usize {
        self.part(5, 3).iter().fold(0, |value, byte| value << 8 | usize::from(*byte))
    }

    fn part(&self, start: usize, length: usize) -> &[u8] {
        self.head.get(start..start + length).unwrap_or_default()
    }
}
