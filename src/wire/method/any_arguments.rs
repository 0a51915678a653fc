//! Every method with any arguments: what a naive encoder of its own makes of the listing is what
//! decoder and encoder hold it for.

use super::listing::entries;
use crate::{EncodeMethod, FieldTable, FieldValue, Method, ShortStr};
use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

/// Octets of an argument; a bit is one octet, 0 or 1.
fn octets_of(kind: &str) -> BoxedStrategy<Vec<u8>> {
    match kind {
        "bit" => any::<bool>().prop_map(|bit| vec![u8::from(bit)]).boxed(),
        "octet" => any::<u8>().prop_map(|value| vec![value]).boxed(),
        "short" => any::<[u8; 2]>().prop_map(Vec::from).boxed(),
        "long" => any::<[u8; 4]>().prop_map(Vec::from).boxed(),
        "longlong" => any::<[u8; 8]>().prop_map(Vec::from).boxed(),
        "shortstr" => prop::collection::vec(any::<u8>(), 0..=255)
            .prop_map(|text| [vec![text.len() as u8], text].concat())
            .boxed(),
        "longstr" => prop::collection::vec(any::<u8>(), 0..1000)
            .prop_map(|text| [(text.len() as u32).to_be_bytes().to_vec(), text].concat())
            .boxed(),
        "table" => any::<i64>()
            .prop_map(|value| {
                let fields = [(ShortStr::from_static("n"), FieldValue::I64(value))];
                let mut octets = BytesMut::new();
                FieldTable::from_iter(fields).encode(&mut octets);
                octets.to_vec()
            })
            .boxed(),
        _ => panic!("unknown kind {kind}"),
    }
}

/// Reserved arguments: zeros.
fn reserved(kind: &str) -> Vec<u8> {
    match kind {
        "bit" | "shortstr" => vec![0],
        "short" => vec![0; 2],
        "longstr" => vec![0; 4],
        _ => panic!("no reserved {kind}"),
    }
}

/// Joins runs of bits, eight to an octet, the first lowest.
fn pack(arguments: Vec<(&'static str, Vec<u8>)>) -> Vec<u8> {
    let mut octets = Vec::new();
    for run in arguments.chunk_by(|left, right| left.0 == "bit" && right.0 == "bit") {
        if run[0].0 == "bit" {
            for bits in run.chunks(8) {
                let values = bits.iter().enumerate();
                octets.push(values.map(|(place, (_, value))| value[0] << place).sum());
            }
        } else {
            octets.extend_from_slice(&run[0].1);
        }
    }
    octets
}

fn payload() -> impl Strategy<Value = Bytes> {
    (0..entries().len()).prop_flat_map(|index| {
        let entry = &entries()[index];
        let arguments: Vec<_> = entry
            .arguments
            .iter()
            .map(|&(name, kind)| {
                let octets = match name {
                    Some(_) => octets_of(kind),
                    None => Just(reserved(kind)).boxed(),
                };
                octets.prop_map(move |octets| (kind, octets))
            })
            .collect();
        let ids = [entry.class_id.to_be_bytes(), entry.method_id.to_be_bytes()].concat();
        arguments.prop_map(move |arguments| {
            let mut payload = BytesMut::from(ids.as_slice());
            payload.put_slice(&pack(arguments));
            payload.freeze()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn decode_then_encode_gives_the_same_octets(payload in payload()) {
        let method = Method::decode(&payload).unwrap();
        let mut encoded = BytesMut::new();
        EncodeMethod::encode(&method, &mut encoded);
        prop_assert_eq!(encoded, payload);
    }

    #[test]
    fn no_payload_is_taken_cut_or_with_more_behind_it(payload in payload(), cut in any::<prop::sample::Index>()) {
        let cut = payload.slice(..cut.index(payload.len()));
        prop_assert!(Method::decode(&cut).is_err());
        let longer = Bytes::from([&payload[..], &[0]].concat());
        prop_assert!(Method::decode(&longer).is_err());
    }
}
