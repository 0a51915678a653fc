//! Headers exchanges.

use super::{CONNECTION, Host, binding, name, object, refused, table, text};
use crate::command::Destination;
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
fn floats_of_either_width_and_nested_tables_compare_by_meaning() {
    let mut host = Host::new();
    host.exchange("x", "headers");
    host.queue("q");
    let inner = |value| FieldValue::Table(table(&[("i", value)]));
    let wanted = table(&[("f", FieldValue::F64(1.5)), ("t", inner(FieldValue::I32(7)))]);
    host.bind_with("x", "q", "", wanted);
    let message = table(&[("t", inner(FieldValue::I64(7))), ("f", FieldValue::F32(1.5))]);
    assert_eq!(host.route_with("x", &[""], &message), ["q"]);
    let message = table(&[("t", inner(FieldValue::I64(8))), ("f", FieldValue::F32(1.5))]);
    assert!(host.route_with("x", &[""], &message).is_empty());
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
