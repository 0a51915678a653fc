//! Clients that vanish, stall or stand in the way leave the others alone.

use crate::harness::broker::{Broker, is_ours, shared};
use crate::harness::raw::{Raw, frame_bytes, payload};
use crate::harness::session::{Session, confirmed, consume, declare, next, publish, text};
use forebay_wire::method::{BasicPublish, QueueDeclare};
use forebay_wire::{Method, PROTOCOL_HEADER};
use std::net::SocketAddr;
use tempfile::TempDir;

/// A message there and back, with all confirmations.
async fn works(address: SocketAddr) {
    let session = Session::open_at(address).await;
    let channel = session.confirm_channel().await;
    let queue = declare(&channel, "works").await;
    let mut consumer = consume(&session.channel, &queue).await;
    for number in 0..20 {
        let body = number.to_string();
        confirmed(publish(&channel, "", &queue, &body).await).await;
        let delivery = next(&mut consumer).await;
        assert_eq!(text(&delivery), body);
        delivery.ack(<_>::default()).await.unwrap();
    }
    session.close().await;
}

#[tokio::test]
async fn clients_that_vanish_in_the_middle_of_something_leave_nothing() {
    let mut raw = Raw::open_channel(shared()).await;
    let queue = raw.declare(QueueDeclare { auto_delete: true, ..<_>::default() }).await;
    let publish = payload(&BasicPublish { routing_key: queue.clone(), ..<_>::default() });
    let mut header = vec![0, 60, 0, 0];
    header.extend(10_u64.to_be_bytes());
    header.extend([0, 0]);
    let whole =
        [frame_bytes(1, 1, &publish), frame_bytes(2, 1, &header), frame_bytes(3, 1, b"0123456789")]
            .concat();
    for length in 1..whole.len() {
        let mut vanishing = Raw::open_channel(shared()).await;
        vanishing.send_bytes(&whole[..length]).await;
        vanishing.abort();
    }
    let passive = QueueDeclare { queue, passive: true, ..<_>::default() };
    raw.send(1, &passive).await;
    let Method::QueueDeclareOk(counts) = raw.method().await else { panic!("gone") };
    assert_eq!(counts.message_count, 0, "half a message was taken for a whole one");
    works(shared()).await;
}

#[tokio::test]
async fn a_handshake_can_be_left_at_every_step() {
    for length in 0..PROTOCOL_HEADER.len() {
        let mut raw = Raw::connect(shared()).await;
        raw.send_bytes(&PROTOCOL_HEADER[..length]).await;
        raw.abort();
    }
    Raw::greet(shared()).await.abort();
    Raw::log_in(shared()).await.0.abort();
    Raw::open(shared()).await.abort();
    works(shared()).await;
}

#[tokio::test]
async fn a_handshake_that_stalls_is_ended_by_the_broker() {
    let stalled = [Raw::connect(shared()).await, Raw::greet(shared()).await];
    let (logged_in, _) = Raw::log_in(shared()).await;
    works(shared()).await;
    for raw in stalled.into_iter().chain([logged_in]) {
        raw.rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_half_open_connections_leave_others_working() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let count = open_files_left() / 2;
    let mut crowd = Vec::new();
    for number in 0..count {
        let mut raw = Raw::connect(broker.address).await;
        if number % 2 == 0 {
            raw.send_bytes(&PROTOCOL_HEADER[..number % 8]).await;
        }
        crowd.push(raw);
    }
    works(broker.address).await;
    eprintln!("{} half-open connections", crowd.len());
}

/// Sockets that this process may open, 10,000 at most.
fn open_files_left() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    soft.min(20_500) - 500
}

#[tokio::test]
async fn a_name_that_is_not_utf_8_harms_nobody() {
    let mut raw = Raw::open_channel(shared()).await;
    let name = forebay_wire::ShortStr::try_from(&b"caf\xe9"[..]).unwrap();
    raw.send(1, &QueueDeclare { queue: name, exclusive: true, ..<_>::default() }).await;
    raw.frame().await;
    works(shared()).await;
}
