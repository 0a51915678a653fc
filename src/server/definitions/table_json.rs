//! Field tables as JSON and back, as RabbitMQ's management API maps them. JSON knows fewer types:
//! integers become 64 bits wide, strings long strings.

use forebay_wire::{FieldTable, FieldValue, ShortStr};
use serde_json::{Map, Value, json};

/// How deep arrays and tables may stand in one another, as on the wire.
const DEPTH_MAX: usize = forebay_wire::limits::FIELD_TABLE_DEPTH_MAX;

/// A table as a JSON object.
#[must_use]
pub fn to_json(table: &FieldTable) -> Value {
    let entries = table.iter().map(|(name, value)| (name.to_string(), value_to_json(value)));
    Value::Object(entries.collect())
}

fn value_to_json(value: &FieldValue) -> Value {
    match value {
        FieldValue::Bool(value) => json!(value),
        FieldValue::F32(value) => json!(value),
        FieldValue::F64(value) => json!(value),
        FieldValue::LongStr(bytes) | FieldValue::ByteArray(bytes) => {
            Value::String(String::from_utf8_lossy(bytes).into_owned())
        }
        FieldValue::Array(values) => values.iter().map(value_to_json).collect(),
        FieldValue::Table(table) => to_json(table),
        FieldValue::Timestamp(seconds) => json!(seconds),
        FieldValue::Decimal { scale, value } => {
            json!(f64::from(*value) / 10f64.powi(i32::from(*scale)))
        }
        FieldValue::Void => Value::Null,
        integer => {
            let value = integer.as_integer().unwrap_or_default();
            i64::try_from(value).map_or_else(|_| json!(value as u64), |value| json!(value))
        }
    }
}

/// A JSON object as a table.
///
/// # Errors
/// Path below the object, and what is wrong there.
pub fn from_json(object: &Map<String, Value>) -> Result<FieldTable, (String, String)> {
    table(object, 1)
}

fn table(object: &Map<String, Value>, depth: usize) -> Result<FieldTable, (String, String)> {
    let entry = |(name, value): (&String, &Value)| {
        let here = |(path, reason): (String, String)| (format!(".{name}{path}"), reason);
        let key = ShortStr::try_from(name.as_str())
            .map_err(|_| here((String::new(), "the name is longer than 255 bytes".to_owned())))?;
        Ok((key, field(value, depth).map_err(here)?))
    };
    object.iter().map(entry).collect()
}

fn field(value: &Value, depth: usize) -> Result<FieldValue, (String, String)> {
    let fault = |reason: String| Err((String::new(), reason));
    Ok(match value {
        Value::Null => FieldValue::Void,
        Value::Bool(value) => FieldValue::Bool(*value),
        Value::String(text) => FieldValue::from(text.as_str()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => FieldValue::I64(integer),
            (None, Some(float)) if !number.is_u64() => FieldValue::F64(float),
            _ => return fault(format!("{number} is beyond 63 bits")),
        },
        _ if depth >= DEPTH_MAX => return fault(format!("deeper than {DEPTH_MAX} levels")),
        Value::Object(object) => FieldValue::Table(table(object, depth + 1)?),
        Value::Array(values) => {
            let mut list = Vec::with_capacity(values.len());
            for (at, value) in values.iter().enumerate() {
                let here = |(path, reason)| (format!("[{at}]{path}"), reason);
                list.push(field(value, depth + 1).map_err(here)?);
            }
            FieldValue::Array(list)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_can_say_goes_there_and_back() {
        let text = json!({"a": 1, "b": true, "c": "x", "d": [1, {"e": null}], "f": 1.5, "g": -3});
        let table = from_json(text.as_object().unwrap()).unwrap();
        assert_eq!(table.get("a"), Some(&FieldValue::I64(1)));
        assert_eq!(to_json(&table), text);
    }

    #[test]
    fn the_place_that_is_wrong_is_named() {
        let text = json!({"a": [0, {"b": 18_446_744_073_709_551_615u64}]});
        let (path, reason) = from_json(text.as_object().unwrap()).unwrap_err();
        assert_eq!(path, ".a[1].b");
        assert!(reason.contains("63 bits"));
        let mut deep = json!(1);
        for _ in 0..1_000 {
            deep = json!([deep]);
        }
        from_json(json!({ "a": deep }).as_object().unwrap()).unwrap_err();
    }
}
