//! Any bytes at all: no panic, no endless loop, no frame out of nothing, no growth beyond what
//! was received.

use crate::strategy::{bytes, table};
use crate::vector_file;
use bytes::{Bytes, BytesMut};
use forebay_wire::limits::{FIELD_TABLE_DEPTH_MAX, FRAME_ENVELOPE_SIZE, PROPERTIES_SIZE_MAX};
use forebay_wire::{
    FieldTable, FrameDecoder, Method, PROTOCOL_HEADER, ProtocolHeader, RawProperties, WireErrorKind,
};
use proptest::prelude::*;

const FRAME_SIZE_MAX: u32 = 4096;

/// Decodes until nothing more comes; each frame must take its bytes away.
fn exhaust(bytes: &[u8]) {
    let mut input = BytesMut::from(bytes);
    let mut decoder = FrameDecoder::new(FRAME_SIZE_MAX);
    loop {
        let before = input.len();
        match decoder.decode(&mut input) {
            Ok(Some(_)) => assert!(input.len() + FRAME_ENVELOPE_SIZE <= before),
            Ok(None) => {
                assert_eq!(input.len(), before);
                let bound = 2 * FRAME_SIZE_MAX as usize + bytes.len();
                assert!(input.capacity() <= bound, "{} bytes reserved", input.capacity());
                return;
            }
            Err(error) => {
                assert!(error.reply_code().code() >= 500);
                assert!(!error.to_string().is_empty());
                return;
            }
        }
    }
}

/// A frame around any payload, so that it gets past the first stage.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let frame_type = prop::sample::select(vec![1u8, 1, 1, 2, 2, 3, 8]);
    let ids =
        prop::sample::select(vec![[10u16, 10], [10, 11], [50, 10], [60, 20], [60, 40], [60, 0]]);
    (frame_type, 0..3u16, ids, bytes(200)).prop_map(|(frame_type, channel, ids, rest)| {
        let size = 4 + rest.len() as u32;
        let mut frame = vec![frame_type];
        frame.extend(channel.to_be_bytes());
        frame.extend(size.to_be_bytes());
        frame.extend(ids.iter().flat_map(|id| id.to_be_bytes()));
        frame.extend(rest);
        frame.push(0xCE);
        frame
    })
}

/// A golden vector with a few bytes changed.
fn damaged_vector() -> impl Strategy<Value = Vec<u8>> {
    let vectors: Vec<_> = vector_file::all().into_iter().map(|vector| vector.bytes).collect();
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (prop::sample::select(vectors), prop::collection::vec(change, 0..4)).prop_map(
        |(mut bytes, changes)| {
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes(bytes in bytes(400)) {
        exhaust(&bytes);
        let _ = Method::decode(&bytes);
        let _ = FieldTable::decode(&bytes);
        let _ = FieldTable::decode_fields(&bytes);
        let _ = RawProperties::parse(bytes);
    }

    #[test]
    fn any_payloads(frames in prop::collection::vec(frame(), 0..6)) {
        exhaust(&frames.concat());
    }

    #[test]
    fn damaged_vectors(bytes in damaged_vector()) {
        exhaust(&bytes);
    }
}

proptest! {
    /// What checks tables and what decodes them hold one grammar; and what was found good can be
    /// read in every part.
    #[test]
    fn tables_are_checked_as_they_are_decoded(
        table in table(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = BytesMut::new();
        table.encode(&mut bytes);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let decoded = FieldTable::decode(&bytes.clone().freeze());
        let headers = [&[0x20, 0][..], &bytes].concat();
        let parsed = RawProperties::parse(headers.into());
        prop_assert_eq!(decoded.is_ok(), parsed.is_ok());
        if let (Ok(decoded), Ok(parsed)) = (decoded, parsed) {
            prop_assert_eq!(format!("{:?}", parsed.headers().unwrap()), format!("{decoded:?}"));
        }
    }

    #[test]
    fn properties_found_good_are_read_as_they_stand(
        flags in any::<u16>(),
        values in bytes(60),
    ) {
        let bytes = [&(flags & !3).to_be_bytes()[..], &values].concat();
        if let Ok(raw) = RawProperties::parse(bytes.into()) {
            // Bytes may differ where several spellings mean one value: true as 2, say.
            let decoded = raw.decode();
            let again = decoded.encode();
            prop_assert_eq!(&again.as_bytes()[..2], &raw.as_bytes()[..2]);
            prop_assert_eq!(format!("{:?}", again.decode()), format!("{decoded:?}"));
        }
    }

    #[test]
    fn a_protocol_header_is_judged_as_soon_as_it_can_be(
        header in prop::sample::select(vec![PROTOCOL_HEADER, *b"AMQP\x01\x01\x00\x09"]),
        start in 0..=8usize,
        rest in bytes(10),
    ) {
        let bytes = [&header[..start], &rest].concat();
        let ours = [PROTOCOL_HEADER, *b"AMQP\x01\x01\x00\x09"];
        let expected = if ours.iter().any(|ours| bytes.starts_with(ours)) {
            ProtocolHeader::Ours
        } else if ours.iter().any(|ours| ours.starts_with(&bytes)) {
            ProtocolHeader::Incomplete
        } else {
            ProtocolHeader::Foreign
        };
        prop_assert_eq!(ProtocolHeader::parse(&bytes), expected);
    }
}

/// A table of `depth` tables, the innermost empty.
fn nested(depth: usize) -> Bytes {
    let mut bytes = 0u32.to_be_bytes().to_vec();
    for _ in 1..depth {
        let size = bytes.len() as u32 + 2;
        bytes = [&size.to_be_bytes()[..], b"\0F", &bytes].concat();
    }
    bytes.into()
}

#[test]
fn depth_ends_at_its_limit_and_never_the_stack() {
    assert!(FieldTable::decode(&nested(FIELD_TABLE_DEPTH_MAX)).is_ok());
    for depth in [FIELD_TABLE_DEPTH_MAX + 1, 20_000] {
        let error = FieldTable::decode(&nested(depth)).unwrap_err();
        assert!(matches!(error.kind, WireErrorKind::Table(_)), "{error}");
        let headers = [&[0x20, 0][..], &nested(depth)].concat();
        assert!(RawProperties::parse(headers.into()).is_err());
    }
}

#[test]
fn properties_end_at_their_limit() {
    let of_size = |size: usize| {
        let rest = size - 2 - 4 - 6;
        let fields = [b"\0S".as_slice(), &(rest as u32).to_be_bytes(), &vec![0; rest]].concat();
        let table = [&(fields.len() as u32).to_be_bytes()[..], &fields].concat();
        Bytes::from([&[0x20, 0][..], &table].concat())
    };
    assert_eq!(of_size(PROPERTIES_SIZE_MAX).len(), PROPERTIES_SIZE_MAX);
    assert!(RawProperties::parse(of_size(PROPERTIES_SIZE_MAX)).is_ok());
    let error = RawProperties::parse(of_size(PROPERTIES_SIZE_MAX + 1)).unwrap_err();
    assert_eq!(error.kind, WireErrorKind::PropertiesTooLarge { size: PROPERTIES_SIZE_MAX + 1 });
}

#[test]
fn an_empty_frame_is_not_waited_for_beyond_its_size() {
    let mut input = BytesMut::from(&b"\x03\0\x01\0\0\0\0"[..]);
    let mut decoder = FrameDecoder::new(FRAME_SIZE_MAX);
    assert_eq!(decoder.decode(&mut input), Ok(None));
    input.extend_from_slice(&[0xCE]);
    assert!(decoder.decode(&mut input).unwrap().is_some());
    assert!(input.is_empty());
}
