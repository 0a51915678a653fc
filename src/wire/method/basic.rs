//! Class basic (AMQP 0-9-1, 1.8) with RabbitMQ's `nack`.

use crate::field_table::FieldTable;
use crate::method::definition::methods;
use crate::short_str::ShortStr;

methods! { class 60 {
    /// Limits what may be unacknowledged.
    BasicQos = 10 "basic.qos" [] {
        /// Bytes; RabbitMQ and Forebay know only 0: no limit.
        prefetch_size: u32,
        /// Messages; 0: no limit.
        prefetch_count: u16,
        /// For the channel as a whole, else for each new consumer (RabbitMQ's meaning).
        global: bool,
    } [];
    /// The limit holds.
    BasicQosOk = 11 "basic.qos-ok" [] {} [];
    /// Starts a consumer.
    BasicConsume = 20 "basic.consume" [u16] {
        /// The queue; empty: the one last declared on the channel.
        queue: ShortStr,
        /// The consumer's name on the channel; empty: the server chooses one.
        consumer_tag: ShortStr,
        /// Without messages that this connection published; not honoured.
        no_local: bool,
        /// Messages count as acknowledged when sent.
        no_ack: bool,
        /// The queue's only consumer.
        exclusive: bool,
        /// The client waits for no answer.
        no_wait: bool,
        /// `x-priority` and others.
        arguments: FieldTable,
    } [];
    /// The consumer runs.
    BasicConsumeOk = 21 "basic.consume-ok" [] {
        /// Its name.
        consumer_tag: ShortStr,
    } [];
    /// Ends a consumer; sent by the server when the queue is gone (RabbitMQ's extension).
    BasicCancel = 30 "basic.cancel" [] {
        /// Its name.
        consumer_tag: ShortStr,
        /// The sender waits for no answer.
        no_wait: bool,
    } [];
    /// The consumer is gone.
    BasicCancelOk = 31 "basic.cancel-ok" [] {
        /// Its name.
        consumer_tag: ShortStr,
    } [];
    /// A message for an exchange; content follows.
    BasicPublish = 40 "basic.publish" [u16] {
        /// The exchange; empty: the default exchange.
        exchange: ShortStr,
        /// The routing key.
        routing_key: ShortStr,
        /// Return it when no queue takes it.
        mandatory: bool,
        /// Return it when no consumer takes it at once; not offered.
        immediate: bool,
    } [];
    /// A message that could not be routed; content follows.
    BasicReturn = 50 "basic.return" [] {
        /// Why, as a number; see [`crate::ReplyCode`].
        reply_code: u16,
        /// Why, for people.
        reply_text: ShortStr,
        /// The exchange it was published to.
        exchange: ShortStr,
        /// Its routing key.
        routing_key: ShortStr,
    } [];
    /// A message for a consumer; content follows.
    BasicDeliver = 60 "basic.deliver" [] {
        /// The consumer.
        consumer_tag: ShortStr,
        /// What it is acknowledged by, per channel.
        delivery_tag: u64,
        /// It may have been delivered before.
        redelivered: bool,
        /// The exchange it was published to.
        exchange: ShortStr,
        /// Its routing key.
        routing_key: ShortStr,
    } [];
    /// Asks for one message.
    BasicGet = 70 "basic.get" [u16] {
        /// The queue; empty: the one last declared on the channel.
        queue: ShortStr,
        /// It counts as acknowledged when sent.
        no_ack: bool,
    } [];
    /// Here it is; content follows.
    BasicGetOk = 71 "basic.get-ok" [] {
        /// What it is acknowledged by, per channel.
        delivery_tag: u64,
        /// It may have been delivered before.
        redelivered: bool,
        /// The exchange it was published to.
        exchange: ShortStr,
        /// Its routing key.
        routing_key: ShortStr,
        /// Messages still ready.
        message_count: u32,
    } [];
    /// There is none.
    BasicGetEmpty = 72 "basic.get-empty" [] {} [ShortStr];
    /// Messages are done; from the server: publishes are safe (RabbitMQ's confirms).
    BasicAck = 80 "basic.ack" [] {
        /// Which; 0 with `multiple`: all so far.
        delivery_tag: u64,
        /// And all before it.
        multiple: bool,
    } [];
    /// A message was not processed.
    BasicReject = 90 "basic.reject" [] {
        /// Which.
        delivery_tag: u64,
        /// It goes back to its queue, else it is dead-lettered or dropped.
        requeue: bool,
    } [];
    /// As `basic.recover`, without an answer; deprecated.
    BasicRecoverAsync = 100 "basic.recover-async" [] {
        /// Back to the queue, else to the same consumer.
        requeue: bool,
    } [];
    /// Redelivers all that is unacknowledged on the channel.
    BasicRecover = 110 "basic.recover" [] {
        /// Back to the queue, else to the same consumer.
        requeue: bool,
    } [];
    /// It is done.
    BasicRecoverOk = 111 "basic.recover-ok" [] {} [];
    /// Messages were not processed; from the server: publishes were refused (RabbitMQ's extension).
    BasicNack = 120 "basic.nack" [] {
        /// Which; 0 with `multiple`: all so far.
        delivery_tag: u64,
        /// And all before it.
        multiple: bool,
        /// They go back to their queue, else they are dead-lettered or dropped.
        requeue: bool,
    } [];
} }
