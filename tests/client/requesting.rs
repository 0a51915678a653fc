//! Requests and their replies by direct reply-to.

use crate::ground::{connect, name, queue};
use crate::harness::{broker, must};
use crate::proxy::Proxy;
use forebay_client::{
    CallError, CancellationToken, ConnectOptions, Connection, Failure, Message, PublishError,
    QueueOptions, Worker,
};
use futures_util::future::join_all;
use std::time::Duration;

/// Answers with the request doubled; "silence" is not answered.
async fn serve(connection: Connection, queue: String, stop: CancellationToken) {
    let publisher = connection.publisher().await.unwrap();
    let worker = Worker::new(connection.consume(&queue)).concurrency(8);
    let run = worker.run(stop, move |request| {
        let publisher = publisher.clone();
        async move {
            let text = request.text().ok_or("no text")?.to_owned();
            if text == "silence" {
                return Ok(());
            }
            let reply = Message::reply(&request, format!("{text}{text}"));
            let reply = reply.ok_or_else(|| Failure::dead_letter("no reply-to"))?;
            publisher.publish(reply).await?.await?;
            Ok(())
        }
    });
    run.await.unwrap();
}

#[tokio::test]
async fn each_call_gets_its_reply() {
    let connection = connect().await;
    let queue = queue(&connection, "calls").await;
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(connection.clone(), queue.clone(), stop.clone()));
    let requester = connection.requester().await.unwrap();
    let calls = (0..50).map(|number| {
        let request = Message::to_queue(&queue, number.to_string());
        async { requester.call(request).await.unwrap() }
    });
    for (number, reply) in must("replies", join_all(calls)).await.into_iter().enumerate() {
        assert_eq!(reply.text(), Some(format!("{number}{number}").as_str()));
    }
    // A call without a reply ends, and its late reply would reach nobody else.
    let silent = requester.call(Message::to_queue(&queue, "silence"));
    let silent =
        must("the time-out", silent.timeout(Duration::from_millis(30)).into_future()).await;
    assert!(matches!(silent, Err(CallError::TimedOut(_))), "{silent:?}");
    let nowhere = requester.call(Message::to_queue(name("nowhere"), "x"));
    let nowhere = must("a refusal", nowhere.into_future()).await;
    assert!(matches!(nowhere, Err(CallError::Publish(PublishError::Returned(_)))), "{nowhere:?}");
    stop.cancel();
    must("the end of the server", server).await.unwrap();
}

#[tokio::test]
async fn a_wrong_call_fails_only_itself() {
    let connection = connect().await;
    let queue = queue(&connection, "wrong-call").await;
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(connection.clone(), queue.clone(), stop.clone()));
    let requester = connection.requester().await.unwrap();
    let calls = (0..20).map(|number| {
        let request = match number {
            9 => Message::to_exchange(name("missing"), "key", "x"),
            _ => Message::to_queue(&queue, number.to_string()),
        };
        let requester = &requester;
        async move { (number, requester.call(request).await) }
    });
    for (number, outcome) in must("outcomes", join_all(calls)).await {
        match (number, outcome) {
            (9, Err(CallError::Publish(PublishError::Refused(fault)))) => {
                assert!(fault.is_not_found());
            }
            (9, other) => panic!("{other:?}"),
            // The broker had it, and the address for its reply went with the channel.
            (_, Err(CallError::Lost(_))) => {}
            (_, outcome) => drop(outcome.unwrap()),
        }
    }
    let reply = must("a reply", requester.call(Message::to_queue(&queue, "a")).into_future()).await;
    assert_eq!(reply.unwrap().text(), Some("aa"));
    stop.cancel();
    must("the end of the server", server).await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_ends_the_calls_that_wait_and_the_next_ones_work() {
    let own = connect().await;
    let queue = name("lost-calls");
    own.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    let proxy = Proxy::start(broker::shared(), 1).await;
    let options: ConnectOptions = proxy.uri().parse().unwrap();
    let options = options.backoff(Duration::from_millis(5), Duration::from_millis(50));
    let connection = must("a connection", Connection::connect(options)).await.unwrap();
    let requester = connection.requester().await.unwrap();
    let waiting = tokio::spawn(requester.call(Message::to_queue(&queue, "silence")).into_future());
    while own.inspect_queue(&queue).await.unwrap().messages == 0 {}
    proxy.cut();
    let lost = must("the loss", waiting).await.unwrap();
    let is_lost =
        matches!(lost, Err(CallError::Lost(_) | CallError::Publish(PublishError::Unknown(_))));
    assert!(is_lost, "{lost:?}");
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(own.clone(), queue.clone(), stop.clone()));
    let reply = must("a reply", requester.call(Message::to_queue(&queue, "b")).into_future()).await;
    assert_eq!(reply.unwrap().text(), Some("bb"));
    stop.cancel();
    must("the end of the server", server).await.unwrap();
    own.delete_queue(&queue).await.unwrap();
}
