//! Queues that take each message once (`x-dedup-window`), with clients that others wrote and a broker that
//! is killed.

use crate::harness::broker::{self, Broker, is_ours};
use crate::harness::http::Admin;
use crate::harness::python::{interpreter, project, run};
use crate::harness::random::Random;
use crate::harness::session::{
    Session, confirmed, declare_named, drain, get, passive, persistent, publish_with, table,
};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use tempfile::TempDir;

fn window(ms: i64) -> FieldTable {
    table("x-dedup-window", AMQPValue::LongLongInt(ms))
}

fn named(id: u64) -> BasicProperties {
    persistent().with_message_id(id.to_string().into())
}

#[test]
fn pika_publishes_again_and_again() {
    let Some(python) = interpreter().filter(|_| is_ours()) else { return };
    run(Command::new(python)
        .arg(project().join("tests/interop/deduplication.py"))
        .arg(format!("amqp://guest:guest@{}", broker::shared())));
}

/// A publisher publishes each message again until it is confirmed, and now and then once more, while the
/// broker is killed again and again and a consumer takes messages.
#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_there_twice_however_often_the_broker_is_killed() {
    if !is_ours() {
        return;
    }
    let mut random = Random::from_environment();
    let data = TempDir::new().unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut sent = 0_u64;
    let mut unconfirmed = BTreeSet::new();
    for _ in 0..8 {
        let broker = Broker::start(data.path());
        let session = Session::open_at(broker.address).await;
        declare_named(&session.channel, "payments", window(3_600_000)).await;
        let channel = session.confirm_channel().await;
        let mut confirms = Vec::new();
        for id in std::mem::take(&mut unconfirmed) {
            confirms.push((id, publish_with(&channel, "", "payments", b"again", named(id)).await));
        }
        for _ in 0..60 {
            let id = match random.below(3) {
                0 if sent > 0 => random.below(sent),
                _ => {
                    sent += 1;
                    sent - 1
                }
            };
            confirms.push((id, publish_with(&channel, "", "payments", b"new", named(id)).await));
        }
        // What is acknowledged and then published again was taken before.
        for _ in 0..random.below(20) {
            let Some(message) = get(&session.channel, "payments").await else { break };
            let id = message.properties.message_id().clone().unwrap().to_string();
            acknowledged.insert(id.parse::<u64>().unwrap());
            message.delivery.acker.ack(<_>::default()).await.unwrap();
        }
        let awaited = random.below(confirms.len() as u64) as usize;
        for (at, (id, confirm)) in confirms.into_iter().enumerate() {
            if at < awaited {
                confirmed(confirm).await;
            } else {
                unconfirmed.insert(id);
            }
        }
        broker.kill();
    }
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    for id in 0..sent {
        confirmed(publish_with(&channel, "", "payments", b"last", named(id)).await).await;
    }
    let mut found = BTreeSet::new();
    while let Some(message) = get(&session.channel, "payments").await {
        let id = message.properties.message_id().clone().unwrap().to_string();
        assert!(found.insert(id.parse::<u64>().unwrap()), "{id} is there twice");
        message.delivery.acker.ack(<_>::default()).await.unwrap();
    }
    let all: BTreeSet<u64> = found.union(&acknowledged).copied().collect();
    assert_eq!(all, (0..sent).collect(), "each is there, or was");
}

#[tokio::test]
async fn duplicates_are_counted_and_keys_outlive_the_queue_s_messages() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "once", window(3_600_000)).await;
    let channel = session.confirm_channel().await;
    for id in [1, 2, 1, 1] {
        confirmed(publish_with(&channel, "", "once", b"x", named(id)).await).await;
    }
    assert_eq!(drain(&session.channel, "once").await.len(), 2);
    let sample = |name: &str| format!("forebay_queue_{name}{{vhost=\"/\",queue=\"once\"}}");
    broker.await_metric(&sample("messages_deduplicated_total"), 2.0).await;
    assert_eq!(broker.metric(&sample("dedup_keys")), 2.0);
    assert_eq!(broker.metric(&sample("dedup_keys_evicted_total")), 0.0);
    broker.kill();

    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    // What was taken without an acknowledgement may be back after a kill.
    let before = passive(&session.channel, "once").await.message_count();
    confirmed(publish_with(&channel, "", "once", b"x", named(2)).await).await;
    assert_eq!(passive(&session.channel, "once").await.message_count(), before);
    broker.await_metric(&sample("messages_deduplicated_total"), 1.0).await;
}

/// Whichever of the two waits: what was published first is the message, and the key counts from then on.
#[tokio::test]
async fn a_duplicate_of_a_delayed_message_is_dropped_and_so_is_a_delayed_duplicate() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "once", window(3_600_000)).await;
    let channel = session.confirm_channel().await;
    let later =
        |id: u64, ms: i64| named(id).with_headers(table("x-delay", AMQPValue::LongLongInt(ms)));
    let publish = async |body: &str, with: BasicProperties| {
        confirmed(publish_with(&channel, "", "once", body.as_bytes(), with).await).await;
    };
    publish("waits", later(1, 3_600_000)).await;
    publish("twice", named(1)).await;
    publish("first", named(2)).await;
    publish("delayed twice", later(2, 1)).await;
    assert_eq!(passive(&session.channel, "once").await.message_count(), 1);
    let sample = |name: &str| format!("forebay_queue_{name}{{vhost=\"/\",queue=\"once\"}}");
    broker.await_metric(&sample("messages_deduplicated_total"), 2.0).await;
    broker.await_metric(&sample("messages_delayed"), 1.0).await;
    broker.kill();

    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let admin = Admin::guest(&broker);
    let now = "/api/queues/%2F/once/delayed/now";
    assert_eq!(admin.done("POST", now, &Value::Null)["delivered"], 1);
    assert_eq!(drain(&session.channel, "once").await, ["first", "waits"]);
    let channel = session.confirm_channel().await;
    confirmed(publish_with(&channel, "", "once", b"again", named(1)).await).await;
    assert_eq!(passive(&session.channel, "once").await.message_count(), 0);
}
