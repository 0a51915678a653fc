//! Idempotent workers: a repetition is recognised.

use crate::ground::{connect, name, next, queue, state, text};
use crate::harness::must;
use forebay_client::seen::{Claim, MemorySeen, SeenStore};
use forebay_client::{CancellationToken, Connection, Message, QueueOptions, Worker};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A store that is shared with the test.
#[derive(Clone)]
struct Shared(Arc<MemorySeen>);

impl SeenStore for Shared {
    type Error = std::convert::Infallible;

    async fn claim(&self, key: &[u8], owner: u64, lease: Duration) -> Result<Claim, Self::Error> {
        self.0.claim(key, owner, lease).await
    }

    async fn complete(&self, key: &[u8], owner: u64, keep: Duration) -> Result<(), Self::Error> {
        self.0.complete(key, owner, keep).await
    }

    async fn release(&self, key: &[u8], owner: u64) -> Result<(), Self::Error> {
        self.0.release(key, owner).await
    }
}

async fn publish(connection: &Connection, queue: &str, messages: &[(&str, &str)]) {
    let publisher = connection.publisher().await.unwrap();
    let messages = messages.iter().map(|(id, body)| {
        let message = Message::to_queue(queue, body.to_string());
        if id.is_empty() { message } else { message.message_id(*id) }
    });
    must("confirms", publisher.publish_all(messages).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_repetition_is_acked_and_not_handled() {
    let connection = connect().await;
    let queue = queue(&connection, "once").await;
    publish(
        &connection,
        &queue,
        &[("1", "pay"), ("1", "pay"), ("2", "pay"), ("1", "pay"), ("3", "end")],
    )
    .await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue)).idempotent(MemorySeen::new());
    let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
        let sender = sender.clone();
        async move {
            sender.send(message.message_id().unwrap().to_string())?;
            Ok(())
        }
    }));
    let mut handled = Vec::new();
    while handled.last().map(String::as_str) != Some("3") {
        handled.push(must("a message", seen.recv()).await.unwrap());
    }
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(handled, ["1", "2", "3"]);
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn a_failed_handler_runs_again() {
    let connection = connect().await;
    let queue = queue(&connection, "again").await;
    publish(&connection, &queue, &[("1", "pay")]).await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue)).idempotent(MemorySeen::new());
    let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
        let sender = sender.clone();
        async move {
            sender.send(message.is_redelivered())?;
            if message.is_redelivered() { Ok(()) } else { Err("the bank is closed".into()) }
        }
    }));
    assert!(!must("the first time", seen.recv()).await.unwrap());
    assert!(must("the second time", seen.recv()).await.unwrap());
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn while_somebody_else_has_it_a_message_waits() {
    let connection = connect().await;
    let queue = queue(&connection, "claimed").await;
    publish(&connection, &queue, &[("1", "pay")]).await;
    let store = Shared(Arc::new(MemorySeen::new()));
    // Somebody took it and died: the claim runs out.
    store.claim(b"1", 77, Duration::from_millis(100)).await.unwrap();
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue)).idempotent(store.clone());
    let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
        let sender = sender.clone();
        async move {
            sender.send(message.is_redelivered())?;
            Ok(())
        }
    }));
    assert!(!must("the message", seen.recv()).await.unwrap(), "waited for, not given back");
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(store.claim(b"1", 78, Duration::from_secs(1)).await.unwrap(), Claim::Done);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_claim_of_others() {
    let connection = connect().await;
    let queue = queue(&connection, "stopped").await;
    publish(&connection, &queue, &[("1", "pay")]).await;
    let store = Shared(Arc::new(MemorySeen::new()));
    store.claim(b"1", 77, Duration::from_secs(600)).await.unwrap();
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue)).idempotent(store);
    let worker = tokio::spawn(worker.run(stop.clone(), |_| async { panic!("it is not ours") }));
    while state(&connection, &queue).await.messages > 0 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 1);
}

#[tokio::test]
async fn without_a_key_a_message_is_dead_lettered_unless_there_is_another_key() {
    let connection = connect().await;
    let dead = queue(&connection, "dead").await;
    let queue = name("keyless");
    let options = QueueOptions::exclusive()
        .argument("x-dead-letter-exchange", "")
        .argument("x-dead-letter-routing-key", dead.as_str());
    connection.declare_queue(&queue, options).await.unwrap();
    publish(&connection, &queue, &[("", "keyless")]).await;
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue)).idempotent(MemorySeen::new());
    let worker = tokio::spawn(worker.run(stop.clone(), |_| async { panic!("not to be handled") }));
    let mut letters = connection.consume(&dead).start().await.unwrap();
    let letter = next(&mut letters).await;
    assert_eq!(text(&letter), "keyless");
    letter.ack().unwrap();
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();

    publish(&connection, &queue, &[("", "same"), ("", "same"), ("", "end")]).await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue))
        .idempotent(MemorySeen::new())
        .key(|message| Some(message.body().clone()));
    let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
        let sender = sender.clone();
        async move {
            sender.send(text(&message))?;
            Ok(())
        }
    }));
    assert_eq!(must("one", seen.recv()).await.unwrap(), "same");
    assert_eq!(must("two", seen.recv()).await.unwrap(), "end");
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
}
