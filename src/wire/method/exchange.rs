//! Class exchange (AMQP 0-9-1, 1.6) with RabbitMQ's `auto-delete`, `internal`, `bind` and `unbind`.

use crate::field_table::FieldTable;
use crate::method::definition::methods;
use crate::short_str::ShortStr;

methods! { class 40 {
    /// Creates an exchange, or checks that it is there.
    ExchangeDeclare = 10 "exchange.declare" [u16] {
        /// Its name.
        exchange: ShortStr,
        /// Its type: `direct`, `topic` and so on.
        kind: ShortStr,
        /// Only check.
        passive: bool,
        /// Survives a restart of the broker.
        durable: bool,
        /// Deleted with its last binding.
        auto_delete: bool,
        /// Clients can't publish to it.
        internal: bool,
        /// The client waits for no answer.
        no_wait: bool,
        /// `alternate-exchange` and others.
        arguments: FieldTable,
    } [];
    /// It is there.
    ExchangeDeclareOk = 11 "exchange.declare-ok" [] {} [];
    /// Deletes an exchange.
    ExchangeDelete = 20 "exchange.delete" [u16] {
        /// Its name.
        exchange: ShortStr,
        /// Only when nothing is bound to it.
        if_unused: bool,
        /// The client waits for no answer.
        no_wait: bool,
    } [];
    /// It is gone.
    ExchangeDeleteOk = 21 "exchange.delete-ok" [] {} [];
    /// Binds one exchange to another (RabbitMQ's extension).
    ExchangeBind = 30 "exchange.bind" [u16] {
        /// Where messages go.
        destination: ShortStr,
        /// Where messages come from.
        source: ShortStr,
        /// The routing key or pattern.
        routing_key: ShortStr,
        /// The client waits for no answer.
        no_wait: bool,
        /// For headers exchanges.
        arguments: FieldTable,
    } [];
    /// The binding is there (RabbitMQ's extension).
    ExchangeBindOk = 31 "exchange.bind-ok" [] {} [];
    /// Removes a binding between exchanges (RabbitMQ's extension).
    ExchangeUnbind = 40 "exchange.unbind" [u16] {
        /// Where messages went.
        destination: ShortStr,
        /// Where messages came from.
        source: ShortStr,
        /// The routing key or pattern.
        routing_key: ShortStr,
        /// The client waits for no answer.
        no_wait: bool,
        /// As when it was made.
        arguments: FieldTable,
    } [];
    /// The binding is gone (RabbitMQ's extension, with its odd number).
    ExchangeUnbindOk = 51 "exchange.unbind-ok" [] {} [];
} }
