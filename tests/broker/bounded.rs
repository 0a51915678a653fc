//! Memory stays bounded whatever clients do, and one slow client slows no other.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::must;
use crate::harness::raw::{Raw, short};
use crate::harness::session::{
    Session, confirmed, consume, declare, declare_named, next, publish, publish_with, ready_count,
};
use bytes::Bytes;
use forebay_wire::Method;
use forebay_wire::method::{BasicConsume, ConfirmSelect};
use std::collections::VecDeque;
use tempfile::TempDir;
use tokio::sync::oneshot;

const MEBIBYTE: u64 = 1024 * 1024;

/// What the broker may take at most in these tests, which move several times as much.
const RESIDENT_SIZE_MAX: u64 = 256 * MEBIBYTE;

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_faster_than_the_disk_does_not_fill_memory() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "flood", <_>::default()).await;
    let mut raw = Raw::open_channel(broker.address).await;
    raw.send(1, &ConfirmSelect { no_wait: false }).await;
    assert!(matches!(raw.method().await, Method::ConfirmSelectOk(_)));
    let body = Bytes::from(vec![7; 64 * 1024]);
    let count: u64 = 8_000;
    for _ in 0..count {
        raw.publish(1, &short("flood"), 2, &body).await;
    }
    let mut last = 0;
    while last < count {
        match raw.method().await {
            Method::BasicAck(ack) => last = last.max(ack.delivery_tag),
            other => panic!("{other:?}"),
        }
    }
    let peak = broker.resident_peak_size();
    assert!(peak < RESIDENT_SIZE_MAX, "{} MiB resident", peak / MEBIBYTE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_does_not_read_is_bounded_and_slows_nobody() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "unread", <_>::default()).await;
    let mut deaf = Raw::open_channel(broker.address).await;
    let consume_all = BasicConsume { queue: short("unread"), no_ack: true, ..<_>::default() };
    deaf.send(1, &consume_all).await;
    assert!(matches!(deaf.method().await, Method::BasicConsumeOk(_)));

    let (stop, stopped) = oneshot::channel();
    let flood = tokio::spawn(flood(broker.address, stopped));
    let other = Session::open_at(broker.address).await;
    let channel = other.confirm_channel().await;
    let queue = declare(&channel, "lively").await;
    let mut consumer = consume(&other.channel, &queue).await;
    for _ in 0..300 {
        confirmed(publish(&channel, "", &queue, "m").await).await;
        next(&mut consumer).await.ack(<_>::default()).await.unwrap();
    }
    stop.send(()).unwrap();
    let published = must("the flood", flood).await.unwrap();
    assert!(ready_count(&session.channel, "unread").await > 0, "it waits in the queue");
    let peak = broker.resident_peak_size();
    eprintln!("{published} messages of 64 KiB published, {} MiB resident", peak / MEBIBYTE);
    assert!(peak < RESIDENT_SIZE_MAX, "{} MiB resident", peak / MEBIBYTE);
}

/// Publishes large messages to "unread" until told to stop, several hundred at least.
async fn flood(address: std::net::SocketAddr, mut stopped: oneshot::Receiver<()>) -> usize {
    let session = Session::open_at(address).await;
    let channel = session.confirm_channel().await;
    let body = vec![7; 64 * 1024];
    let mut waiting = VecDeque::new();
    let mut published = 0;
    while published < 5_000 || stopped.try_recv().is_err() {
        let properties = crate::harness::session::persistent();
        waiting.push_back(publish_with(&channel, "", "unread", &body, properties).await);
        published += 1;
        if waiting.len() >= 100 {
            confirmed(waiting.pop_front().unwrap()).await;
        }
    }
    for confirm in waiting {
        confirmed(confirm).await;
    }
    published
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_never_acknowledges_is_held_to_its_prefetch() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "backlog", <_>::default()).await;
    crate::harness::session::prefetch(&session.channel, 10).await;
    let mut stuck = consume(&session.channel, "backlog").await;
    let channel = session.confirm_channel().await;
    let mut waiting = VecDeque::new();
    for _ in 0..50_000 {
        waiting.push_back(publish(&channel, "", "backlog", &"x".repeat(1024)).await);
        if waiting.len() >= 1000 {
            confirmed(waiting.pop_front().unwrap()).await;
        }
    }
    for confirm in waiting {
        confirmed(confirm).await;
    }
    assert_eq!(ready_count(&session.channel, "backlog").await, 49_990);
    for _ in 0..10 {
        next(&mut stuck).await;
    }
    let peak = broker.resident_peak_size();
    eprintln!("{} MiB resident", peak / MEBIBYTE);
    assert!(peak < RESIDENT_SIZE_MAX, "{} MiB resident", peak / MEBIBYTE);
}
