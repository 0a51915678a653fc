//! What makes two messages the same: the header `x-deduplication-header`, or else the property
//! `message-id`.
//!
//! Kept as a hash of 128 bits (BLAKE2s). Nobody can find a second text for a hash on purpose. By chance, a
//! message meets the hash of one among a million others in 1 of 3·10³² cases.

use crate::model::Message;
use blake2::digest::consts::U16;
use blake2::{Blake2s, Digest};
use bytes::BytesMut;
use forebay_wire::{FieldTable, FieldValue, RawProperties, ShortStr};

/// The header that goes before `message-id`.
const HEADER: &str = "x-deduplication-header";

/// [`HEADER`] as it stands in a table, with its length in front.
const HEADER_ON_THE_WIRE: &[u8] = b"\x16x-deduplication-header";

/// Text and bytes, as a header and as `message-id` alike.
const TEXT: u8 = 0;
/// Integers of whatever width.
const INTEGER: u8 = 1;
/// What is seldom used as a key.
const OTHER: u8 = 2;

/// The key of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DedupKey(pub(crate) [u8; 16]);

impl DedupKey {
    /// The key of a message; `None`: it has neither the header nor a `message-id`, or they are empty.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        // They were checked when the message came.
        let properties = RawProperties::parse(message.properties_bytes()).ok()?;
        Self::of_header(&properties).or_else(|| {
            let id = properties.message_id()?;
            (!id.as_bytes().is_empty()).then(|| Self::hash(TEXT, id.as_bytes()))
        })
    }

    fn of_header(properties: &RawProperties) -> Option<Self> {
        let may_have_it = properties.has_headers()
            && properties
                .as_bytes()
                .windows(HEADER_ON_THE_WIRE.len())
                .any(|window| window == HEADER_ON_THE_WIRE);
        if !may_have_it {
            return None;
        }
        match properties.headers()?.get(HEADER)? {
            FieldValue::Void => None,
            FieldValue::LongStr(text) | FieldValue::ByteArray(text) if text.is_empty() => None,
            FieldValue::LongStr(text) | FieldValue::ByteArray(text) => Some(Self::hash(TEXT, text)),
            value => Some(match value.as_integer() {
                Some(integer) => Self::hash(INTEGER, &integer.to_be_bytes()),
                None => {
                    let mut table = FieldTable::new();
                    table.insert(ShortStr::EMPTY, value.clone());
                    let mut encoded = BytesMut::new();
                    table.encode(&mut encoded);
                    Self::hash(OTHER, &encoded)
                }
            }),
        }
    }

    fn hash(kind: u8, value: &[u8]) -> Self {
        let hash = Blake2s::<U16>::new().chain_update([kind]).chain_update(value).finalize();
        Self(hash.into())
    }

    /// A part of it that spreads evenly.
    pub(crate) fn fragment(self) -> u64 {
        u64::from_be_bytes(self.0.first_chunk().copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Envelope, WallClock};
    use bytes::Bytes;
    use forebay_wire::properties::Properties;

    fn key(header: Option<FieldValue>, message_id: Option<&str>) -> Option<DedupKey> {
        let mut headers = FieldTable::new();
        headers.insert(ShortStr::from_static("other"), "a");
        if let Some(value) = header {
            headers.insert(ShortStr::from_static(HEADER), value);
        }
        let properties = Properties {
            headers: Some(headers),
            message_id: message_id.map(|id| id.try_into().unwrap()),
            ..Properties::default()
        };
        let envelope = Envelope {
            exchange: &ShortStr::EMPTY,
            routing_key: &ShortStr::from_static("q"),
            properties: &properties.encode(),
            published_at: WallClock(1),
            expiration: None,
        };
        DedupKey::of(&Message::new(envelope, Bytes::new(), &mut BytesMut::new()))
    }

    #[test]
    fn the_header_goes_before_the_message_id() {
        let a = key(Some("a".into()), Some("b"));
        assert_eq!(a, key(None, Some("a")));
        assert_ne!(a, key(None, Some("b")));
        assert!(a.is_some());
    }

    #[test]
    fn without_a_key_a_message_is_like_no_other() {
        assert_eq!(key(None, None), None);
        assert_eq!(key(None, Some("")), None);
        assert_eq!(key(Some("".into()), None), None);
        assert_eq!(key(Some(FieldValue::Void), None), None);
        assert_eq!(key(Some(FieldValue::Void), Some("a")), key(None, Some("a")));
    }

    #[test]
    fn integers_are_the_same_whatever_their_width_and_differ_from_text() {
        let wide = key(Some(FieldValue::I64(7)), None);
        assert_eq!(wide, key(Some(FieldValue::U8(7)), None));
        assert_ne!(wide, key(Some("7".into()), None));
        assert_ne!(
            key(Some(FieldValue::Bool(true)), None),
            key(Some(FieldValue::Bool(false)), None)
        );
    }

    #[test]
    fn the_name_of_the_header_is_found_with_its_length() {
        assert_eq!(HEADER_ON_THE_WIRE[0] as usize, HEADER.len());
        assert_eq!(&HEADER_ON_THE_WIRE[1..], HEADER.as_bytes());
    }
}
