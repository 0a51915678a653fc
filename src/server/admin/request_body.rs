//! The JSON body of a request. Flags and numbers may be strings, as rabbitmqadmin sends them.

use super::api_error::ApiError;
use crate::definitions::{table_json, user_tags};
use forebay_wire::FieldTable;
use serde_json::{Map, Value};

/// A JSON object.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestBody(Map<String, Value>);

impl RequestBody {
    /// # Errors
    /// 400 when it is no JSON object. No body is an empty one.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(ApiError::bad("the body is no JSON object")),
            Err(error) => Err(ApiError::bad(format!("the body is no JSON: {error}"))),
        }
    }

    /// An object within it.
    ///
    /// # Errors
    /// 400 when it is not there or no object.
    pub(super) fn object(&self, key: &str) -> Result<Self, ApiError> {
        match self.get(key) {
            Some(Value::Object(object)) => Ok(Self(object.clone())),
            Some(other) => Err(wrong(key, other, "an object")),
            None => Err(ApiError::bad(format!("{key}: missing, expected an object"))),
        }
    }

    /// Refuses every field that would have no effect.
    ///
    /// # Errors
    /// 400 when there is another one than the `known`.
    pub(super) fn check_fields(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let known = known.join(", ");
                Err(ApiError::bad(format!("{key}: no such field, expected {known}")))
            }
        }
    }

    /// The whole object.
    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// The names of its fields.
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// # Errors
    /// 400 when it is no string.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, ApiError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(key, other, "a string")),
        }
    }

    /// # Errors
    /// 400 when it is not there or no string.
    pub(super) fn required(&self, key: &str) -> Result<&str, ApiError> {
        self.text(key)?.ok_or_else(|| ApiError::bad(format!("{key}: missing, expected a string")))
    }

    /// # Errors
    /// 400 when it is neither true nor false.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, ApiError> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(wrong(key, other, "true or false")),
        }
    }

    /// # Errors
    /// 400 when it is no integer.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_i64(),
        };
        number.map(Some).ok_or_else(|| wrong(key, value, "an integer"))
    }

    /// # Errors
    /// 400 when they are neither a list of names nor names separated by commas.
    pub(super) fn tags(&self) -> Result<Option<Vec<String>>, ApiError> {
        let tags = self.get("tags").map(user_tags).transpose();
        tags.map_err(|reason| ApiError::bad(format!("tags: {reason}")))
    }

    /// # Errors
    /// 400 when it is no object, or something in it can't be in a field table.
    pub(super) fn table(&self, key: &str) -> Result<FieldTable, ApiError> {
        match self.get(key) {
            None => Ok(FieldTable::new()),
            // What an empty table is in PHP, and in some files.
            Some(Value::Array(values)) if values.is_empty() => Ok(FieldTable::new()),
            Some(Value::Object(object)) => table_json::from_json(object)
                .map_err(|(path, reason)| ApiError::bad(format!("{key}{path}: {reason}"))),
            Some(other) => Err(wrong(key, other, "an object")),
        }
    }
}

fn wrong(key: &str, found: &Value, expected: &str) -> ApiError {
    ApiError::bad(format!("{key}: {found}, expected {expected}"))
}
