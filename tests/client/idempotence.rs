//! Idempotent workers: a repetition is recognised.

use crate::ground::{connect, name, next, queue, state, text};
use crate::harness::broker::is_ours;
use crate::harness::must;
use forebay_client::seen::MemorySeen;
use forebay_client::{
    CancellationToken, Connection, ExchangeOptions, Message, QueueOptions, Worker,
};
use std::time::Duration;
use tokio::sync::mpsc;

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
async fn without_its_key_a_message_is_dead_lettered() {
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
    let worker = worker.key(|message| message.app_id().map(|id| id.into_bytes()));
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

/// Behind a fan-out each service has a queue of its own and the same messages.
#[tokio::test]
async fn workers_of_two_queues_share_a_store_and_each_handles_its_messages() {
    let connection = connect().await;
    let exchange = name("orders");
    let options = ExchangeOptions::fanout().transient().auto_delete();
    connection.declare_exchange(&exchange, options).await.unwrap();
    let store = MemorySeen::new();
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let mut workers = Vec::new();
    for service in ["pay", "mail"] {
        let queue = queue(&connection, service).await;
        connection.bind_queue(&queue, &exchange, "", Default::default()).await.unwrap();
        let worker = Worker::new(connection.consume(&queue)).idempotent(store.clone());
        let sender = sender.clone();
        workers.push(tokio::spawn(worker.run(stop.clone(), move |message| {
            let sender = sender.clone();
            async move {
                sender.send((service, message.message_id().unwrap().to_string()))?;
                Ok(())
            }
        })));
    }
    let publisher = connection.publisher().await.unwrap();
    for id in ["o1", "o2", "o1"] {
        let message = Message::to_exchange(&exchange, "", "order").message_id(id);
        publisher.publish(message).await.unwrap().await.unwrap();
    }
    let mut all = Vec::new();
    for _ in 0..4 {
        let (service, id) = must("a message", seen.recv()).await.unwrap();
        all.push(format!("{service} {id}"));
    }
    stop.cancel();
    for worker in workers {
        must("the end of a worker", worker).await.unwrap().unwrap();
    }
    all.sort();
    assert_eq!(all, ["mail o1", "mail o2", "pay o1", "pay o2"]);
    assert!(seen.try_recv().is_err(), "the repetition was handled by nobody");
}

/// Two workers on one queue that do different things would take the other's work for done.
#[tokio::test]
async fn named_workers_remember_for_themselves() {
    let connection = connect().await;
    let queue = queue(&connection, "named").await;
    let store = MemorySeen::new();
    for round in ["index", "mail"] {
        publish(&connection, &queue, &[("1", "x")]).await;
        let stop = CancellationToken::new();
        let done = stop.clone();
        let worker = Worker::new(connection.consume(&queue)).idempotent(store.clone()).named(round);
        let run = worker.run(stop, move |_| {
            done.cancel();
            async { Ok(()) }
        });
        must("the handler's stop", run).await.unwrap();
    }
}

/// Deployments: each stops while its handlers run and its grace is too short for them.
#[tokio::test]
async fn a_stop_gives_claims_and_messages_back_and_costs_nothing() {
    let connection = connect().await;
    let queue = name("deployed");
    connection.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    let messages = [("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")];
    publish(&connection, &queue, &messages).await;
    let store = MemorySeen::new();
    for deployment in 0..6 {
        let stop = CancellationToken::new();
        let (sender, mut begun) = mpsc::unbounded_channel();
        let worker = Worker::new(connection.consume(&queue))
            .idempotent(store.clone())
            .concurrency(4)
            .grace(Duration::from_millis(1));
        let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
            let sender = sender.clone();
            async move {
                sender.send(message.delivery_count())?;
                std::future::pending().await
            }
        }));
        for _ in 0..4 {
            let count = must("a handler", begun.recv()).await.unwrap();
            if is_ours() {
                assert_eq!(count, 0, "deployment {deployment}");
            }
        }
        if deployment % 2 == 0 {
            stop.cancel();
            must("the end of the worker", worker).await.unwrap().unwrap();
        } else {
            worker.abort();
            must("the end of the worker", worker).await.unwrap_err();
        }
    }
    while state(&connection, &queue).await.messages < 4 {
        tokio::task::yield_now().await;
    }
    connection.delete_queue(&queue).await.unwrap();
}

#[tokio::test]
async fn a_hand_does_not_wait_for_somebody_elses_claim() {
    let connection = connect().await;
    let queue = name("unblocked");
    connection.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    // A worker that never ends keeps the first message.
    publish(&connection, &queue, &[("1", "kept")]).await;
    let store = MemorySeen::new();
    let (sender, mut begun) = mpsc::unbounded_channel();
    let other = Worker::new(connection.consume(&queue).prefetch(1))
        .idempotent(store.clone())
        .claim_for(Duration::from_millis(50));
    let other = tokio::spawn(other.run(CancellationToken::new(), move |_| {
        sender.send(()).unwrap();
        std::future::pending()
    }));
    must("the other's handler", begun.recv()).await.unwrap();
    // The same message once more, and others behind it.
    publish(&connection, &queue, &[("1", "kept"), ("2", "free"), ("3", "free")]).await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue)).idempotent(store.clone());
    let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
        let sender = sender.clone();
        async move {
            sender.send(message.message_id().unwrap().to_string())?;
            Ok(())
        }
    }));
    assert_eq!(must("the second", seen.recv()).await.unwrap(), "2");
    assert_eq!(must("the third", seen.recv()).await.unwrap(), "3");
    // Longer than the claim holds when nobody renews it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(seen.try_recv().is_err(), "the claim is renewed while the handler runs");
    other.abort();
    assert_eq!(must("the first, given back", seen.recv()).await.unwrap(), "1");
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    connection.delete_queue(&queue).await.unwrap();
}

#[tokio::test]
async fn our_publishers_messages_need_no_id_by_hand() {
    let connection = connect().await;
    let queue = queue(&connection, "default-id").await;
    publish(&connection, &queue, &[("", "one"), ("", "two")]).await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue)).idempotent(MemorySeen::new());
    let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
        let sender = sender.clone();
        async move {
            sender.send(text(&message))?;
            Ok(())
        }
    }));
    assert_eq!(must("one", seen.recv()).await.unwrap(), "one");
    assert_eq!(must("two", seen.recv()).await.unwrap(), "two");
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
}
