//! What an operator says of a virtual host beside its name.

use super::settings::QueueKind;
use bytes::Bytes;
use forebay_wire::{FieldTable, FieldValue, ShortStr};

const DESCRIPTION: &str = "description";
const TAGS: &str = "tags";
const DEFAULT_QUEUE_TYPE: &str = "default-queue-type";

/// What is said of a virtual host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VhostMetadata {
    /// For people.
    pub description: String,
    /// For people and their tools.
    pub tags: Vec<String>,
    /// The type of queues that are declared without one; nothing: classic.
    pub default_queue_type: Option<QueueKind>,
}

/// What is to be said of a virtual host from now on; nothing: as before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VhostUpdate {
    /// For people.
    pub description: Option<String>,
    /// For people and their tools.
    pub tags: Option<Vec<String>>,
    /// The type of queues that are declared without one.
    pub default_queue_type: Option<QueueKind>,
}

impl VhostMetadata {
    /// Takes an update over; returns whether that makes a difference.
    pub(super) fn update(&mut self, update: VhostUpdate) -> bool {
        let before = self.clone();
        let VhostUpdate { description, tags, default_queue_type } = update;
        self.description = description.unwrap_or_else(|| std::mem::take(&mut self.description));
        self.tags = tags.unwrap_or_else(|| std::mem::take(&mut self.tags));
        self.default_queue_type = default_queue_type.or(self.default_queue_type);
        *self != before
    }

    /// As it is stored; empty when nothing is said.
    pub(super) fn to_table(&self) -> FieldTable {
        let text = |text: &str| FieldValue::LongStr(Bytes::copy_from_slice(text.as_bytes()));
        let mut table = FieldTable::new();
        if !self.description.is_empty() {
            table.insert(ShortStr::from_static(DESCRIPTION), text(&self.description));
        }
        if !self.tags.is_empty() {
            let tags = self.tags.iter().map(|tag| text(tag)).collect();
            table.insert(ShortStr::from_static(TAGS), FieldValue::Array(tags));
        }
        if let Some(kind) = self.default_queue_type {
            table.insert(ShortStr::from_static(DEFAULT_QUEUE_TYPE), text(kind.name()));
        }
        table
    }

    /// From what is stored; nothing when that was never written.
    pub(super) fn from_table(table: &FieldTable) -> Option<Self> {
        let text = |value: &FieldValue| match value {
            FieldValue::LongStr(text) => String::from_utf8(text.to_vec()).ok(),
            _ => None,
        };
        let mut metadata = Self::default();
        if let Some(description) = table.get(DESCRIPTION) {
            metadata.description = text(description)?;
        }
        match table.get(TAGS) {
            None => {}
            Some(FieldValue::Array(tags)) => {
                metadata.tags = tags.iter().map(text).collect::<Option<_>>()?;
            }
            Some(_) => return None,
        }
        if let Some(kind) = table.get(DEFAULT_QUEUE_TYPE) {
            metadata.default_queue_type = Some(QueueKind::from_name(&text(kind)?)?);
        }
        Some(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let metadata = VhostMetadata {
            description: "apples and pears".to_owned(),
            tags: vec!["fruit".to_owned(), "färbig".to_owned()],
            default_queue_type: Some(QueueKind::Quorum),
        };
        assert_eq!(VhostMetadata::from_table(&metadata.to_table()), Some(metadata));
        assert!(VhostMetadata::default().to_table().is_empty());
        let mut wrong = FieldTable::new();
        wrong.insert(ShortStr::from_static(DEFAULT_QUEUE_TYPE), "stream");
        assert_eq!(VhostMetadata::from_table(&wrong), None);
    }
}
