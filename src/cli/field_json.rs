//! Values of AMQP's field tables as JSON, and the way back.
//!
//! JSON has fewer types: bytes become text (of what is no UTF-8 the rest is replaced), times become seconds. On the way
//! back an integer has 32 bits when that is enough, and 64 otherwise.

use forebay_client::{FieldTable, FieldValue, ShortStr};
use serde_json::{Map, Value};

/// Depth of lists and objects within each other that is taken.
const DEPTH_MAX: usize = 16;

/// A table as a JSON object.
pub(crate) fn object(table: &FieldTable) -> Map<String, Value> {
    table.iter().map(|(name, value)| (name.to_string(), value_of(value))).collect()
}

fn value_of(value: &FieldValue) -> Value {
    if let Some(number) = value.as_integer().and_then(|number| i64::try_from(number).ok()) {
        return number.into();
    }
    match value {
        FieldValue::Bool(truth) => (*truth).into(),
        FieldValue::F32(number) => f64::from(*number).into(),
        FieldValue::F64(number) => (*number).into(),
        FieldValue::U64(number) | FieldValue::Timestamp(number) => (*number).into(),
        FieldValue::LongStr(text) | FieldValue::ByteArray(text) => {
            String::from_utf8_lossy(text).into()
        }
        FieldValue::Decimal { scale, value } => {
            (f64::from(*value) / 10_f64.powi((*scale).into())).into()
        }
        FieldValue::Array(values) => values.iter().map(value_of).collect(),
        FieldValue::Table(table) => object(table).into(),
        _ => Value::Null,
    }
}

/// A JSON object as a table.
///
/// # Errors
/// Names the member that can't be in a table.
pub(crate) fn table(object: &Map<String, Value>) -> Result<FieldTable, String> {
    table_within(object, 0)
}

fn table_within(object: &Map<String, Value>, depth: usize) -> Result<FieldTable, String> {
    let field = |(name, value): (&String, &Value)| {
        let short =
            ShortStr::try_from(name.as_str()).map_err(|error| format!("`{name}`: {error}"))?;
        Ok((short, field_of(value, depth).map_err(|reason| format!("{name}: {reason}"))?))
    };
    object.iter().map(field).collect()
}

fn field_of(value: &Value, depth: usize) -> Result<FieldValue, String> {
    if depth > DEPTH_MAX {
        return Err(format!("lists and objects more than {DEPTH_MAX} deep"));
    }
    Ok(match value {
        Value::Null => FieldValue::Void,
        Value::Bool(truth) => FieldValue::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => {
                i32::try_from(number).map_or(FieldValue::I64(number), FieldValue::I32)
            }
            (None, Some(part)) if number.is_f64() => FieldValue::F64(part),
            _ => {
                return Err(format!(
                    "{number} has more than 63 bits, the largest integer is {}",
                    i64::MAX
                ));
            }
        },
        Value::String(text) => FieldValue::from(text.as_str()),
        Value::Array(values) => {
            let values: Result<Vec<_>, String> =
                values.iter().map(|value| field_of(value, depth + 1)).collect();
            FieldValue::Array(values?)
        }
        Value::Object(object) => FieldValue::Table(table_within(object, depth + 1)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_comes_from_json_goes_back_as_it_was() {
        let value = json!({
            "text": "x", "small": -1, "large": 10_000_000_000_i64, "truth": true, "none": null, "part": 0.5,
            "list": [1, "two", { "three": 3 }], "object": { "a": { "b": [] } },
        });
        let members = value.as_object().unwrap();
        assert_eq!(&object(&table(members).unwrap()), members);
    }

    #[test]
    fn what_can_be_in_no_table_is_named() {
        let long = json!({ "x".repeat(256): 1 });
        assert!(table(long.as_object().unwrap()).unwrap_err().contains("xxx"));
        let large = json!({ "n": u64::MAX });
        assert!(table(large.as_object().unwrap()).unwrap_err().starts_with("n: "));
        let mut deep = json!(1);
        for _ in 0..40 {
            deep = json!([deep]);
        }
        let deep = json!({ "deep": deep });
        assert!(table(deep.as_object().unwrap()).unwrap_err().contains("deep: "));
    }
}
