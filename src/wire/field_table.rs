//! Field tables (AMQP 0-9-1, 4.2.5.5): named values in the order they were written.
//!
//! ```text
//! table: size:u32 (bytes that follow) { name:shortstr type:u8 value }*
//! array: size:u32 (bytes that follow) { type:u8 value }*
//! ```
//! `table_walk` reads them, `writer` writes them.

use crate::field_value::FieldValue;
use crate::short_str::ShortStr;
use std::fmt;

/// Arguments, headers, capabilities: names with values, in order. Look-ups walk it, since tables
/// are short. A table from a peer may hold a name twice; the first one counts.
#[derive(Clone, Default, PartialEq)]
pub struct FieldTable(Vec<(ShortStr, FieldValue)>);

impl FieldTable {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value of the field `name`; the first one when a peer sent several.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&FieldValue> {
        let name = name.as_ref();
        self.0.iter().find(|(key, _)| key.as_bytes() == name).map(|(_, value)| value)
    }

    /// Sets the value of `name`, in the place of the one it had, if any, which is returned.
    pub fn insert(&mut self, name: ShortStr, value: impl Into<FieldValue>) -> Option<FieldValue> {
        let value = value.into();
        match self.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.0.push((name, value));
                None
            }
        }
    }

    /// Takes every value of `name` out and returns the first.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> Option<FieldValue> {
        let name = name.as_ref();
        let position = self.0.iter().position(|(key, _)| key.as_bytes() == name)?;
        let (_, value) = self.0.remove(position);
        self.0.retain(|(key, _)| key.as_bytes() != name);
        Some(value)
    }

    /// Names and values in the order of the table.
    pub fn iter(&self) -> std::slice::Iter<'_, (ShortStr, FieldValue)> {
        self.0.iter()
    }

    /// The number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A copy of the table with memory of its own, see [`ShortStr::detached`].
    #[must_use]
    pub fn detached(&self) -> Self {
        self.0.iter().map(|(name, value)| (name.detached(), value.detached())).collect()
    }

    /// Without a look for `name` among what is there: for tables from the wire, which may be long.
    pub(crate) fn push(&mut self, name: ShortStr, value: FieldValue) {
        self.0.push((name, value));
    }
}

impl fmt::Debug for FieldTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.0.iter().map(|(name, value)| (name, value));
        formatter.debug_map().entries(fields).finish()
    }
}

impl FromIterator<(ShortStr, FieldValue)> for FieldTable {
    /// Keeps names that come twice, as a table from a peer does.
    fn from_iter<I: IntoIterator<Item = (ShortStr, FieldValue)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a FieldTable {
    type Item = &'a (ShortStr, FieldValue);
    type IntoIter = std::slice::Iter<'a, (ShortStr, FieldValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for FieldTable {
    type Item = (ShortStr, FieldValue);
    type IntoIter = std::vec::IntoIter<(ShortStr, FieldValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
