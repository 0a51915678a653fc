//! Workers.

use crate::ground::{connect, fill, name, next, queue, state, text};
use crate::harness::must;
use forebay_client::{
    CancellationToken, Connection, Failure, Incoming, QueueOptions, Worker, WorkerError,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Barrier, Semaphore, mpsc};

fn numbers(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| number.to_string())
}

/// A queue whose rejected messages go to the second one.
async fn queue_with_dead_letters(connection: &Connection, of: &str) -> (String, String) {
    let dead = queue(connection, "dead").await;
    let name = name(of);
    let options = QueueOptions::exclusive()
        .argument("x-dead-letter-exchange", "")
        .argument("x-dead-letter-routing-key", dead.as_str());
    connection.declare_queue(&name, options).await.unwrap();
    (name, dead)
}

#[tokio::test]
async fn what_is_handled_is_acked_and_a_stop_is_clean() {
    let connection = connect().await;
    let queue = queue(&connection, "worker").await;
    fill(&connection, &queue, numbers(500)).await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue).prefetch(32)).concurrency(8);
    let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
        let sender = sender.clone();
        async move {
            sender.send(text(&message))?;
            Ok(())
        }
    }));
    let mut all = Vec::new();
    while all.len() < 500 {
        all.push(must("a message", seen.recv()).await.unwrap());
    }
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    all.sort_by_key(|number| number.parse::<usize>().unwrap());
    assert_eq!(all, numbers(500).collect::<Vec<_>>());
    assert_eq!(
        state(&connection, &queue).await.messages,
        0,
        "every ack arrived before run returned"
    );
}

#[tokio::test]
async fn as_many_as_allowed_are_handled_at_once() {
    let connection = connect().await;
    let queue = queue(&connection, "at-once").await;
    fill(&connection, &queue, numbers(10)).await;
    let (stop, barrier) = (CancellationToken::new(), Arc::new(Barrier::new(11)));
    let at = Arc::clone(&barrier);
    let worker = Worker::new(connection.consume(&queue).prefetch(1)).concurrency(10);
    let worker = tokio::spawn(worker.run(stop.clone(), move |_| {
        let barrier = Arc::clone(&at);
        async move {
            barrier.wait().await;
            Ok(())
        }
    }));
    must("ten at once", barrier.wait()).await;
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn failures_panics_and_poison_go_their_ways() {
    let connection = connect().await;
    let (queue, dead) = queue_with_dead_letters(&connection, "ways").await;
    let bodies = ["fine", "again", "panic", "early panic", "poison"];
    fill(&connection, &queue, bodies.map(ToOwned::to_owned)).await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue)).concurrency(2);
    let worker = tokio::spawn(worker.run(stop.clone(), move |message: Incoming| {
        let (sender, text) = (sender.clone(), text(&message));
        let is_first = !message.is_redelivered();
        assert!(!(text == "early panic" && is_first), "before the future is there");
        async move {
            sender.send(text.clone())?;
            match text.as_str() {
                "again" if is_first => Err("not yet".into()),
                "panic" if is_first => panic!("in the handler"),
                "poison" => Err(Failure::dead_letter("never")),
                _ => Ok(()),
            }
        }
    }));
    let mut all = Vec::new();
    while all.len() < 7 {
        all.push(must("a message", seen.recv()).await.unwrap());
    }
    let mut dead = connection.consume(&dead).start().await.unwrap();
    let poison = next(&mut dead).await;
    assert_eq!(text(&poison), "poison");
    poison.ack().unwrap();
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    all.sort();
    assert_eq!(all, ["again", "again", "early panic", "fine", "panic", "panic", "poison"]);
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn after_the_grace_what_still_runs_returns_to_the_queue() {
    let connection = connect().await;
    let queue = queue(&connection, "grace").await;
    fill(&connection, &queue, numbers(3)).await;
    let (stop, started) = (CancellationToken::new(), Arc::new(Semaphore::new(0)));
    let begun = Arc::clone(&started);
    let worker =
        Worker::new(connection.consume(&queue)).concurrency(3).grace(Duration::from_millis(10));
    let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
        let begun = Arc::clone(&begun);
        async move {
            begun.add_permits(1);
            if text(&message) == "1" {
                return Ok(());
            }
            std::future::pending().await
        }
    }));
    must("three started", started.acquire_many(3)).await.unwrap().forget();
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 2);
}

#[tokio::test]
async fn a_dropped_worker_leaves_nothing_behind() {
    let connection = connect().await;
    let queue = queue(&connection, "dropped-worker").await;
    fill(&connection, &queue, numbers(4)).await;
    let started = Arc::new(Semaphore::new(0));
    let begun = Arc::clone(&started);
    let worker = Worker::new(connection.consume(&queue)).concurrency(2);
    let worker = tokio::spawn(worker.run(CancellationToken::new(), move |_| {
        begun.add_permits(1);
        std::future::pending()
    }));
    must("two started", started.acquire_many(2)).await.unwrap().forget();
    worker.abort();
    must("the end of the worker", worker).await.unwrap_err();
    while state(&connection, &queue).await.messages < 4 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_worker_ends_with_its_queue() {
    let connection = connect().await;
    let queue = queue(&connection, "ended").await;
    let worker = Worker::new(connection.consume(&queue)).concurrency(4);
    let worker = tokio::spawn(worker.run(CancellationToken::new(), |_| async { Ok(()) }));
    while state(&connection, &queue).await.consumers == 0 {
        tokio::task::yield_now().await;
    }
    connection.delete_queue(&queue).await.unwrap();
    let ended = must("the end of the worker", worker).await.unwrap();
    assert!(matches!(ended, Err(WorkerError::Ended(_))), "{ended:?}");
    let count = Arc::new(AtomicUsize::new(0));
    let missing =
        Worker::new(connection.consume(name("missing"))).run(CancellationToken::new(), move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        });
    assert!(matches!(must("a refusal", missing).await, Err(WorkerError::Start(_))));
}
