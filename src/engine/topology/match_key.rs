//! What a binding matches messages by.

use bytes::{Bytes, BytesMut};
use forebay_wire::{FieldTable, ShortStr};

/// Routing key and arguments of a binding. Two bindings with the same ends are distinct when their
/// match keys differ, whatever the exchange's type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MatchKey {
    pub(crate) routing_key: ShortStr,
    /// The arguments in the order of their names, encoded; empty for none.
    pub(crate) arguments: Bytes,
}

impl MatchKey {
    pub(super) fn new(routing_key: &ShortStr, arguments: &FieldTable) -> Self {
        if arguments.is_empty() {
            return Self { routing_key: routing_key.clone(), arguments: Bytes::new() };
        }
        let mut sorted: Vec<_> = arguments.iter().cloned().collect();
        sorted.sort_by(|left, right| left.0.cmp(&right.0));
        let mut bytes = BytesMut::new();
        sorted.into_iter().collect::<FieldTable>().encode(&mut bytes);
        Self { routing_key: routing_key.clone(), arguments: bytes.freeze() }
    }

    /// Before every other key: no routing key and no arguments.
    pub(super) fn lowest() -> Self {
        Self { routing_key: ShortStr::default(), arguments: Bytes::new() }
    }
}
