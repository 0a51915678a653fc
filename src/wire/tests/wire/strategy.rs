//! Any strings, field values, tables and properties.

use bytes::Bytes;
use forebay_wire::{FieldTable, FieldValue, Properties, ShortStr};
use proptest::option;
use proptest::prelude::*;

pub(crate) fn bytes(size_max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..=size_max).prop_map(Bytes::from)
}

/// Mostly names as people give them, sometimes any bytes.
pub(crate) fn short_str() -> impl Strategy<Value = ShortStr> {
    let text = "[a-zäöü.#*-]{0,20}".prop_map(|text| ShortStr::try_from(text).unwrap());
    prop_oneof![3 => text, 1 => bytes(255).prop_map(|bytes| ShortStr::try_from(bytes).unwrap())]
}

fn scalar() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        any::<bool>().prop_map(FieldValue::Bool),
        any::<i8>().prop_map(FieldValue::I8),
        any::<u8>().prop_map(FieldValue::U8),
        any::<i16>().prop_map(FieldValue::I16),
        any::<u16>().prop_map(FieldValue::U16),
        any::<i32>().prop_map(FieldValue::I32),
        any::<u32>().prop_map(FieldValue::U32),
        any::<i64>().prop_map(FieldValue::I64),
        any::<u64>().prop_map(FieldValue::U64),
        any::<f32>().prop_map(FieldValue::F32),
        any::<f64>().prop_map(FieldValue::F64),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| FieldValue::Decimal { scale, value }),
        bytes(300).prop_map(FieldValue::LongStr),
        any::<u64>().prop_map(FieldValue::Timestamp),
        bytes(300).prop_map(FieldValue::ByteArray),
        Just(FieldValue::Void),
    ]
}

fn value() -> impl Strategy<Value = FieldValue> {
    scalar().prop_recursive(6, 40, 8, |inner| {
        let fields = prop::collection::vec((short_str(), inner.clone()), 0..8);
        prop_oneof![
            prop::collection::vec(inner, 0..8).prop_map(FieldValue::Array),
            fields.prop_map(|fields| FieldValue::Table(fields.into_iter().collect())),
        ]
    })
}

pub(crate) fn table() -> impl Strategy<Value = FieldTable> {
    prop::collection::vec((short_str(), value()), 0..8)
        .prop_map(|fields| fields.into_iter().collect())
}

pub(crate) fn properties() -> impl Strategy<Value = Properties> {
    let name = || option::of(short_str());
    (
        (name(), name(), option::of(table()), option::of(any::<u8>()), option::of(any::<u8>())),
        (name(), name(), name(), name(), option::of(any::<u64>())),
        (name(), name(), name(), name()),
    )
        .prop_map(|(first, second, third)| Properties {
            content_type: first.0,
            content_encoding: first.1,
            headers: first.2,
            delivery_mode: first.3,
            priority: first.4,
            correlation_id: second.0,
            reply_to: second.1,
            expiration: second.2,
            message_id: second.3,
            timestamp: second.4,
            kind: third.0,
            user_id: third.1,
            app_id: third.2,
            cluster_id: third.3,
        })
}
