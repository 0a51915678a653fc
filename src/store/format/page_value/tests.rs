use super::*;
use bytes::BytesMut;
use forebay_engine::model::Envelope;
use forebay_wire::{RawProperties, ShortStr};
use proptest::prelude::*;
use std::collections::HashMap;
use std::convert::Infallible;

const QUEUE: QueueId = QueueId(3);
const LEVEL: Level = Level(1);

fn message(body: Vec<u8>) -> Message {
    let envelope = Envelope {
        exchange: &ShortStr::from_static("orders"),
        routing_key: &ShortStr::from_static("new"),
        properties: &RawProperties::empty(),
        published_at: WallClock(1),
        expiration: None,
    };
    Message::new(envelope, body.into(), &mut BytesMut::new())
}

fn page(first: u64, bodies: Vec<(u64, usize)>, left_out: u64) -> Page {
    let mut offset = first;
    let mut records = Vec::new();
    for (gap, size) in bodies {
        offset += gap;
        let message = message(vec![offset as u8; size]);
        records.push(Record { offset: Offset(offset), message });
        offset += 1;
    }
    let bytes: usize = records.iter().map(|record| record.message.size()).sum();
    Page {
        first: Offset(first),
        end: Offset(offset + left_out),
        bytes_before: 5,
        bytes_after: 5 + bytes as u64,
        bounds: None,
        records,
    }
}

fn read(value: &Bytes, first: Offset, bodies: &HashMap<Bytes, Bytes>) -> Option<Page> {
    let fetch = |key: &[u8]| Ok::<_, Infallible>(bodies.get(key).cloned());
    decode(QUEUE, LEVEL, first, value, fetch).ok()
}

proptest! {
    #[test]
    fn a_page_comes_back_as_it_was(
        first in 0..u64::MAX / 2,
        bodies in proptest::collection::vec((0_u64..200, 0_usize..2000), 0..20),
        left_out in 1_u64..5,
        bounds in prop::option::of((any::<u64>(), prop::option::of(0..u64::MAX))),
    ) {
        let mut page = page(first, bodies, left_out);
        page.bounds = bounds.map(|(published_from, expiration_min)| {
            ExpiryBounds { published_from: WallClock(published_from), expiration_min }
        });
        let value = encode(QUEUE, LEVEL, &page);
        prop_assert_eq!(value.len(), 9 + content_size(&page));
        let Page { end, bytes_after, bounds, .. } = page;
        let extent = Extent { end, bytes_after, bounds };
        prop_assert_eq!(decode_extent(QUEUE, LEVEL, page.first, &value), Ok(extent));
        prop_assert_eq!(read(&value, page.first, &HashMap::new()), Some(page));
    }

    #[test]
    fn no_content_makes_decoding_panic(bytes: Vec<u8>) {
        let value = checksummed::seal(&key::page(QUEUE, LEVEL, Offset(0)), &bytes);
        let _ = read(&value, Offset(0), &HashMap::new());
        let _ = decode_extent(QUEUE, LEVEL, Offset(0), &value);
    }
}

#[test]
fn the_buffer_is_as_large_as_foretold_and_bodies_share_its_memory() {
    let page = page(10, vec![(0, 100), (3, 70), (0, 0)], 0);
    let value = encode(QUEUE, LEVEL, &page);
    assert_eq!(value.len(), 9 + content_size(&page));
    let decoded = read(&value, page.first, &HashMap::new()).unwrap();
    let body = decoded.records[0].message.body();
    assert!(value.as_ptr_range().contains(&body.as_ptr()));
}

#[test]
fn a_large_body_is_a_value_of_its_own_and_is_checked() {
    let page = page(10, vec![(0, 1), (0, BODY_INLINE_SIZE_MAX + 1)], 0);
    let value = encode(QUEUE, LEVEL, &page);
    assert!(value.len() < 1000);
    let mut bodies: HashMap<_, _> = outside_bodies(QUEUE, LEVEL, &page).collect();
    assert_eq!(bodies.len(), 1);
    assert_eq!(read(&value, page.first, &bodies), Some(page.clone()));
    assert_eq!(read(&value, page.first, &HashMap::new()), None);
    for body in bodies.values_mut() {
        let mut flipped = body.to_vec();
        flipped[77] ^= 1;
        *body = flipped.into();
    }
    assert_eq!(read(&value, page.first, &bodies), None);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let page = page(10, vec![(0, 3), (1, 2)], 0);
    let value = encode(QUEUE, LEVEL, &page);
    for bit in 0..value.len() * 8 {
        let mut flipped = value.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(read(&flipped.into(), page.first, &HashMap::new()), None, "bit {bit}");
    }
}
