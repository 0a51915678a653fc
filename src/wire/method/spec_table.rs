//! Holds the code against `protocol-spec/methods.toml`, in both directions.

use super::listing::{Entry, entries};
use crate::{FieldTable, Method, RawProperties, ReplyCode, TableFlaw, WireErrorKind};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;
use toml::{Table, Value};

fn spec() -> Table {
    include_str!("../../../protocol-spec/methods.toml").parse().unwrap()
}

fn list<'a>(table: &'a Table, name: &str) -> &'a [Value] {
    table.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(table: &'a Value, name: &str) -> &'a str {
    table[name].as_str().unwrap()
}

fn id(table: &Value) -> u16 {
    table["id"].as_integer().unwrap().try_into().unwrap()
}

fn methods_of(class: &Value) -> &[Value] {
    list(class.as_table().unwrap(), "method")
}

/// As the table writes an argument: `exchange.declare` calls its `kind` "type", as on the wire.
fn argument((name, kind): &(Option<&str>, &str)) -> String {
    let name = match *name {
        None => "reserved".to_owned(),
        Some("kind") => "type".to_owned(),
        Some(name) => name.replace('_', "-"),
    };
    format!("{name} {kind}")
}

#[test]
fn methods_are_those_of_the_table() {
    let mut specified = BTreeMap::new();
    for class in list(&spec(), "class") {
        for method in methods_of(class) {
            let name = format!("{}.{}", text(class, "name"), text(method, "name"));
            let content = method.get("content").is_some_and(|content| content == &true.into());
            let fields = method["fields"].as_array().unwrap().iter();
            let fields: Vec<_> = fields.map(|field| field.as_str().unwrap().to_owned()).collect();
            specified.insert((id(class), id(method)), (name, content, fields));
        }
    }
    let coded: BTreeMap<_, _> = entries()
        .iter()
        .map(|Entry { class_id, method_id, name, arguments, method }| {
            let arguments = arguments.iter().map(argument).collect::<Vec<_>>();
            let value = ((*name).to_owned(), method.carries_content(), arguments);
            ((*class_id, *method_id), value)
        })
        .collect();
    assert_eq!(coded.len(), entries().len(), "two methods share their ids");
    assert_eq!(coded, specified);
}

#[test]
fn a_method_knows_its_ids_and_name() {
    for Entry { class_id, method_id, name, method, .. } in entries() {
        assert_eq!(
            (method.class_id(), method.method_id(), method.name()),
            (class_id, method_id, name)
        );
        let mut payload = BytesMut::new();
        method.encode(&mut payload);
        assert_eq!(Method::decode(&payload.freeze()), Ok(method));
    }
}

#[test]
fn ids_that_are_not_in_the_table_are_unknown() {
    let known: Vec<_> = entries().iter().map(|entry| (entry.class_id, entry.method_id)).collect();
    for class_id in 0..=255u16 {
        for method_id in 0..=255u16 {
            let mut payload = BytesMut::new();
            payload.put_u16(class_id);
            payload.put_u16(method_id);
            let error = Method::decode(&payload.freeze()).err().map(|error| error.kind);
            let expected = if known.iter().any(|(known, _)| *known == class_id) {
                WireErrorKind::UnknownMethod { class_id, method_id }
            } else {
                WireErrorKind::UnknownClass { class_id }
            };
            let is_unknown = error == Some(expected);
            assert_eq!(is_unknown, !known.contains(&(class_id, method_id)));
        }
    }
}

#[test]
fn answers_are_methods_of_their_class() {
    for class in list(&spec(), "class") {
        let find = |name| methods_of(class).iter().find(|method| text(method, "name") == name);
        for method in methods_of(class) {
            let from = text(method, "from");
            assert!(["client", "server", "both"].contains(&from), "{method}");
            for answer in list(method.as_table().unwrap(), "answers") {
                let answer = find(answer.as_str().unwrap()).expect("an answer in the same class");
                let answered_by = text(answer, "from");
                assert!(answered_by != from || from == "both", "{method}");
            }
        }
    }
}

/// Octets of a value of each kind, none of them 0 or empty.
fn sample(kind: &str) -> Vec<u8> {
    match kind {
        "octet" => vec![7],
        "timestamp" => vec![0, 0, 0, 0, 0, 0, 0, 7],
        "shortstr" => b"\x017".to_vec(),
        "table" => b"\0\0\0\x04\x017t\x01".to_vec(),
        _ => panic!("no property is a {kind}"),
    }
}

#[test]
fn properties_are_those_of_the_table() {
    let spec = spec();
    let basic = list(&spec, "class").iter().find(|class| text(class, "name") == "basic").unwrap();
    let properties = list(basic.as_table().unwrap(), "properties");
    assert_eq!(properties.len(), 14);
    for (position, property) in properties.iter().enumerate() {
        let (name, kind) = property.as_str().unwrap().split_once(' ').unwrap();
        let name = if name == "type" { "kind".to_owned() } else { name.replace('-', "_") };
        let mut octets = BytesMut::new();
        octets.put_u16(1 << (15 - position));
        octets.put_slice(&sample(kind));
        let raw = RawProperties::parse(octets.freeze()).unwrap();
        let shown = format!("{:?}", raw.decode());
        assert!(shown.starts_with(&format!("Properties {{ {name}: ")), "{shown}");
        assert_eq!(raw.decode().encode(), raw);
    }
}

/// A table with one field of the type, its value all zeros.
fn table_of(field_type: u8, value_size: usize) -> Bytes {
    let mut octets = BytesMut::new();
    octets.put_u32(3 + value_size as u32);
    octets.put_slice(&[1, b'v', field_type]);
    octets.put_bytes(0, value_size);
    octets.freeze()
}

#[test]
fn field_types_are_those_of_the_table() {
    let spec = spec();
    let sizes: BTreeMap<u8, usize> = list(&spec, "field-type")
        .iter()
        .map(|entry| {
            let size = entry["size"].as_integer().map_or(4, |size| size as usize);
            (text(entry, "octet").as_bytes()[0], size)
        })
        .collect();
    for field_type in 0..=255 {
        let decode = |size| FieldTable::decode(&table_of(field_type, size));
        match sizes.get(&field_type) {
            Some(size) => {
                let table = decode(*size).unwrap();
                let mut encoded = BytesMut::new();
                table.encode(&mut encoded);
                assert_eq!(encoded, table_of(field_type, *size));
                let (shorter, longer) = (size.checked_sub(1), size + 1);
                assert!(shorter.is_none_or(|size| decode(size).is_err()));
                assert!(decode(longer).is_err());
            }
            None => {
                let flaw = WireErrorKind::Table(TableFlaw::FieldType(field_type));
                assert_eq!(decode(8).unwrap_err().kind, flaw);
            }
        }
    }
}

#[test]
fn reply_codes_are_those_of_the_table() {
    let spec = spec();
    let specified: Vec<_> = list(&spec, "reply-code")
        .iter()
        .map(|entry| (entry["code"].as_integer().unwrap(), text(entry, "name")))
        .collect();
    let coded: Vec<_> =
        ReplyCode::ALL.iter().map(|code| (i64::from(code.code()), code.name())).collect();
    assert_eq!(coded, specified);
    for code in 0..=u16::MAX {
        let found = ReplyCode::from_code(code).map(ReplyCode::code);
        let known = specified.iter().any(|(known, _)| *known == i64::from(code));
        assert_eq!(found, known.then_some(code));
    }
}

#[test]
fn frame_types_and_end_are_those_of_the_table() {
    use crate::frame::{FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD};
    let spec = spec();
    let specified = |name: &str| spec["frame-types"][name].as_integer();
    assert_eq!(spec["frame-types"].as_table().map(Table::len), Some(4));
    assert_eq!(specified("method"), Some(FRAME_METHOD.into()));
    assert_eq!(specified("header"), Some(FRAME_HEADER.into()));
    assert_eq!(specified("body"), Some(FRAME_BODY.into()));
    assert_eq!(specified("heartbeat"), Some(FRAME_HEARTBEAT.into()));
    assert_eq!(spec["frame-end"].as_integer(), Some(FRAME_END.into()));
}
