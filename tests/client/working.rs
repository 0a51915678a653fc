//! Workers.

use crate::ground::{connect, fill, name, next, queue, state, text};
use crate::harness::broker::is_ours;
use crate::harness::{broker, must};
use crate::proxy::Proxy;
use forebay_client::{
    CancellationToken, ConnectOptions, Connection, Failure, Incoming, QueueOptions, Retry, Worker,
    WorkerError,
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

/// A service that the handler needs is away for a while: that costs no life of any message.
#[tokio::test]
async fn retries_with_waits_cost_no_failed_delivery() {
    let connection = connect().await;
    let queue = queue(&connection, "retried").await;
    fill(&connection, &queue, numbers(20)).await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let retry = Retry::backoff(Duration::from_millis(2), Duration::from_millis(20)).attempts(100);
    let worker = Worker::new(connection.consume(&queue)).concurrency(2).retry(retry);
    let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
        let sender = sender.clone();
        // The first sixty calls meet a closed door.
        let is_away = calls.fetch_add(1, Ordering::Relaxed) < 60;
        async move {
            if is_away {
                return Err("the service is away".into());
            }
            assert!(!message.is_redelivered());
            sender.send(text(&message))?;
            Ok(())
        }
    }));
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(must("a message", seen.recv()).await.unwrap());
    }
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    all.sort_by_key(|number| number.parse::<usize>().unwrap());
    assert_eq!(all, numbers(20).collect::<Vec<_>>());
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn used_up_attempts_give_the_message_back_and_a_wait_occupies_no_handler() {
    let connection = connect().await;
    let queue = queue(&connection, "used-up").await;
    fill(&connection, &queue, ["asked to wait", "other"].map(ToOwned::to_owned)).await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let retry = Retry::backoff(Duration::from_millis(1), Duration::from_millis(1)).attempts(2);
    let worker = Worker::new(connection.consume(&queue)).retry(retry);
    let worker = tokio::spawn(worker.run(stop.clone(), move |message: Incoming| {
        let sender = sender.clone();
        async move {
            sender.send((text(&message), message.is_redelivered()))?;
            match text(&message).as_str() {
                "other" => Ok(()),
                _ if message.is_redelivered() => Ok(()),
                _ => Err(Failure::retry_after(Duration::from_millis(50), "too many requests")),
            }
        }
    }));
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(must("a call", seen.recv()).await.unwrap());
    }
    let waits = |is_redelivered| ("asked to wait".to_owned(), is_redelivered);
    let other = ("other".to_owned(), false);
    assert_eq!(all, [waits(false), other, waits(false), waits(true)]);
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn a_handler_that_takes_too_long_has_failed() {
    let connection = connect().await;
    let queue = queue(&connection, "too-long").await;
    fill(&connection, &queue, numbers(1)).await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue)).timeout(Duration::from_millis(20));
    let worker = tokio::spawn(worker.run(stop.clone(), move |message: Incoming| {
        let sender = sender.clone();
        async move {
            sender.send(message.is_redelivered())?;
            if message.is_redelivered() { Ok(()) } else { std::future::pending().await }
        }
    }));
    assert!(!must("the first call", seen.recv()).await.unwrap());
    assert!(must("the second call", seen.recv()).await.unwrap());
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

/// What was prefetched is for others; what runs is finished.
#[tokio::test]
async fn a_stop_finishes_what_runs_and_begins_nothing_new() {
    let connection = connect().await;
    let queue = queue(&connection, "stopped").await;
    fill(&connection, &queue, numbers(20)).await;
    let (stop, started, go) =
        (CancellationToken::new(), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (begun, gate) = (Arc::clone(&started), Arc::clone(&go));
    let worker = Worker::new(connection.consume(&queue).prefetch(10)).concurrency(2);
    let worker = tokio::spawn(worker.run(stop.clone(), move |_| {
        let (begun, gate) = (Arc::clone(&begun), Arc::clone(&gate));
        async move {
            begun.add_permits(1);
            gate.acquire().await?.forget();
            Ok(())
        }
    }));
    must("two started", started.acquire_many(2)).await.unwrap().forget();
    stop.cancel();
    go.add_permits(20);
    must("the end of the worker", worker).await.unwrap().unwrap();
    let left = state(&connection, &queue).await.messages;
    assert_eq!(left, 18);
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    assert_eq!(next(&mut consumer).await.delivery_count(), 0);
}

/// The network is cut while a handler runs: its message comes again, and is acked without another one.
#[tokio::test]
async fn what_was_handled_when_it_comes_again_is_not_handled_again() {
    let own = connect().await;
    let queue = name("ack-lost");
    own.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    fill(&own, &queue, numbers(1)).await;
    let proxy = Proxy::start(broker::shared(), 1).await;
    let options: ConnectOptions = proxy.uri().parse().unwrap();
    let options = options.backoff(Duration::from_millis(5), Duration::from_millis(50));
    let connection = must("a connection", Connection::connect(options)).await.unwrap();
    let (sender, mut begun) = mpsc::unbounded_channel();
    let go = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&go);
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue).prefetch(1));
    let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
        sender.send(text(&message)).unwrap();
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await?.forget();
            Ok(())
        }
    }));
    assert_eq!(must("the handler", begun.recv()).await.unwrap(), "0");
    let mut watch = connection.state();
    proxy.cut();
    must("the loss", watch.wait_for(|state| !state.is_connected())).await.unwrap();
    must("the return", watch.wait_for(|state| state.is_connected())).await.unwrap();
    go.add_permits(5);
    // It comes when the one before it is acked.
    fill(&own, &queue, ["next".to_owned()]).await;
    assert_eq!(must("the next", begun.recv()).await.unwrap(), "next");
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(own.delete_queue(&queue).await.unwrap(), 0);
}

/// A handler longer than the queue's limit: the broker delivers the message again meanwhile.
#[tokio::test]
async fn a_handler_longer_than_the_consumer_timeout_runs_once() {
    if !is_ours() {
        return;
    }
    let connection = connect().await;
    let queue = name("overdue");
    let options = QueueOptions::durable().consumer_timeout(Duration::from_millis(1_000));
    connection.declare_queue(&queue, options).await.unwrap();
    fill(&connection, &queue, numbers(1)).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let stop = CancellationToken::new();
    let worker = Worker::new(connection.consume(&queue)).concurrency(4);
    let worker = tokio::spawn(worker.run(stop.clone(), move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            Ok(())
        }
    }));
    // The handler, and the longest wait before a repetition is looked at again, twice.
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(connection.delete_queue(&queue).await.unwrap(), 0, "it is acked");
}
