//! What a client, or a file of definitions, asks of the topology.

use super::{Binding, ObjectName};
use forebay_wire::{FieldTable, ShortStr};

/// A request about exchanges, queues and bindings (AMQP 0-9-1, 1.6 and 1.7). An empty
/// queue name was already replaced, by a generated one or by the channel's current queue.
#[derive(Clone, Debug)]
pub enum TopologyRequest {
    /// `exchange.declare`; replied with `Done`.
    DeclareExchange(ExchangeDeclaration),
    /// `exchange.delete`; replied with `Done`.
    DeleteExchange {
        /// Its name.
        name: ObjectName,
        /// Refused with 406 when it has bindings.
        if_unused: bool,
    },
    /// `exchange.bind` or `queue.bind`; replied with `Done`.
    Bind(Binding),
    /// `exchange.unbind` or `queue.unbind`; replied with `Done`, also when it was not there.
    Unbind(Binding),
    /// `queue.declare`; replied with `QueueDeclared`.
    DeclareQueue(QueueDeclaration),
    /// `queue.purge`; replied with `MessageCount`.
    PurgeQueue {
        /// Its name.
        name: ObjectName,
    },
    /// `queue.delete`; replied with `MessageCount`.
    DeleteQueue {
        /// Its name.
        name: ObjectName,
        /// Refused with 406 when it has consumers.
        if_unused: bool,
        /// Refused with 406 when it has messages.
        if_empty: bool,
    },
}

/// The arguments of `exchange.declare`. The default is neither durable nor internal, with empty name
/// and type.
#[derive(Clone, Debug, Default)]
pub struct ExchangeDeclaration {
    /// The exchange's name.
    pub name: ObjectName,
    /// The exchange's type, as `direct`.
    pub kind: ShortStr,
    /// Checks that the exchange exists instead of creating it.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Deleted with its last binding.
    pub auto_delete: bool,
    /// Clients cannot publish to it.
    pub internal: bool,
    /// `alternate-exchange` and others.
    pub arguments: FieldTable,
}

/// The arguments of `queue.declare`. The default is a transient, shared queue without a name.
#[derive(Clone, Debug, Default)]
pub struct QueueDeclaration {
    /// The queue's name.
    pub name: ObjectName,
    /// The broker chose the name, which may then begin with `amq.`.
    pub is_generated: bool,
    /// Checks that the queue exists instead of creating it.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Only the declaring connection may use the queue, which is deleted when the connection closes.
    pub exclusive: bool,
    /// Deleted with its last consumer.
    pub auto_delete: bool,
    /// Unknown arguments are kept; known ones with a bad value are refused with 406.
    pub arguments: FieldTable,
}
