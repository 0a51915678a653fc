//! A connection with a channel, and the short words in which the tests speak.

use super::{broker, must};
use futures_util::{FutureExt, StreamExt};
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind,
    ExchangeKind, PublisherConfirm,
};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

/// A connection with one channel.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
}

impl Session {
    /// With the shared broker.
    pub(crate) async fn open() -> Self {
        Self::open_at(broker::shared()).await
    }

    /// With this broker.
    pub(crate) async fn open_at(address: SocketAddr) -> Self {
        let connection = connect(address).await;
        let channel = open_channel(&connection).await;
        Self { connection, channel }
    }

    /// Another channel.
    pub(crate) async fn channel(&self) -> Channel {
        open_channel(&self.connection).await
    }

    /// Another channel, with confirms.
    pub(crate) async fn confirm_channel(&self) -> Channel {
        let channel = self.channel().await;
        must("confirm.select", channel.confirm_select(ConfirmSelectOptions::default()))
            .await
            .unwrap();
        channel
    }

    /// Closes the connection in order and waits for it.
    pub(crate) async fn close(self) {
        must("connection.close", self.connection.close(200, "bye".into())).await.unwrap();
    }
}

pub(crate) async fn connect(address: SocketAddr) -> Connection {
    let uri = format!("amqp://guest:guest@{address}/%2f");
    must("connect", Connection::connect(&uri, ConnectionProperties::default())).await.unwrap()
}

async fn open_channel(connection: &Connection) -> Channel {
    must("channel.open", connection.create_channel()).await.unwrap()
}

/// A name that no other test uses, nor an earlier run on the same broker.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Declares a durable queue of a unique name.
pub(crate) async fn declare(channel: &Channel, name: &str) -> String {
    declare_with(channel, name, FieldTable::default()).await
}

/// The same with arguments.
pub(crate) async fn declare_with(channel: &Channel, name: &str, arguments: FieldTable) -> String {
    let name = unique(name);
    declare_named(channel, &name, arguments).await;
    name
}

/// Declares a durable queue of just this name.
pub(crate) async fn declare_named(channel: &Channel, name: &str, arguments: FieldTable) {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    must("queue.declare", channel.queue_declare(name.into(), options, arguments)).await.unwrap();
}

/// Declares a durable exchange of a unique name.
pub(crate) async fn declare_exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> String {
    let name = unique(name);
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared =
        channel.exchange_declare(name.as_str().into(), kind, options, FieldTable::default());
    must("exchange.declare", declared).await.unwrap();
    name
}

pub(crate) async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) {
    bind_with(channel, queue, exchange, key, FieldTable::default()).await;
}

pub(crate) async fn bind_with(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
    arguments: FieldTable,
) {
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments);
    must("queue.bind", bound).await.unwrap();
}

/// Properties of a message that survives a restart.
pub(crate) fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// Publishes a persistent message; the confirm, if there is to be one, is the caller's to await.
pub(crate) async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &str,
) -> PublisherConfirm {
    publish_with(channel, exchange, key, body.as_bytes(), persistent()).await
}

pub(crate) async fn publish_with(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> PublisherConfirm {
    let options = BasicPublishOptions::default();
    let published = channel.basic_publish(exchange.into(), key.into(), options, body, properties);
    must("basic.publish", published).await.unwrap()
}

/// Waits for the confirm of a message that must have been taken.
pub(crate) async fn confirmed(confirm: PublisherConfirm) {
    let confirmation = must("confirm", confirm).await.unwrap();
    assert_eq!(confirmation, Confirmation::Ack(None));
}

/// Publishes messages to a queue and waits until it has them.
pub(crate) async fn fill(session: &Session, queue: &str, bodies: &[&str]) {
    let channel = session.confirm_channel().await;
    let mut confirms = Vec::new();
    for body in bodies {
        confirms.push(publish(&channel, "", queue, body).await);
    }
    for confirm in confirms {
        confirmed(confirm).await;
    }
    must("channel.close", channel.close(200, "filled".into())).await.unwrap();
}

pub(crate) async fn consume(channel: &Channel, queue: &str) -> Consumer {
    consume_with(channel, queue, BasicConsumeOptions::default()).await
}

pub(crate) async fn consume_with(
    channel: &Channel,
    queue: &str,
    options: BasicConsumeOptions,
) -> Consumer {
    let consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    must("basic.consume", consumer).await.unwrap()
}

pub(crate) async fn prefetch(channel: &Channel, count: u16) {
    let options = BasicQosOptions { global: false };
    must("basic.qos", channel.basic_qos(count, options)).await.unwrap();
}

/// The next delivery, which must come.
pub(crate) async fn next(consumer: &mut Consumer) -> Delivery {
    must("a delivery", consumer.next()).await.expect("the consumer was cancelled").unwrap()
}

/// The bodies of the next deliveries, unacknowledged.
pub(crate) async fn next_bodies(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        bodies.push(text(&next(consumer).await));
    }
    bodies
}

/// Whether nothing has arrived. Only means something after the broker answered a question that it
/// got after the cause of a delivery: see [`ready_count`].
pub(crate) fn is_quiet(consumer: &mut Consumer) -> bool {
    consumer.next().now_or_never().is_none()
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.data.clone()).unwrap()
}

/// Messages ready in a queue.
pub(crate) async fn ready_count(channel: &Channel, queue: &str) -> u32 {
    passive(channel, queue).await.message_count()
}

pub(crate) async fn passive(channel: &Channel, queue: &str) -> lapin::Queue {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    must(
        "queue.declare passive",
        channel.queue_declare(queue.into(), options, FieldTable::default()),
    )
    .await
    .unwrap()
}

/// Waits until a queue has so many messages ready.
pub(crate) async fn await_ready(channel: &Channel, queue: &str, count: u32) {
    let reached = async {
        while ready_count(channel, queue).await != count {
            tokio::task::yield_now().await;
        }
    };
    must(&format!("{count} messages ready in {queue}"), reached).await;
}

/// One message, if there is one; to be acknowledged.
pub(crate) async fn get(channel: &Channel, queue: &str) -> Option<BasicGetMessage> {
    must("basic.get", channel.basic_get(queue.into(), BasicGetOptions::default())).await.unwrap()
}

/// All that is ready, in order, taken away.
pub(crate) async fn drain(channel: &Channel, queue: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    let options = BasicGetOptions { no_ack: true };
    while let Some(message) =
        must("basic.get", channel.basic_get(queue.into(), options)).await.unwrap()
    {
        bodies.push(text(&message.delivery));
    }
    bodies
}

/// A table of one entry.
pub(crate) fn table(name: &str, value: impl Into<AMQPValue>) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(name.into(), value.into());
    table
}

/// A string value, as clients send it.
pub(crate) fn string(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// A number, as clients send it.
pub(crate) fn number(value: i32) -> AMQPValue {
    AMQPValue::LongInt(value)
}

/// The reply code with which the broker refused.
pub(crate) fn code<T>(result: Result<T, lapin::Error>) -> u16 {
    match result {
        Ok(_) => panic!("the broker accepted what it must refuse"),
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(error) => error.get_id(),
            other => panic!("no reply code: {other:?}"),
        },
    }
}
