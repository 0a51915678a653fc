//! What is read from the admin listener's answers.

use serde_json::Value;

/// What a step left over; `None` when the walk is over.
pub(super) fn rest(step: &Value) -> Option<Value> {
    let rest = step.get("rest")?;
    rest.as_array().filter(|runs| !runs.is_empty()).map(|_| rest.clone())
}

pub(super) fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}
