//! A value of a file together with its path, so that whatever is wrong can say where.

use crate::definitions::table_json;
use forebay_engine::definition::DefinitionError;
use forebay_engine::model::ObjectName;
use forebay_wire::{FieldTable, ShortStr};
use serde_json::{Map, Value};

/// An object of a file, at its path.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    path: String,
    object: &'a Map<String, Value>,
}

pub(super) type Read<T> = Result<T, DefinitionError>;

pub(super) fn wrong<T>(path: &str, reason: impl Into<String>) -> Read<T> {
    Err(DefinitionError { path: path.to_owned(), reason: reason.into() })
}

impl<'a> Node<'a> {
    /// The file itself.
    pub(super) fn root(value: &'a Value) -> Read<Self> {
        match value {
            Value::Object(object) => Ok(Self { path: String::new(), object }),
            other => wrong("$", format!("{}, expected an object", kind(other))),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a String> {
        self.object.keys()
    }

    /// The path of a field.
    pub(super) fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// A list of objects; not there: empty.
    pub(super) fn list(&self, key: &str) -> Read<Vec<Read<Self>>> {
        let values = match self.get(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) => values,
            Some(other) => {
                return wrong(&self.at(key), format!("{}, expected a list", kind(other)));
            }
        };
        let item = |(at, value): (usize, &'a Value)| {
            let path = format!("{}[{at}]", self.at(key));
            match value {
                Value::Object(object) => Ok(Self { path, object }),
                other => wrong(&path, format!("{}, expected an object", kind(other))),
            }
        };
        Ok(values.iter().enumerate().map(item).collect())
    }

    /// Whether a field says nothing: an empty list or object.
    pub(super) fn is_empty(&self, key: &str) -> bool {
        match self.get(key) {
            None => true,
            Some(Value::Array(values)) => values.is_empty(),
            Some(Value::Object(object)) => object.is_empty(),
            Some(_) => false,
        }
    }

    pub(super) fn optional(&self, key: &str) -> Read<Option<&'a str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => wrong(&self.at(key), format!("{}, expected a string", kind(other))),
        }
    }

    pub(super) fn text(&self, key: &str) -> Read<&'a str> {
        match self.optional(key)? {
            Some(text) => Ok(text),
            None => wrong(&self.at(key), "missing, expected a string"),
        }
    }

    pub(super) fn name(&self, key: &str) -> Read<ShortStr> {
        let text = self.text(key)?;
        ShortStr::try_from(text).or_else(|_| {
            wrong(&self.at(key), format!("{} bytes long, at most 255 are allowed", text.len()))
        })
    }

    /// The name of an exchange or queue.
    pub(super) fn object_name(&self, key: &str) -> Read<ObjectName> {
        self.name(key).map(ObjectName::from)
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Read<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => wrong(&self.at(key), format!("{}, expected true or false", kind(other))),
        }
    }

    pub(super) fn integer(&self, key: &str, default: i64) -> Read<i64> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_i64().map_or_else(
                || wrong(&self.at(key), format!("{}, expected an integer", kind(value))),
                Ok,
            ),
        }
    }

    pub(super) fn object(&self, key: &str) -> Read<Option<Self>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Self { path: self.at(key), object })),
            Some(other) => wrong(&self.at(key), format!("{}, expected an object", kind(other))),
        }
    }

    pub(super) fn table(&self, key: &str) -> Read<FieldTable> {
        match self.get(key) {
            // Some tools write an empty table so.
            Some(Value::Array(values)) if values.is_empty() => return Ok(FieldTable::new()),
            _ => {}
        }
        let Some(node) = self.object(key)? else { return Ok(FieldTable::new()) };
        table_json::from_json(node.object)
            .or_else(|(path, reason)| wrong(&format!("{}{path}", node.path), reason))
    }
}

/// A value for an error text: its type, and itself where that is short.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.len() <= 64 => format!("'{text}'"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
