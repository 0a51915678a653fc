//! When two field values mean the same: as RabbitMQ compares arguments and headers, where every
//! integer width is one class, and every float width is one class. Everything else compares as it
//! is.

use super::limits::SHOWN_CHARACTERS_MAX;
use forebay_wire::{FieldTable, FieldValue};

/// Whether the two mean the same.
pub(crate) fn same_meaning(left: &FieldValue, right: &FieldValue) -> bool {
    use FieldValue::{Array, Table};
    if let (Some(left), Some(right)) = (left.as_integer(), right.as_integer()) {
        return left == right;
    }
    if let (Some(left), Some(right)) = (float(left), float(right)) {
        return left == right;
    }
    match (left, right) {
        (Array(left), Array(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same_meaning(left, right))
        }
        (Table(left), Table(right)) => same_tables(left, right),
        _ => left == right,
    }
}

/// Whether a message's header has the value that a binding of a headers exchange asks for, as
/// RabbitMQ compares them: numbers by value, whatever their type, timestamps among them; text by its
/// bytes. Within tables and arrays the types count as well, and so does the order.
pub(crate) fn same_header(wanted: &FieldValue, there: &FieldValue) -> bool {
    match (number(wanted), number(there)) {
        (Some(wanted), Some(there)) => wanted.equals(there),
        (None, None) => same_value(wanted, there),
        _ => false,
    }
}

/// Whether two values that are no numbers are the same, their own types aside.
fn same_value(left: &FieldValue, right: &FieldValue) -> bool {
    use FieldValue::{Array, ByteArray, LongStr, Table};
    match (left, right) {
        (LongStr(left) | ByteArray(left), LongStr(right) | ByteArray(right)) => left == right,
        (Array(left), Array(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same_typed(left, right))
        }
        (Table(left), Table(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right.iter())
                    .all(|(left, right)| left.0 == right.0 && same_typed(&left.1, &right.1))
        }
        // Nothing in them tells one from the other.
        (Array(array), Table(table)) | (Table(table), Array(array)) => {
            array.is_empty() && table.is_empty()
        }
        _ => left == right,
    }
}

/// Whether two values within a table or an array are the same, of the same type.
fn same_typed(left: &FieldValue, right: &FieldValue) -> bool {
    type_name(left) == type_name(right) && same_header(left, right)
}

/// A value that is a number to RabbitMQ.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => left == right,
            (Self::Float(left), Self::Float(right)) => left == right,
            (Self::Integer(integer), Self::Float(float))
            | (Self::Float(float), Self::Integer(integer)) => {
                // Exact: what is beyond 128 bits becomes a number that no field can hold.
                #[expect(clippy::cast_possible_truncation, reason = "it has no fraction")]
                let whole = float as i128;
                float.fract() == 0.0 && whole == integer
            }
        }
    }
}

fn number(value: &FieldValue) -> Option<Number> {
    let integer = match value {
        FieldValue::Timestamp(seconds) => Some(i128::from(*seconds)),
        value => value.as_integer(),
    };
    integer.map(Number::Integer).or_else(|| float(value).map(Number::Float))
}

fn same_tables(left: &FieldTable, right: &FieldTable) -> bool {
    let mut left: Vec<_> = left.iter().collect();
    let mut right: Vec<_> = right.iter().collect();
    left.sort_by(|left, right| left.0.cmp(&right.0));
    right.sort_by(|left, right| left.0.cmp(&right.0));
    left.len() == right.len()
        && left
            .iter()
            .zip(&right)
            .all(|(left, right)| left.0 == right.0 && same_meaning(&left.1, &right.1))
}

/// The value of a float of either width.
pub(crate) fn float(value: &FieldValue) -> Option<f64> {
    match *value {
        FieldValue::F32(value) => Some(value.into()),
        FieldValue::F64(value) => Some(value),
        _ => None,
    }
}

/// The type's name as RabbitMQ writes it in its texts.
pub(crate) fn type_name(value: &FieldValue) -> &'static str {
    match value {
        FieldValue::Bool(_) => "bool",
        FieldValue::I8(_) => "byte",
        FieldValue::U8(_) => "unsignedbyte",
        FieldValue::I16(_) => "short",
        FieldValue::U16(_) => "unsignedshort",
        FieldValue::I32(_) => "signedint",
        FieldValue::U32(_) => "unsignedint",
        FieldValue::I64(_) => "long",
        FieldValue::U64(_) => "unsignedlong",
        FieldValue::F32(_) => "float",
        FieldValue::F64(_) => "double",
        FieldValue::Decimal { .. } => "decimal",
        FieldValue::LongStr(_) => "longstr",
        FieldValue::Array(_) => "array",
        FieldValue::Timestamp(_) => "timestamp",
        FieldValue::Table(_) => "table",
        FieldValue::ByteArray(_) => "binary",
        FieldValue::Void => "void",
    }
}

/// The value for an error text, cut where it grows long.
pub(crate) fn shown(value: &FieldValue) -> String {
    let text = match value {
        FieldValue::Bool(value) => value.to_string(),
        FieldValue::LongStr(bytes) | FieldValue::ByteArray(bytes) => {
            let start = bytes.get(..SHOWN_CHARACTERS_MAX * 4).unwrap_or(bytes);
            String::from_utf8_lossy(start).into_owned()
        }
        FieldValue::Timestamp(seconds) => seconds.to_string(),
        FieldValue::Decimal { scale, value } => format!("{value}e-{scale}"),
        FieldValue::Array(values) => format!("{} values", values.len()),
        FieldValue::Table(table) => format!("{} entries", table.len()),
        FieldValue::Void => "void".to_owned(),
        _ => match (value.as_integer(), float(value)) {
            (Some(value), _) => value.to_string(),
            (_, value) => value.unwrap_or_default().to_string(),
        },
    };
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
