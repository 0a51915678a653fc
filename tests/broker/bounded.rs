//! Memory stays bounded whatever clients do, and one slow client slows no other.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::must;
use crate::harness::raw::{Raw, short};
use crate::harness::session::{
    Session, confirmed, consume, declare, declare_named, next, persistent, publish, publish_with,
    ready_count,
};
use bytes::Bytes;
use forebay_wire::Method;
use forebay_wire::method::{BasicConsume, ConfirmSelect};
use std::collections::VecDeque;
use std::net::SocketAddr;
use tempfile::TempDir;

const MEBIBYTE: u64 = 1024 * 1024;

/// What the broker may take at most while it is flooded with more than that: its journals and
/// tables in the making, its budget for what is on its way, and what the allocator keeps.
const FLOODED_SIZE_MAX: u64 = 512 * MEBIBYTE;

/// Bytes of a message of a flood.
const FLOOD_BODY_SIZE: usize = 64 * 1024;

/// Messages of a flood: far more than fit.
const FLOOD_MESSAGES: u64 = 12_000;

/// What the broker may take at most with a backlog of small messages.
const BACKLOG_SIZE_MAX: u64 = 128 * MEBIBYTE;

const _: () = assert!(FLOOD_MESSAGES * FLOOD_BODY_SIZE as u64 > FLOODED_SIZE_MAX);

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
    let body = Bytes::from(vec![7; FLOOD_BODY_SIZE]);
    for _ in 0..FLOOD_MESSAGES {
        raw.publish(1, &short("flood"), 2, &body).await;
    }
    let mut last = 0;
    while last < FLOOD_MESSAGES {
        match raw.method().await {
            Method::BasicAck(ack) => last = last.max(ack.delivery_tag),
            other => panic!("{other:?}"),
        }
    }
    let peak = broker.resident_peak_size();
    assert!(peak < FLOODED_SIZE_MAX, "{} MiB resident", peak / MEBIBYTE);
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

    let flood = tokio::spawn(flood(broker.address));
    let other = Session::open_at(broker.address).await;
    let channel = other.confirm_channel().await;
    let queue = declare(&channel, "lively").await;
    let mut consumer = consume(&other.channel, &queue).await;
    for _ in 0..300 {
        confirmed(publish(&channel, "", &queue, "m").await).await;
        next(&mut consumer).await.ack(<_>::default()).await.unwrap();
    }
    must("the flood", flood).await.unwrap();
    assert!(ready_count(&session.channel, "unread").await > 0, "it waits in the queue");
    let peak = broker.resident_peak_size();
    eprintln!("{} MiB resident", peak / MEBIBYTE);
    assert!(peak < FLOODED_SIZE_MAX, "{} MiB resident", peak / MEBIBYTE);
}

/// Publishes more to "unread" than fits into memory.
async fn flood(address: SocketAddr) {
    let session = Session::open_at(address).await;
    let channel = session.confirm_channel().await;
    let body = vec![7; FLOOD_BODY_SIZE];
    let mut waiting = VecDeque::new();
    for _ in 0..FLOOD_MESSAGES {
        waiting.push_back(publish_with(&channel, "", "unread", &body, persistent()).await);
        if waiting.len() >= 100 {
            confirmed(waiting.pop_front().unwrap()).await;
        }
    }
    for confirm in waiting {
        confirmed(confirm).await;
    }
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
    assert!(peak < BACKLOG_SIZE_MAX, "{} MiB resident", peak / MEBIBYTE);
}
