//! Handlers of values and services, and what an observer is told of them.

use crate::ground::{connect, name, next, queue, state};
use crate::harness::must;
use forebay_client::{
    CancellationToken, Failure, Handled, Incoming, Message, Outcome, PublishError, QueueOptions,
    Worker, json, json_with, service, stop_signal,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tower_service::Service;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Order {
    number: u64,
    items: Vec<String>,
}

fn order(number: u64) -> Order {
    Order { number, items: vec!["book".into(), "pen".into()] }
}

#[tokio::test]
async fn a_handler_of_values_gets_what_was_published_and_what_is_none_is_dead_lettered() {
    let connection = connect().await;
    let (dead, orders) = (queue(&connection, "dead").await, name("orders"));
    let options = QueueOptions::exclusive()
        .argument("x-dead-letter-exchange", "")
        .argument("x-dead-letter-routing-key", dead.as_str());
    connection.declare_queue(&orders, options).await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    let wrong = r#"{"number": "seven"}"#;
    let messages = [
        Message::to_queue(&orders, "").json(&order(1)),
        Message::to_queue(&orders, wrong),
        Message::to_queue(&orders, "").json(&order(2)),
    ];
    publisher.publish_all(messages).await.unwrap().await.unwrap();

    let (sender, mut seen) = mpsc::unbounded_channel();
    let (observed, mut outcomes) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&orders))
        .observe(move |handled: &Handled<'_>| {
            let body = handled.message.body().clone();
            observed.send((handled.outcome, handled.attempt, body)).unwrap();
        })
        .run(
            stop.clone(),
            json_with(move |order: Order, message: Incoming| {
                sender.send((order, message.content_type())).unwrap();
                ready(Ok(()))
            }),
        );
    let worker = tokio::spawn(worker);
    for number in [1, 2] {
        let (seen, kind) = must("an order", seen.recv()).await.unwrap();
        assert_eq!(seen, order(number));
        assert_eq!(kind.unwrap().as_bytes(), b"application/json");
    }
    let mut told = Vec::new();
    for _ in 0..3 {
        let (outcome, attempt, _) = must("what is observed", outcomes.recv()).await.unwrap();
        assert_eq!(attempt, 1);
        told.push(outcome);
    }
    assert_eq!(told, [Outcome::Done, Outcome::DeadLettered, Outcome::Done]);
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    let mut consumer = connection.consume(&dead).start().await.unwrap();
    let letter = next(&mut consumer).await;
    assert_eq!(letter.text(), Some(wrong));
    letter.ack().unwrap();
}

#[tokio::test]
async fn a_value_that_json_can_t_express_is_not_sent() {
    let connection = connect().await;
    let queue = queue(&connection, "no-json").await;
    let publisher = connection.publisher().await.unwrap();
    let keyed_by_lists = HashMap::from([(vec![1, 2], "x")]);
    let refused = publisher.publish(Message::to_queue(&queue, "").json(&keyed_by_lists)).await;
    let Err(PublishError::Invalid(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("key must be a string"), "{why}");
    publisher.publish(Message::to_queue(&queue, "").json(&1)).await.unwrap().await.unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 1);
}

/// Succeeds from the third call on, and is ready when it is asked for the second time.
#[derive(Clone, Default)]
struct Flaky {
    calls: Arc<AtomicU32>,
    is_asked: bool,
    is_ready: bool,
}

impl Service<Incoming> for Flaky {
    type Response = ();
    type Error = Failure;
    type Future = Ready<Result<(), Failure>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if std::mem::replace(&mut self.is_asked, true) {
            self.is_ready = true;
            return Poll::Ready(Ok(()));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, _: Incoming) -> Self::Future {
        assert!(self.is_ready, "a service is called when it is ready");
        match self.calls.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => ready(Err(Failure::retry("not yet"))),
            _ => ready(Ok(())),
        }
    }
}

#[tokio::test]
async fn a_service_is_asked_when_it_is_ready_and_its_error_is_a_failure() {
    let connection = connect().await;
    let queue = queue(&connection, "service").await;
    let publisher = connection.publisher().await.unwrap();
    publisher.publish(Message::to_queue(&queue, "x")).await.unwrap().await.unwrap();
    let (observed, mut outcomes) = mpsc::unbounded_channel();
    let (stop, flaky) = (CancellationToken::new(), Flaky::default());
    let calls = Arc::clone(&flaky.calls);
    let worker = Worker::new(connection.consume(&queue))
        .observe(move |handled| observed.send(handled.outcome).unwrap())
        .run(stop.clone(), service(flaky));
    let worker = tokio::spawn(worker);
    for expected in [Outcome::Retried, Outcome::Retried, Outcome::Done] {
        assert_eq!(must("what is observed", outcomes.recv()).await, Some(expected));
    }
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn a_worker_stops_in_good_order_when_the_process_is_told_to_end() {
    let connection = connect().await;
    let queue = queue(&connection, "signal").await;
    let publisher = connection.publisher().await.unwrap();
    publisher.publish(Message::to_queue(&queue, "").json(&7)).await.unwrap().await.unwrap();
    let stop = stop_signal().unwrap();
    let worker = Worker::new(connection.consume(&queue)).run(
        stop,
        json(|number: u32| async move {
            assert_eq!(number, 7);
            // The message in hand is finished.
            rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::TERM,
            )?;
            Ok(())
        }),
    );
    must("the end of the worker", worker).await.unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 0);
}
