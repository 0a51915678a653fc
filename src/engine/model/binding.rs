//! Bindings: from an exchange to a queue or to another exchange.

use super::ObjectName;
use forebay_wire::{FieldTable, ShortStr};

/// A binding from a source exchange to a queue or to another exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The exchange that messages come from.
    pub source: ObjectName,
    /// Where they go.
    pub destination: Destination,
    /// The routing key or pattern.
    pub routing_key: ShortStr,
    /// For headers exchanges.
    pub arguments: FieldTable,
}

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// To a queue, by name.
    Queue(ObjectName),
    /// To an exchange, by name.
    Exchange(ObjectName),
}
