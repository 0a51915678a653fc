//! Headers exchanges.

use super::{CONNECTION, Host, binding, name, object, refused, table, text};
use crate::model::Destination;
use bytes::Bytes;
use forebay_wire::{FieldTable, FieldValue, ReplyCode};
use proptest::collection::btree_map;
use proptest::prelude::*;
use std::collections::BTreeMap;

const MATCHES: [Option<&str>; 5] =
    [None, Some("all"), Some("any"), Some("all-with-x"), Some("any-with-x")];

/// The definition, over names and values that are either nothing or compared by class.
fn matches(
    kind: Option<&str>,
    wanted: &BTreeMap<&str, Value>,
    there: &BTreeMap<&str, Value>,
) -> bool {
    let with_x = kind.is_some_and(|kind| kind.ends_with("-with-x"));
    let mut counted = wanted.iter().filter(|(name, _)| with_x || !name.starts_with("x-"));
    let holds = |(name, wanted): (&&str, &Value)| match (wanted, there.get(*name)) {
        (_, None) => false,
        (Value::Void, Some(_)) => true,
        (Value::Integer(wanted, _), Some(Value::Integer(there, _))) => wanted == there,
        (wanted, Some(there)) => wanted == there,
    };
    if kind.is_some_and(|kind| kind.starts_with("any")) {
        counted.any(holds)
    } else {
        counted.all(holds)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Void,
    /// A value and the width that it is sent in.
    Integer(i8, u8),
    Text(&'static str),
    Bool(bool),
}

impl Value {
    fn sent(&self) -> FieldValue {
        match *self {
            Self::Void => FieldValue::Void,
            Self::Integer(value, 0) => FieldValue::I8(value),
            Self::Integer(value, 1) => FieldValue::I32(value.into()),
            Self::Integer(value, _) => FieldValue::I64(value.into()),
            Self::Text(value) => text(value),
            Self::Bool(value) => FieldValue::Bool(value),
        }
    }
}

fn values() -> impl Strategy<Value = BTreeMap<&'static str, Value>> {
    let names = prop_oneof![Just("a"), Just("b"), Just("c"), Just("x-d")];
    let value = prop_oneof![
        Just(Value::Void),
        (0i8..2, 0u8..3).prop_map(|(value, width)| Value::Integer(value, width)),
        prop_oneof![Just("0"), Just("1")].prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
    ];
    btree_map(names, value, 0..4)
}

fn sent(values: &BTreeMap<&str, Value>) -> FieldTable {
    values.iter().map(|(field, value)| (name(field), value.sent())).collect()
}

proptest! {
    #[test]
    fn bindings_match_like_the_definition(
        wanted in proptest::collection::vec((0..MATCHES.len(), values()), 1..6),
        there in values(),
    ) {
        let mut host = Host::new();
        host.exchange("x", "headers");
        let mut expected = Vec::new();
        for (at, (kind, wanted)) in wanted.iter().enumerate() {
            let mut arguments = sent(wanted);
            if let Some(kind) = MATCHES[*kind] {
                arguments.insert(name("x-match"), text(kind));
            }
            let queue = format!("q{at}");
            host.queue(&queue);
            host.bind_with("x", &queue, "", arguments);
            if matches(MATCHES[*kind], wanted, &there) {
                expected.push(queue);
            }
        }
        prop_assert_eq!(host.route_with("x", &["k", "l"], &sent(&there)), expected);
    }
}

#[test]
fn a_message_without_headers_matches_what_wants_none() {
    let mut host = Host::new();
    host.exchange("x", "headers");
    host.queue("all");
    host.queue("any");
    host.bind_with("x", "all", "", table(&[("x-match", text("all"))]));
    host.bind_with("x", "any", "", table(&[("x-match", text("any"))]));
    let routes = host.topology.routes();
    let targets = routes.route(&host.vhost, &object("x"), &[name("")], &|| None).unwrap();
    assert_eq!(targets.len(), 1);
    assert_eq!(host.topology.queue_by_id(targets[0]).unwrap().name, "all");
}

#[test]
fn an_unknown_x_match_is_refused_and_changes_nothing() {
    let mut host = Host::new();
    host.exchange("x", "headers");
    host.exchange("d", "direct");
    host.queue("q");
    let mut bind = |source: &str, value: FieldValue| {
        let arguments = table(&[("x-match", value)]);
        let binding = binding(source, Destination::Queue(object("q")), "", arguments);
        host.topology.bind(&host.vhost, CONNECTION, &binding)
    };
    refused(
        bind("x", text("foo")),
        ReplyCode::PreconditionFailed,
        "Invalid x-match field value 'foo'; expected all, any, all-with-x, or any-with-x",
    );
    refused(
        bind("x", FieldValue::I32(1)),
        ReplyCode::PreconditionFailed,
        "Invalid x-match field type signedint (value 1); expected longstr",
    );
    bind("d", text("foo")).unwrap();
    assert_eq!(host.topology.bindings(&host.vhost).count(), 1);
}

/// Asked of RabbitMQ 3.10.8, but for those that no client could send there.
#[test]
fn a_header_has_the_value_that_is_asked_for_as_rabbitmq_compares() {
    use FieldValue::{Array, Bool, ByteArray, F32, F64, I8, I32, I64, Table, Timestamp, U64, Void};
    let decimal = |scale, value| FieldValue::Decimal { scale, value };
    let bytes = |text: &'static str| ByteArray(Bytes::from(text));
    let one = |name: &'static str, value: FieldValue| Table(table(&[(name, value)]));
    let two = |first, second| Table(table(&[(first, I32(1)), (second, I32(1))]));
    for (wanted, sent, expected) in [
        (I32(42), F64(42.0), true),
        (F64(42.0), I32(42), true),
        (I32(42), I8(42), true),
        (I32(42), F32(42.0), true),
        (I32(42), I64(1 << 40), false),
        (I32(42), F64(42.5), false),
        (I32(42), F64(f64::NAN), false),
        (I32(42), F64(f64::INFINITY), false),
        (I64((1 << 53) + 1), F64((1u64 << 53) as f64), false),
        (I64(1 << 53), F64((1u64 << 53) as f64), true),
        (F64(1e300), I64(1_000_000_000_000_000_000), false),
        (U64(u64::MAX), F64(u64::MAX as f64), false),
        (Timestamp(42), I32(42), true),
        (I32(0), F64(-0.0), true),
        (F64(0.0), F64(-0.0), true),
        (decimal(0, 42), I32(42), false),
        (decimal(1, 42), F64(4.2), false),
        (decimal(2, 420), decimal(1, 42), false),
        (decimal(1, 42), decimal(1, 42), true),
        (Bool(true), I32(1), false),
        (Bool(true), text("true"), false),
        (text("42"), I32(42), false),
        (bytes("x"), text("x"), true),
        (text("x"), bytes("x"), true),
        (Void, I32(5), true),
        (I32(5), Void, false),
        (Array(vec![I32(1), I32(2)]), Array(vec![F64(1.0), I32(2)]), false),
        (Array(vec![I32(1), I32(2)]), Array(vec![I32(1), I32(2)]), true),
        (one("a", I32(1)), one("a", F64(1.0)), false),
        (one("a", I32(1)), one("a", I64(1)), false),
        (one("a", I32(1)), one("a", I32(1)), true),
        (F64(1.5), F32(1.5), true),
        (two("a", "b"), two("b", "a"), false),
        (two("a", "b"), two("a", "b"), true),
        (Array(Vec::new()), Table(FieldTable::new()), true),
        (Array(vec![I32(1)]), one("a", I32(1)), false),
    ] {
        let mut host = Host::new();
        host.exchange("x", "headers");
        host.queue("q");
        host.bind_with("x", "q", "", table(&[("h", wanted.clone())]));
        let found = !host.route_with("x", &["k"], &table(&[("h", sent.clone())])).is_empty();
        assert_eq!(found, expected, "{wanted:?} is asked for, {sent:?} is sent");
    }
}
