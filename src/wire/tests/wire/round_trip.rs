//! What is written is what is read: tables, properties, and contents through a send buffer, over
//! a socket that takes and gives any number of bytes at a time.

use crate::strategy::{bytes, properties, short_str, table};
use bytes::{Buf, Bytes, BytesMut};
use forebay_wire::limits::{BODY_INLINE_SIZE_MAX, FRAME_ENVELOPE_SIZE, FRAME_SIZE_MIN};
use forebay_wire::method::{BasicAck, BasicDeliver, BasicPublish};
use forebay_wire::{
    FieldTable, Frame, FrameDecoder, Method, Properties, RawProperties, SendBuffer, ShortStr,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::IoSlice;

/// NaN is not equal to itself, so bytes are compared.
fn encoded(table: &FieldTable) -> Bytes {
    let mut out = BytesMut::new();
    table.encode(&mut out);
    out.freeze()
}

proptest! {
    #[test]
    fn tables(table in table()) {
        let bytes = encoded(&table);
        let decoded = FieldTable::decode(&bytes).unwrap();
        prop_assert_eq!(encoded(&decoded), bytes.clone());
        prop_assert_eq!(format!("{decoded:?}"), format!("{table:?}"));
        prop_assert_eq!(encoded(&decoded.detached()), bytes.clone());
        let fields = FieldTable::decode_fields(&bytes.slice(4..)).unwrap();
        prop_assert_eq!(encoded(&fields), bytes);
    }

    #[test]
    fn all_properties(properties in properties()) {
        let raw = properties.encode();
        let parsed = RawProperties::parse(Bytes::copy_from_slice(raw.as_bytes())).unwrap();
        let decoded = parsed.decode();
        prop_assert_eq!(format!("{decoded:?}"), format!("{properties:?}"));
        prop_assert_eq!(decoded.encode(), raw);
        prop_assert_eq!(parsed.delivery_mode(), properties.delivery_mode);
        prop_assert_eq!(parsed.priority(), properties.priority);
        prop_assert_eq!(parsed.expiration(), properties.expiration);
        prop_assert_eq!(parsed.reply_to(), properties.reply_to);
        prop_assert_eq!(parsed.user_id(), properties.user_id);
        prop_assert_eq!(parsed.message_id(), properties.message_id);
        prop_assert_eq!(parsed.has_headers(), properties.headers.is_some());
        prop_assert_eq!(parsed.headers().is_some(), properties.headers.is_some());
    }

    #[test]
    fn a_table_is_an_ordered_map(
        steps in prop::collection::vec((0..6u8, any::<Option<i64>>()), 0..40),
    ) {
        let mut table = FieldTable::new();
        let mut model = BTreeMap::new();
        for (name, value) in steps {
            let name = ShortStr::try_from(format!("n{name}")).unwrap();
            let (before, expected) = match value {
                Some(value) => (table.insert(name.clone(), value), model.insert(name, value)),
                None => (table.remove(&name), model.remove(&name)),
            };
            prop_assert_eq!(before, expected.map(Into::into));
        }
        prop_assert_eq!(table.len(), model.len());
        for (name, value) in model {
            prop_assert_eq!(table.get(&name), Some(&value.into()));
        }
    }
}

/// What goes through a send buffer.
#[derive(Clone, Debug)]
enum Item {
    Ack { tag: u64 },
    Heartbeat,
    Content { deliver: bool, name: ShortStr, tag: u64, properties: Box<Properties>, body: Bytes },
}

fn item() -> impl Strategy<Value = Item> {
    let near = |size: usize| size.saturating_sub(2)..size + 3;
    let frame = FRAME_SIZE_MIN as usize - FRAME_ENVELOPE_SIZE;
    let size = prop_oneof![
        4 => 0..200usize,
        2 => near(BODY_INLINE_SIZE_MAX),
        2 => near(frame),
        1 => near(2 * frame),
        1 => 0..20_000usize,
    ];
    let body = (size, any::<u8>()).prop_map(|(size, seed)| {
        (0..size).map(|place| (place as u8).wrapping_mul(31).wrapping_add(seed)).collect::<Bytes>()
    });
    prop_oneof![
        1 => any::<u64>().prop_map(|tag| Item::Ack { tag }),
        1 => Just(Item::Heartbeat),
        4 => (any::<bool>(), short_str(), any::<u64>(), properties().prop_map(Box::new), body).prop_map(
            |(deliver, name, tag, properties, body)| Item::Content {
                deliver, name, tag, properties, body
            },
        ),
    ]
}

fn method_of(deliver: bool, name: &ShortStr, tag: u64) -> Method {
    let (exchange, routing_key) = (name.clone(), ShortStr::from_static("key"));
    if deliver {
        let consumer_tag = name.clone();
        let redelivered = tag % 2 == 1;
        let delivery_tag = tag;
        BasicDeliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key }.into()
    } else {
        let mandatory = tag % 2 == 1;
        BasicPublish { exchange, routing_key, mandatory, immediate: false }.into()
    }
}

/// By the short ways for hot methods, or by [`SendBuffer::put_content`].
fn put(out: &mut SendBuffer, item: &Item, by_parts: bool, limit: u32) {
    match item {
        Item::Ack { tag } => out.put_method(7, &BasicAck { delivery_tag: *tag, multiple: true }),
        Item::Heartbeat => out.put_heartbeat(),
        Item::Content { deliver, name, tag, properties, body } => {
            let (tag, flag) = (*tag, tag % 2 == 1);
            let properties = properties.encode();
            let (bytes, text) = (properties.as_bytes(), name.as_bytes());
            if !by_parts {
                out.put_content(7, &method_of(*deliver, name, tag), &properties, body, limit);
            } else if *deliver {
                out.put_deliver(7, name, tag, flag, text, b"key", bytes, body, limit);
            } else {
                out.put_publish(7, text, b"key", flag, bytes, body, limit);
            }
        }
    }
}

/// Writes as a socket does that takes `sizes` bytes at a time, from vectored slices.
fn drain(out: &mut SendBuffer, sizes: &[usize]) -> Vec<u8> {
    let mut written = Vec::new();
    let mut sizes = sizes.iter().cycle();
    while out.has_remaining() {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = out.chunks_vectored(&mut slices);
        assert!(filled > 0 && slices[..filled].iter().all(|slice| !slice.is_empty()));
        assert_eq!(&*slices[0], out.chunk());
        let offered: Vec<u8> =
            slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
        let taken = offered.len().min(*sizes.next().unwrap());
        written.extend_from_slice(&offered[..taken]);
        out.advance(taken);
    }
    assert!(out.is_empty());
    written
}

/// Contents, acks and heartbeats in the order of a stream, each content on one line.
fn understood(stream: &[u8], sizes: &[usize], limit: u32) -> Vec<String> {
    let mut decoder = FrameDecoder::new(limit);
    let (mut input, mut items) = (BytesMut::new(), Vec::new());
    let (mut body, mut missing) = (Vec::new(), 0);
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        let (now, later) = rest.split_at(rest.len().min(*size));
        input.extend_from_slice(now);
        rest = later;
        while let Some(frame) = decoder.decode(&mut input).unwrap() {
            match frame {
                Frame::Heartbeat => items.push("heartbeat".to_owned()),
                Frame::Method { channel, method } => items.push(format!("{channel} {method:?}")),
                Frame::Header { header, .. } => {
                    missing = header.body_size;
                    items.push(format!("{:?}", header.properties));
                }
                Frame::Body { body: part, .. } => {
                    assert!(!part.is_empty() && part.len() + FRAME_ENVELOPE_SIZE <= limit as usize);
                    body.extend_from_slice(&part);
                    missing -= part.len() as u64;
                    if missing == 0 {
                        items.push(format!("{:?}", Bytes::from(std::mem::take(&mut body))));
                    }
                }
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    assert!(input.is_empty() && missing == 0);
    items
}

fn meant(items: &[Item]) -> Vec<String> {
    let mut lines = Vec::new();
    for item in items {
        match item {
            Item::Ack { tag } => {
                let method = BasicAck { delivery_tag: *tag, multiple: true };
                lines.push(format!("7 {method:?}"));
            }
            Item::Heartbeat => lines.push("heartbeat".to_owned()),
            Item::Content { deliver, name, tag, properties, body } => {
                lines.push(format!("7 {:?}", method_of(*deliver, name, *tag)));
                lines.push(format!("{properties:?}"));
                lines.extend((!body.is_empty()).then(|| format!("{body:?}")));
            }
        }
    }
    lines
}

proptest! {
    #[test]
    fn contents_survive_any_socket(
        items in prop::collection::vec(item(), 0..8),
        by_parts in any::<bool>(),
        write_sizes in prop::collection::vec(1..6000usize, 1..10),
        read_sizes in prop::collection::vec(1..6000usize, 1..10),
    ) {
        // Properties of this test may pass the smallest frame, so the limit is on bodies alone.
        let limit = FRAME_SIZE_MIN;
        let mut out = SendBuffer::new();
        for item in &items {
            put(&mut out, item, by_parts, limit);
        }
        let size = out.len();
        let stream = drain(&mut out, &write_sizes);
        prop_assert_eq!(stream.len(), size);
        prop_assert_eq!(understood(&stream, &read_sizes, 10 * limit), meant(&items));
    }

    #[test]
    fn both_ways_of_writing_content_agree(items in prop::collection::vec(item(), 0..8)) {
        let write = |by_parts| {
            let mut out = SendBuffer::new();
            items.iter().for_each(|item| put(&mut out, item, by_parts, 5000));
            drain(&mut out, &[usize::MAX])
        };
        prop_assert_eq!(write(true), write(false));
    }

    #[test]
    fn large_bodies_are_not_copied(size in BODY_INLINE_SIZE_MAX + 1..9000, limit in 4096..20_000u32) {
        let body = Bytes::from(vec![7; size]);
        let memory = body.as_ptr_range();
        let mut out = SendBuffer::new();
        out.put_publish(1, b"", b"key", false, &[0, 0], &body, limit);
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = out.chunks_vectored(&mut slices);
        let lent = slices[..filled].iter().filter(|slice| memory.contains(&slice.as_ptr()));
        let whole_parts = size - size % (limit as usize - FRAME_ENVELOPE_SIZE);
        prop_assert!(lent.map(|slice| slice.len()).sum::<usize>() >= whole_parts.max(1));
    }

    #[test]
    fn short_strings_hold_255_bytes(bytes in bytes(300)) {
        let result = ShortStr::try_from(bytes.clone());
        prop_assert_eq!(result.is_ok(), bytes.len() <= 255);
        if let Ok(text) = result {
            prop_assert_eq!(text.as_bytes(), &bytes[..]);
            prop_assert_eq!(text.as_str(), std::str::from_utf8(&bytes).ok());
        }
    }
}
