//! Class queue (AMQP 0-9-1, 1.7).

use crate::field_table::FieldTable;
use crate::method::definition::methods;
use crate::short_str::ShortStr;

methods! { class 50 {
    /// Creates a queue, or checks that it is there.
    QueueDeclare = 10 "queue.declare" [u16] {
        /// Its name; empty: the server chooses one.
        queue: ShortStr,
        /// Only check.
        passive: bool,
        /// Survives a restart of the broker.
        durable: bool,
        /// Only this connection may use it, and it goes with it.
        exclusive: bool,
        /// Deleted with its last consumer.
        auto_delete: bool,
        /// The client waits for no answer.
        no_wait: bool,
        /// `x-…`.
        arguments: FieldTable,
    } [];
    /// It is there.
    QueueDeclareOk = 11 "queue.declare-ok" [] {
        /// Its name.
        queue: ShortStr,
        /// Messages ready.
        message_count: u32,
        /// Consumers.
        consumer_count: u32,
    } [];
    /// Binds a queue to an exchange.
    QueueBind = 20 "queue.bind" [u16] {
        /// The queue; empty: the one last declared on the channel.
        queue: ShortStr,
        /// The exchange.
        exchange: ShortStr,
        /// The routing key or pattern.
        routing_key: ShortStr,
        /// The client waits for no answer.
        no_wait: bool,
        /// For headers exchanges.
        arguments: FieldTable,
    } [];
    /// The binding is there.
    QueueBindOk = 21 "queue.bind-ok" [] {} [];
    /// Removes all messages that are ready.
    QueuePurge = 30 "queue.purge" [u16] {
        /// The queue; empty: the one last declared on the channel.
        queue: ShortStr,
        /// The client waits for no answer.
        no_wait: bool,
    } [];
    /// They are gone.
    QueuePurgeOk = 31 "queue.purge-ok" [] {
        /// How many.
        message_count: u32,
    } [];
    /// Deletes a queue.
    QueueDelete = 40 "queue.delete" [u16] {
        /// The queue; empty: the one last declared on the channel.
        queue: ShortStr,
        /// Only without consumers.
        if_unused: bool,
        /// Only without messages.
        if_empty: bool,
        /// The client waits for no answer.
        no_wait: bool,
    } [];
    /// It is gone.
    QueueDeleteOk = 41 "queue.delete-ok" [] {
        /// Messages that went with it.
        message_count: u32,
    } [];
    /// Removes a binding.
    QueueUnbind = 50 "queue.unbind" [u16] {
        /// The queue; empty: the one last declared on the channel.
        queue: ShortStr,
        /// The exchange.
        exchange: ShortStr,
        /// The routing key or pattern.
        routing_key: ShortStr,
        /// As when it was made.
        arguments: FieldTable,
    } [];
    /// The binding is gone.
    QueueUnbindOk = 51 "queue.unbind-ok" [] {} [];
} }
