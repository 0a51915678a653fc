//! Workers whose handlers are given batches.

use crate::ground::{connect, fill, name, next, queue, state, text};
use crate::harness::must;
use forebay_client::{
    BatchFailure, BatchWorker, CancellationToken, Connection, Failure, Incoming, QueueOptions,
    WorkerError,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

/// So long that no test waits for it: a batch is complete by its size, or by what ends it.
const FOR_EVER: Duration = Duration::from_secs(3_600);

fn numbers(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| number.to_string())
}

fn texts(batch: &[Incoming]) -> Vec<String> {
    batch.iter().map(text).collect()
}

type Batches = mpsc::UnboundedReceiver<Vec<String>>;

/// A worker that tells which batches it got, and does with each what `handle` says.
fn work(
    worker: BatchWorker,
    stop: &CancellationToken,
    handle: impl Fn(&[String]) -> Result<(), BatchFailure> + Send + Sync + 'static,
) -> (JoinHandle<Result<(), WorkerError>>, Batches) {
    let (sender, batches) = mpsc::unbounded_channel();
    let running = worker.run(stop.clone(), move |batch| {
        let batch = texts(&batch);
        sender.send(batch.clone()).unwrap();
        let outcome = handle(&batch);
        async move { outcome }
    });
    (tokio::spawn(running), batches)
}

async fn batch(batches: &mut Batches) -> Vec<String> {
    must("a batch", batches.recv()).await.unwrap()
}

async fn end(stop: &CancellationToken, worker: JoinHandle<Result<(), WorkerError>>) {
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
}

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
async fn a_batch_has_as_many_messages_as_it_may_in_their_order_and_all_are_acked() {
    let connection = connect().await;
    let queue = queue(&connection, "batches").await;
    fill(&connection, &queue, numbers(30)).await;
    let stop = CancellationToken::new();
    let worker = BatchWorker::new(connection.consume(&queue).prefetch(1)).size(10).wait(FOR_EVER);
    let (worker, mut batches) = work(worker, &stop, |_| Ok(()));
    let mut all = Vec::new();
    for _ in 0..3 {
        let batch = batch(&mut batches).await;
        assert_eq!(batch.len(), 10);
        all.extend(batch);
    }
    assert_eq!(all, numbers(30).collect::<Vec<_>>());
    end(&stop, worker).await;
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn a_batch_that_does_not_fill_is_handled_after_its_time() {
    let connection = connect().await;
    let queue = queue(&connection, "rest").await;
    let stop = CancellationToken::new();
    let wait = Duration::from_millis(20);
    let worker = BatchWorker::new(connection.consume(&queue)).size(1_000).wait(wait);
    let (worker, mut batches) = work(worker, &stop, |_| Ok(()));
    fill(&connection, &queue, numbers(5)).await;
    let mut all = Vec::new();
    while all.len() < 5 {
        all.extend(batch(&mut batches).await);
    }
    assert_eq!(all, numbers(5).collect::<Vec<_>>());
    end(&stop, worker).await;
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn messages_that_fail_go_their_ways_and_the_others_are_acked() {
    let connection = connect().await;
    let (queue, dead) = queue_with_dead_letters(&connection, "some").await;
    fill(&connection, &queue, numbers(4)).await;
    let stop = CancellationToken::new();
    let worker = BatchWorker::new(connection.consume(&queue)).size(4).wait(Duration::ZERO);
    let (worker, mut batches) = work(worker, &stop, |batch| {
        let failure = |(place, text): (usize, &String)| match text.as_str() {
            "1" if batch.len() > 1 => Some((place, Failure::retry("not yet"))),
            "2" => Some((place, Failure::dead_letter("never"))),
            _ => None,
        };
        let failures: Vec<_> = batch.iter().enumerate().filter_map(failure).collect();
        if failures.is_empty() { Ok(()) } else { Err(BatchFailure::some(failures)) }
    });
    let mut all = Vec::new();
    while all.last().is_none_or(|last: &Vec<String>| last != &["1"]) {
        all.push(batch(&mut batches).await);
    }
    let mut dead = connection.consume(&dead).start().await.unwrap();
    let given_up = next(&mut dead).await;
    assert_eq!(text(&given_up), "2");
    given_up.ack().unwrap();
    end(&stop, worker).await;
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn one_poison_message_takes_no_other_of_its_batch_with_it() {
    for way in ["error", "panic"] {
        let connection = connect().await;
        let (queue, dead) = queue_with_dead_letters(&connection, "poison").await;
        fill(&connection, &queue, numbers(5)).await;
        let stop = CancellationToken::new();
        let worker = BatchWorker::new(connection.consume(&queue)).size(5).wait(FOR_EVER);
        let (worker, mut batches) = work(worker, &stop, move |batch| {
            if batch == ["3"] {
                return Err(BatchFailure::whole(Failure::dead_letter("poison")));
            }
            assert!(way == "error" || !batch.contains(&"3".to_owned()), "in the handler");
            if batch.contains(&"3".to_owned()) {
                Err("one of them is wrong".into())
            } else {
                Ok(())
            }
        });
        assert_eq!(batch(&mut batches).await, numbers(5).collect::<Vec<_>>());
        for number in numbers(5) {
            assert_eq!(batch(&mut batches).await, [number]);
        }
        let mut dead = connection.consume(&dead).start().await.unwrap();
        let poison = next(&mut dead).await;
        assert_eq!(text(&poison), "3");
        poison.ack().unwrap();
        end(&stop, worker).await;
        assert_eq!(state(&connection, &queue).await.messages, 0, "{way}");
    }
}

#[tokio::test]
async fn a_handler_that_takes_too_long_has_failed() {
    let connection = connect().await;
    let queue = queue(&connection, "slow-batch").await;
    fill(&connection, &queue, numbers(2)).await;
    let (stop, seen) = (CancellationToken::new(), Arc::new(Semaphore::new(0)));
    let handled = Arc::clone(&seen);
    let worker = BatchWorker::new(connection.consume(&queue))
        .size(2)
        .wait(FOR_EVER)
        .timeout(Duration::from_millis(20));
    let worker = tokio::spawn(worker.run(stop.clone(), move |batch| {
        let handled = Arc::clone(&handled);
        async move {
            if batch.len() > 1 {
                std::future::pending::<()>().await;
            }
            handled.add_permits(1);
            Ok(())
        }
    }));
    must("each alone", seen.acquire_many(2)).await.unwrap().forget();
    end(&stop, worker).await;
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn a_stop_returns_what_was_gathered_and_lets_a_handler_finish() {
    let connection = connect().await;
    let queue = queue(&connection, "stopped-batch").await;
    fill(&connection, &queue, numbers(5)).await;
    let (stop, started) = (CancellationToken::new(), Arc::new(Semaphore::new(0)));
    let (begun, may_end) = (Arc::clone(&started), Arc::new(Semaphore::new(0)));
    let end = Arc::clone(&may_end);
    // The second batch never fills.
    let worker = BatchWorker::new(connection.consume(&queue)).size(3).wait(FOR_EVER).concurrency(2);
    let worker = tokio::spawn(worker.run(stop.clone(), move |_| {
        let (begun, end) = (Arc::clone(&begun), Arc::clone(&end));
        async move {
            begun.add_permits(1);
            end.acquire().await?.forget();
            Ok(())
        }
    }));
    must("a batch", started.acquire()).await.unwrap().forget();
    stop.cancel();
    may_end.add_permits(1);
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 2);
    let mut rest = connection.consume(&queue).start().await.unwrap();
    let first = next(&mut rest).await;
    assert_eq!(first.delivery_count(), 0, "it does not count as a failed delivery");
    first.ack().unwrap();
}
