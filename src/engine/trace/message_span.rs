//! What the broker did with a message whose trace is recorded, as a span of that trace.

use super::happening::Happening;
use super::trace_parent::TraceParent;
use crate::model::{Message, Party, Position, QueueId, WallClock};
use bytes::Bytes;
use forebay_wire::{RawProperties, ShortStr};
use xxhash_rust::xxh3::xxh3_64;

/// A span.
#[derive(Clone, Debug)]
pub struct MessageSpan {
    /// The trace, as the message says.
    pub trace_id: u128,
    /// This span: the same after a restart.
    pub span_id: u64,
    /// The span below which it is: that of the publisher, or that of the publish.
    pub parent_id: u64,
    /// When it began.
    pub start: WallClock,
    /// When it ended.
    pub end: WallClock,
    /// The virtual host of the queue.
    pub vhost: ShortStr,
    /// The queue.
    pub queue: ShortStr,
    /// The message's `message-id`.
    pub message_id: Option<ShortStr>,
    /// The exchange it was published to.
    pub exchange: ShortStr,
    /// The routing key it was published with.
    pub routing_key: ShortStr,
    /// Bytes of its body.
    pub size: u64,
    /// What was done.
    pub what: Spanned,
}

/// What a span is of.
#[derive(Clone, Debug)]
pub enum Spanned {
    /// A message came into the queue: until it was safe there.
    Publish {
        /// How it came.
        how: Happening,
    },
    /// A message was delivered: until the delivery ended.
    Deliver {
        /// To whom.
        to: Option<Party>,
        /// To which consumer; `None`: after `basic.get`.
        consumer: Option<ShortStr>,
        /// Deliveries that failed or were returned before, and this one.
        attempt: u64,
        /// How it ended; `None`: it was settled by being sent.
        end: Option<Happening>,
    },
}

impl MessageSpan {
    /// That of a message that comes in: safe at once.
    pub(super) fn publish(
        queue: QueueId,
        position: Position,
        message: &SpannedMessage,
        how: Happening,
        at: WallClock,
    ) -> Self {
        let what = Spanned::Publish { how };
        let span_id = publish_id(queue, position, message.parent.trace_id);
        let parent_id = message.parent.span_id;
        Self::of(message, span_id, parent_id, message.published_at.min(at), at, what)
    }

    /// That of a delivery, below the one of the publish; not ended yet.
    pub(super) fn deliver(
        queue: QueueId,
        position: Position,
        message: &SpannedMessage,
        number: u64,
        what: Spanned,
        at: WallClock,
    ) -> Self {
        let parent_id = publish_id(queue, position, message.parent.trace_id);
        let mut unique = [0; 24];
        for (place, part) in unique.chunks_exact_mut(8).zip([parent_id, number, at.0]) {
            place.copy_from_slice(&part.to_be_bytes());
        }
        Self::of(message, xxh3_64(&unique).max(1), parent_id, at, at, what)
    }

    fn of(
        message: &SpannedMessage,
        span_id: u64,
        parent_id: u64,
        start: WallClock,
        end: WallClock,
        what: Spanned,
    ) -> Self {
        Self {
            trace_id: message.parent.trace_id,
            span_id,
            parent_id,
            start,
            end,
            vhost: ShortStr::EMPTY,
            queue: ShortStr::EMPTY,
            message_id: message.message_id.clone(),
            exchange: message.exchange.clone(),
            routing_key: message.routing_key.clone(),
            size: message.size,
            what,
        }
    }
}

/// What a span tells of a message, copied out of the buffer that it was received in.
#[derive(Clone, Debug)]
pub(crate) struct SpannedMessage {
    parent: TraceParent,
    message_id: Option<ShortStr>,
    exchange: ShortStr,
    routing_key: ShortStr,
    size: u64,
    published_at: WallClock,
}

impl SpannedMessage {
    /// `None`: the message's trace is not recorded.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let parent = TraceParent::of(message)?;
        let properties = RawProperties::parse(message.properties_bytes()).ok();
        let message_id = properties.and_then(|properties| properties.message_id());
        Some(Self {
            parent,
            message_id: message_id.map(|id| id.detached()),
            exchange: copied(message.exchange()),
            routing_key: copied(message.routing_key()),
            size: message.body().len() as u64,
            published_at: message.published_at(),
        })
    }
}

/// The number of the span in which a message came to its place, known again at each of its deliveries.
fn publish_id(queue: QueueId, position: Position, trace_id: u128) -> u64 {
    let mut unique = [0; 33];
    let parts = [queue.0, position.offset.0, trace_id as u64, (trace_id >> 64) as u64];
    for (place, part) in unique.chunks_exact_mut(8).zip(parts) {
        place.copy_from_slice(&part.to_be_bytes());
    }
    if let Some(level) = unique.last_mut() {
        *level = position.level.0;
    }
    xxh3_64(&unique).max(1)
}

fn copied(bytes: &[u8]) -> ShortStr {
    ShortStr::try_from(Bytes::copy_from_slice(bytes)).unwrap_or_default()
}
