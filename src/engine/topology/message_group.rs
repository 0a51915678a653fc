//! Which group a message belongs to (`x-message-group`). Groups are told apart by hashes of 64 bits: two
//! whose hashes are the same are one group, which costs them some parallelism and nothing else.

use super::arguments::{Arguments, BadArgument};
use crate::model::Message;
use forebay_wire::{FieldValue, ShortStr};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The argument that says where a message names its group.
const MESSAGE_GROUP: &str = "x-message-group";

/// The value that stands for the routing key. A header of this name can't name groups.
const ROUTING_KEY: &[u8] = b"routing-key";

/// What tells integers from texts.
const INTEGER_SEED: u64 = 1;
/// What tells all other values from both.
const OTHER_SEED: u64 = 2;

/// Where a message names its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupKey {
    /// The routing key: each message belongs to a group.
    RoutingKey,
    /// A header: messages without it belong to none.
    Header(ShortStr),
}

impl GroupKey {
    /// Reads the argument, or the setting of a policy.
    ///
    /// # Errors
    /// What is no string of 1 to 255 bytes.
    pub(super) fn read(arguments: Arguments<'_>) -> Result<Option<Self>, BadArgument> {
        let name = arguments.short_string(MESSAGE_GROUP)?;
        Ok(match name {
            None => None,
            Some(name) if name.is_empty() => {
                let allowed = "the name of a header, of 1 to 255 bytes, or 'routing-key'";
                return Err(arguments.refused(MESSAGE_GROUP, allowed));
            }
            Some(name) if name.as_bytes() == ROUTING_KEY => Some(Self::RoutingKey),
            Some(name) => Some(Self::Header(name)),
        })
    }

    /// As it is declared.
    #[must_use]
    pub fn name(&self) -> ShortStr {
        match self {
            Self::RoutingKey => ShortStr::from_static("routing-key"),
            Self::Header(name) => name.clone(),
        }
    }

    /// The hash of the message's group; `None`: it belongs to none.
    pub(crate) fn group_of(&self, message: &Message) -> Option<u64> {
        match self {
            Self::RoutingKey => Some(xxh3_64(message.routing_key())),
            Self::Header(name) => {
                let headers = message.shown_properties().headers()?;
                Some(hash(headers.get(name.as_bytes())?)?)
            }
        }
    }
}

/// Integers of all widths that have one value are one group; `void` is no value.
fn hash(value: &FieldValue) -> Option<u64> {
    if let Some(integer) = value.as_integer() {
        return Some(xxh3_64_with_seed(&integer.to_be_bytes(), INTEGER_SEED));
    }
    match value {
        FieldValue::Void => None,
        FieldValue::LongStr(text) | FieldValue::ByteArray(text) => Some(xxh3_64(text)),
        other => {
            let mut encoded = bytes::BytesMut::new();
            let name = ShortStr::from_static("value");
            forebay_wire::FieldTable::from_iter([(name, other.clone())]).encode(&mut encoded);
            Some(xxh3_64_with_seed(&encoded, OTHER_SEED))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_one_group_however_it_is_encoded() {
        let one = [FieldValue::I8(1), FieldValue::I32(1), FieldValue::U64(1)].map(|it| hash(&it));
        assert!(one.iter().all(|hash| *hash == one[0]));
        let text = hash(&FieldValue::LongStr("1".into()));
        assert_ne!(text, one[0]);
        assert_eq!(hash(&FieldValue::Void), None);
        assert_ne!(hash(&FieldValue::Bool(true)), hash(&FieldValue::Bool(false)));
        assert_ne!(hash(&FieldValue::Bool(true)), hash(&FieldValue::I64(1)));
    }
}
