//! Connections and names for the tests.

use crate::harness::{broker, must};
use forebay_client::{Connection, Delivery, Incoming, Message, QueueOptions, QueueState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The URI of the broker under test.
pub(crate) fn uri() -> String {
    format!("amqp://{}", broker::shared())
}

pub(crate) async fn connect() -> Connection {
    must("a connection", Connection::connect(&uri())).await.unwrap()
}

/// A name that no other test and no other run uses.
pub(crate) fn name(of: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("client.{of}.{since:x}.{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A queue that goes with its connection.
pub(crate) async fn queue(connection: &Connection, of: &str) -> String {
    let name = name(of);
    must("a queue", connection.declare_queue(&name, QueueOptions::exclusive())).await.unwrap();
    name
}

pub(crate) async fn state(connection: &Connection, queue: &str) -> QueueState {
    must("the state of a queue", connection.inspect_queue(queue)).await.unwrap()
}

/// Publishes bodies and waits for all confirms.
pub(crate) async fn fill(
    connection: &Connection,
    queue: &str,
    bodies: impl IntoIterator<Item = String>,
) {
    let publisher = connection.publisher().await.unwrap();
    let messages = bodies.into_iter().map(|body| Message::to_queue(queue, body));
    let confirms = must("room for a batch", publisher.publish_all(messages)).await.unwrap();
    must("the confirms of a batch", confirms).await.unwrap();
}

pub(crate) async fn next(consumer: &mut forebay_client::Consumer) -> Delivery {
    must("a delivery", consumer.next()).await.expect("the stream goes on").unwrap()
}

pub(crate) fn text(message: &Incoming) -> String {
    message.text().unwrap().to_owned()
}
