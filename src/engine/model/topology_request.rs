//! What a client, or a file of definitions, asks of the topology.

use super::{Binding, ObjectName};
use forebay_wire::{FieldTable, ShortStr};

/// A request about exchanges, queues and bindings (AMQP 0-9-1, 1.6 and 1.7). An empty
/// queue name was already replaced, by a generated one or by the channel's current queue.
#[derive(Clone, Debug)]
pub enum TopologyRequest {
    /// `exchange.declare`; replied with `Done`.
    DeclareExchange {
        /// Its name.
        name: ObjectName,
        /// Its type, as `direct`.
        kind: ShortStr,
        /// Only ask whether it is there.
        passive: bool,
        /// Survives a restart.
        durable: bool,
        /// Deleted with its last binding.
        auto_delete: bool,
        /// Clients can't publish to it.
        internal: bool,
        /// `alternate-exchange` and others.
        arguments: FieldTable,
    },
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
    DeclareQueue {
        /// Its name.
        name: ObjectName,
        /// The broker chose the name, which may then begin with `amq.`.
        is_generated: bool,
        /// Only ask whether it is there.
        passive: bool,
        /// Survives a restart.
        durable: bool,
        /// Only this connection may use it, and it goes with it.
        exclusive: bool,
        /// Deleted with its last consumer.
        auto_delete: bool,
        /// Arguments; unknown names are kept, known ones with a bad value are refused with 406.
        arguments: FieldTable,
    },
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
