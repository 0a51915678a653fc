//! Short of disk or memory: publishers wait, consumers go on, and all recovers unaided.

use crate::harness::broker::{Broker, http_get, is_ours};
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::raw::{Raw, short};
use crate::harness::session::{
    Session, await_ready, consume_with, declare_named, drain, fill, next, ready_count,
};
use crate::harness::small_disk::SmallDisk;
use bytes::Bytes;
use forebay_wire::method::{ChannelOpen, ConfirmSelect};
use forebay_wire::{Frame, Method};
use lapin::options::BasicConsumeOptions;
use std::path::Path;
use tempfile::TempDir;

const MIB: u64 = 1024 * 1024;

/// A broker whose limit for free disk space is 32 MiB.
fn broker_within(disk: &SmallDisk) -> Broker {
    let launch = Launch::on(&disk.path().join("data")).through(disk.entrance());
    Broker::launch(&launch.argument("--disk-free-limit").argument("32MiB"))
}

fn broker_with_watermark(data: &Path, watermark: &str) -> Broker {
    Broker::launch(&Launch::on(data).argument("--memory-high-watermark").argument(watermark))
}

/// A connection with a channel in confirm mode that says whatever it is told to say, and hears of
/// alarms. `heartbeat`: the interval in seconds, 0 for none, since it sends none by itself.
async fn publisher(broker: &Broker, heartbeat: u16) -> Raw {
    let mut raw = Raw::open_with(broker.address, heartbeat).await;
    raw.send(1, &ChannelOpen {}).await;
    assert!(matches!(raw.method().await, Method::ChannelOpenOk(_)));
    raw.send(1, &ConfirmSelect { no_wait: false }).await;
    assert!(matches!(raw.method().await, Method::ConfirmSelectOk(_)));
    raw
}

async fn publish(raw: &mut Raw, queue: &str, body: &'static str) {
    raw.publish(1, &short(queue), 2, &Bytes::from_static(body.as_bytes())).await;
}

async fn expect_blocked(raw: &mut Raw, expected: &str) {
    match raw.method().await {
        Method::ConnectionBlocked(blocked) => assert_eq!(blocked.reason, *expected),
        other => panic!("not blocked but {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_publishers_and_lets_consumers_drain() {
    let Some(disk) = is_ours().then(|| SmallDisk::mount(128)).flatten() else { return };
    let broker = broker_within(&disk);
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "q", <_>::default()).await;
    fill(&session, "q", &["1", "2", "3"]).await;
    session.close().await;
    let mut before = publisher(&broker, 0).await;

    disk.fill_up_to(16 * MIB);
    broker.await_metric("forebay_alarm_active{alarm=\"disk\"}", 1.0).await;
    assert_eq!(broker.metric("forebay_alarm_active{alarm=\"memory\"}"), 0.0);
    assert_eq!(broker.metric("rabbitmq_alarms_free_disk_space_watermark"), 1.0);
    assert_eq!(broker.metric("forebay_connections_blocked"), 0.0);

    // One that was there, one that comes now: each is told at its first message, and not read on.
    let mut after = publisher(&broker, 0).await;
    for (raw, body) in [(&mut before, "4"), (&mut after, "5")] {
        publish(raw, "q", body).await;
        expect_blocked(raw, "low on disk").await;
    }
    broker.await_metric("forebay_connections_blocked", 2.0).await;

    let session = Session::open_at(broker.address).await;
    assert_eq!(drain(&session.channel, "q").await, ["1", "2", "3"]);
    assert_eq!(ready_count(&session.channel, "q").await, 0);

    disk.empty();
    for raw in [&mut before, &mut after] {
        assert!(matches!(raw.method().await, Method::ConnectionUnblocked(_)));
        assert!(matches!(raw.method().await, Method::BasicAck(_)));
    }
    broker.await_metric("forebay_alarm_active{alarm=\"disk\"}", 0.0).await;
    broker.await_metric("forebay_connections_blocked", 0.0).await;
    assert_eq!(drain(&session.channel, "q").await.len(), 2);
    let log = broker.log();
    assert!(log.contains("disk alarm: ") && log.contains("disk alarm is over: "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_connection_lives_on_by_its_heartbeats() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    let broker = broker_with_watermark(data.path(), "1MB");
    let mut raw = publisher(&broker, 1).await;
    publish(&mut raw, "q", "x").await;
    expect_blocked(&mut raw, "low on memory").await;
    // Half a second apart, and nothing from us: longer than it takes to be given up as dead.
    for _ in 0..6 {
        assert_eq!(must("a heartbeat", raw.frame()).await, Some(Frame::Heartbeat));
    }
    assert_eq!(broker.metric("forebay_connections_blocked"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_consumes_never_hears_of_an_alarm() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "q", <_>::default()).await;
    fill(&session, "q", &["1", "2"]).await;
    broker.kill();

    let broker = broker_with_watermark(data.path(), "1MB");
    let checks = http_get(broker.metrics, "/health/ready");
    assert!(checks.contains("200 OK"), "it serves consumers: {checks}");
    let session = Session::open_at(broker.address).await;
    assert_eq!(drain(&session.channel, "q").await, ["1", "2"]);
    declare_named(&session.channel, "another", <_>::default()).await;
    assert_eq!(broker.metric("forebay_connections_blocked"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_consumers_give_back_ends_the_alarm() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    let broker = broker_with_watermark(data.path(), "112MiB");
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "q", <_>::default()).await;
    let mut raw = publisher(&broker, 0).await;
    // Transient messages are in memory alone, as long as they are few.
    let body = Bytes::from(vec![0; 256 * 1024]);
    let (mut held, queue) = (0, short("q"));
    let reason = loop {
        raw.publish(1, &queue, 1, &body).await;
        match raw.method().await {
            Method::BasicAck(_) => held += 1,
            Method::ConnectionBlocked(blocked) => break blocked.reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason, *"low on memory");

    let options = BasicConsumeOptions { no_ack: true, ..<_>::default() };
    let mut consumer = consume_with(&session.channel, "q", options).await;
    for _ in 0..held {
        next(&mut consumer).await;
    }
    assert!(matches!(raw.method().await, Method::ConnectionUnblocked(_)));
    next(&mut consumer).await;
    await_ready(&session.channel, "q", 0).await;
}
