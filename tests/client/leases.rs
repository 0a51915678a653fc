//! Messages that are held for long: a worker that asks for more time, and clients that don't.

use crate::ground::{connect, fill, name, next, state, text};
use crate::harness::broker::is_ours;
use crate::harness::must;
use forebay_client::{CancellationToken, Connection, Failure, QueueOptions, Retry, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

const LEASE: Duration = Duration::from_millis(500);

/// A queue for several connections.
async fn queue(connection: &Connection, of: &str) -> String {
    let name = name(of);
    must("a queue", connection.declare_queue(&name, QueueOptions::transient())).await.unwrap();
    name
}

#[tokio::test]
async fn what_a_client_does_not_extend_goes_to_another_after_its_lease() {
    if !is_ours() {
        return;
    }
    let (one, other) = (connect().await, connect().await);
    let queue = queue(&one, "leases").await;
    fill(&one, &queue, ["a".to_owned()]).await;
    let mut holder = one.consume(&queue).lease(LEASE).start().await.unwrap();
    let held = next(&mut holder).await;
    let mut rival = other.consume(&queue).start().await.unwrap();
    let again = next(&mut rival).await;
    assert_eq!(text(&again), "a");
    assert!(again.is_redelivered());
    again.ack().unwrap();
    // Too late, and without harm.
    held.extend(LEASE).unwrap();
    held.ack().unwrap();
    other.close().await.unwrap();
    assert_eq!(state(&one, &queue).await.messages, 0);
}

#[tokio::test]
async fn an_extended_delivery_is_held_as_long_as_it_is_extended() {
    if !is_ours() {
        return;
    }
    let (one, other) = (connect().await, connect().await);
    let queue = queue(&one, "leases").await;
    fill(&one, &queue, ["a".to_owned(), "b".to_owned()]).await;
    let mut holder = one.consume(&queue).prefetch(1).lease(LEASE).start().await.unwrap();
    let held = next(&mut holder).await;
    held.extend(Duration::from_secs(3_600)).unwrap();
    let mut rival = other.consume(&queue).start().await.unwrap();
    let other_one = next(&mut rival).await;
    assert_eq!(text(&other_one), "b");
    // Time has to pass: longer than the lease.
    assert!(tokio::time::timeout(4 * LEASE, rival.next()).await.is_err(), "it was taken away");
    held.ack().unwrap();
}

#[tokio::test]
async fn a_worker_keeps_what_its_handlers_are_at_and_what_waits_for_another_attempt() {
    if !is_ours() {
        return;
    }
    let (one, other) = (connect().await, connect().await);
    let queue = queue(&one, "leases").await;
    fill(&one, &queue, ["slow".to_owned(), "retried".to_owned(), "waits".to_owned()]).await;
    let (release, handled) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let stop = CancellationToken::new();
    let worker = Worker::new(one.consume(&queue).prefetch(3))
        .concurrency(2)
        .lease(LEASE)
        .retry(Retry::backoff(3 * LEASE, 3 * LEASE).attempts(5));
    let (gate, count) = (Arc::clone(&release), Arc::clone(&handled));
    let worker = tokio::spawn(worker.run(stop.clone(), move |message| {
        let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
        async move {
            let number = count.fetch_add(1, Ordering::SeqCst);
            if text(&message) == "retried" && number < 2 {
                return Err(Failure::retry("not yet"));
            }
            gate.acquire().await.map_err(Failure::retry)?.forget();
            Ok(())
        }
    }));
    must("the handlers begin", async {
        while handled.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let mut rival = other.consume(&queue).start().await.unwrap();
    assert!(tokio::time::timeout(5 * LEASE, rival.next()).await.is_err(), "it was taken away");
    release.add_permits(10);
    must("the second attempt", async {
        while handled.load(Ordering::SeqCst) < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    assert_eq!(state(&one, &queue).await.messages, 0);
}
