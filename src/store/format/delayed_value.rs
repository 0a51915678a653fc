//! A delayed message as a value, and what is known of the delayed messages of a queue and clock.
//!
//! ```text
//! message: kind:u8 head_size:varint head (inline body | body_id:u64 body_size:u64 body_checksum:u64)
//!          kind 0: inline body; 1: the body is a value of its own, which other messages may have
//! state:   count:u64 bytes:u64 from:u64 (ms) next_sequence:u64
//! ```

use crate::format::checksummed::{self, Flaw, Sealing};
use crate::format::cursor::{Cursor, put_varint, varint_size};
use crate::format::key;
use crate::format::page_value::{BodyFlaw, Outside};
use bytes::{BufMut, Bytes};
use forebay_engine::model::{BodyId, Message, MessageHeadError, WallClock};
use forebay_engine::operation::DelayedState;

const INLINE: u8 = 0;
const SHARED: u8 = 1;
const REFERENCE_SIZE: usize = 3 * 8;

/// Why a delayed message can't be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DelayedFlaw<E> {
    #[error("{0}")]
    Flaw(Flaw),
    #[error("its head is damaged: {0}")]
    Head(MessageHeadError),
    #[error("its body is missing")]
    BodyMissing,
    #[error("its body does not match its checksum")]
    BodyChecksum,
    #[error("{0}")]
    Fetch(E),
}

pub(crate) fn encode(key: &[u8], message: &Message) -> Bytes {
    let (head, body) = (message.head(), message.body());
    let shared = message.shared_body();
    let body_size = if shared.is_some() { REFERENCE_SIZE } else { body.len() };
    let size = 1 + varint_size(head.len() as u64) + head.len() + body_size;
    let mut sealing = Sealing::with_size(size);
    let buffer = sealing.content();
    buffer.put_u8(if shared.is_some() { SHARED } else { INLINE });
    put_varint(buffer, head.len() as u64);
    buffer.put_slice(head);
    match shared {
        Some(id) => {
            buffer.put_u64(id.0);
            buffer.put_u64(body.len() as u64);
            buffer.put_u64(checksummed::checksum(&key::shared_body(id), body));
        }
        None => buffer.put_slice(body),
    }
    sealing.finish(key)
}

/// Decodes a message; `fetch` gives the body that it has in common with others. Shares no memory with the
/// value: that of one message keeps a whole block in memory.
pub(crate) fn decode<E>(
    key: &[u8],
    value: &Bytes,
    fetch: impl FnOnce(BodyId, &Outside) -> Result<Result<Bytes, BodyFlaw>, E>,
) -> Result<Message, DelayedFlaw<E>> {
    let (head, body) = parts(key, value).map_err(DelayedFlaw::Flaw)?;
    let head = Bytes::copy_from_slice(&head);
    let message = |body| Message::from_stored(head, body).map_err(DelayedFlaw::Head);
    match body {
        Body::Inline(body) => message(Bytes::copy_from_slice(&body)),
        Body::Shared { id, outside } => match fetch(id, &outside).map_err(DelayedFlaw::Fetch)? {
            Ok(body) => Ok(message(body)?.with_shared_body(id)),
            Err(BodyFlaw::Missing) => Err(DelayedFlaw::BodyMissing),
            Err(BodyFlaw::Checksum) => Err(DelayedFlaw::BodyChecksum),
        },
    }
}

/// The body that a message has in common with others, by its value.
pub(crate) fn shared_body(key: &[u8], value: &Bytes) -> Result<Option<BodyId>, Flaw> {
    Ok(match parts(key, value)?.1 {
        Body::Inline(_) => None,
        Body::Shared { id, .. } => Some(id),
    })
}

enum Body {
    Inline(Bytes),
    Shared { id: BodyId, outside: Outside },
}

fn parts(key: &[u8], value: &Bytes) -> Result<(Bytes, Body), Flaw> {
    let flaw = || Flaw::Layout("delayed message");
    let mut cursor = Cursor::new(checksummed::unseal(key, value)?);
    let kind = cursor.octet();
    let size = cursor.varint().ok_or_else(flaw)?;
    let head = cursor.bytes(size).ok_or_else(flaw)?;
    let body = match kind {
        Some(INLINE) => Body::Inline(cursor.rest()),
        Some(SHARED) => {
            let id = BodyId(cursor.integer().ok_or_else(flaw)?);
            let (size, checksum) = (cursor.integer(), cursor.integer());
            let (size, checksum) = size.zip(checksum).ok_or_else(flaw)?;
            Body::Shared { id, outside: Outside { size, checksum } }
        }
        _ => return Err(flaw()),
    };
    if cursor.is_empty() { Ok((head, body)) } else { Err(flaw()) }
}

pub(crate) fn encode_state(key: &[u8], state: DelayedState) -> Bytes {
    let mut content = Vec::with_capacity(4 * 8);
    content.put_u64(state.count);
    content.put_u64(state.bytes);
    content.put_u64(state.from.0);
    content.put_u64(state.next_sequence);
    checksummed::seal(key, &content)
}

pub(crate) fn decode_state(key: &[u8], value: &Bytes) -> Result<DelayedState, Flaw> {
    let mut cursor = Cursor::new(checksummed::unseal(key, value)?);
    let mut next = || cursor.integer();
    let fields = (next(), next(), next(), next());
    match fields {
        (Some(count), Some(bytes), Some(from), Some(next_sequence)) if cursor.is_empty() => {
            Ok(DelayedState { count, bytes, from: WallClock(from), next_sequence })
        }
        _ => Err(Flaw::Layout("state of delayed messages")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use forebay_engine::model::{DelayedId, DueClock, Envelope, QueueId};
    use forebay_wire::ShortStr;
    use forebay_wire::properties::Properties;
    use std::convert::Infallible;

    fn message(body: &str) -> Message {
        let envelope = Envelope {
            exchange: &ShortStr::from_static("x"),
            routing_key: &ShortStr::from_static("k"),
            properties: &Properties::default().encode(),
            published_at: WallClock(1),
            expiration: Some(9),
        };
        let message = Message::new(envelope, Bytes::from(body.to_owned()), &mut BytesMut::new());
        message.delayed(DueClock::Calendar, WallClock(70))
    }

    fn key() -> Bytes {
        let id = DelayedId { clock: DueClock::Calendar, due: WallClock(70), sequence: 3 };
        key::delayed(QueueId(5), id)
    }

    #[test]
    fn messages_come_back_with_their_bodies_or_are_found_damaged() {
        let never = |_: BodyId, _: &Outside| -> Result<_, Infallible> { panic!("inline") };
        for body in ["", "body"] {
            let value = encode(&key(), &message(body));
            assert_eq!(decode(&key(), &value, never).unwrap(), message(body));
            assert_eq!(shared_body(&key(), &value), Ok(None));
            for length in 0..value.len() {
                assert!(decode(&key(), &value.slice(..length), never).is_err());
            }
        }
        let shared = message("large").with_shared_body(BodyId(4));
        let value = encode(&key(), &shared);
        assert_eq!(shared_body(&key(), &value), Ok(Some(BodyId(4))));
        let give = |body: Option<&'static str>| {
            let fetch = move |id: BodyId, outside: &Outside| -> Result<_, Infallible> {
                Ok(outside.checked(&key::shared_body(id), body.map(Bytes::from)))
            };
            decode(&key(), &value, fetch)
        };
        assert_eq!(give(Some("large")).unwrap(), shared);
        assert!(matches!(give(Some("other")), Err(DelayedFlaw::BodyChecksum)));
        assert!(matches!(give(None), Err(DelayedFlaw::BodyMissing)));
    }

    #[test]
    fn a_state_comes_back() {
        let state = DelayedState { count: 1, bytes: 2, from: WallClock(3), next_sequence: 4 };
        let value = encode_state(b"key", state);
        assert_eq!(decode_state(b"key", &value), Ok(state));
        assert!(decode_state(b"other", &value).is_err());
    }
}
