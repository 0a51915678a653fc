//! Messages that came back and wait before they are delivered again.

use crate::harness::broker::{self, Broker, is_ours};
use crate::harness::must;
use crate::harness::python::{interpreter, project, run};
use crate::harness::session::{
    Session, await_ready, confirmed, consume, declare_named, declare_with, fill, get, next, number,
    prefetch, publish, publish_with, string, table, text,
};
use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable};
use std::process::Command;
use tempfile::TempDir;

const NACK: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };

fn waits(min: i32, limit: i32) -> FieldTable {
    let mut arguments = table("x-delayed-retry-type", string("failed"));
    arguments.insert("x-delayed-retry-min".into(), number(min));
    arguments.insert("x-delivery-limit".into(), number(limit));
    arguments
}

fn instruction(tag: u64, delay: i32) -> BasicProperties {
    let mut headers = table("x-delivery-tag", AMQPValue::LongLongInt(tag.cast_signed()));
    headers.insert("x-delay".into(), number(delay));
    BasicProperties::default().with_headers(headers)
}

#[tokio::test]
async fn a_failed_message_waits_out_of_the_way_and_keeps_its_place() {
    if !is_ours() {
        return;
    }
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let queue = declare_with(&channel, "waits", waits(300, 5)).await;
    fill(&session, &queue, &["one", "two", "three"]).await;
    prefetch(&channel, 1).await;
    let mut consumer = consume(&channel, &queue).await;
    let one = next(&mut consumer).await;
    must("basic.nack", one.acker.nack(NACK)).await.unwrap();
    let two = next(&mut consumer).await;
    assert_eq!(text(&two), "two");
    // Only three is ready, until the wait is over.
    await_ready(&session.channel, &queue, 2).await;
    must("basic.ack", two.acker.ack(BasicAckOptions::default())).await.unwrap();
    assert_eq!(text(&next(&mut consumer).await), "one");
    session.close().await;
}

#[tokio::test]
async fn the_failure_that_reaches_the_limit_makes_a_dead_letter_without_a_wait() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, "hooks", waits(3_600_000, 1)).await;
    fill(&session, "hooks", &["poison"]).await;
    let mut consumer = consume(&channel, "hooks").await;
    must("basic.nack", next(&mut consumer).await.acker.nack(NACK)).await.unwrap();
    broker.await_metric("forebay_queue_messages_ready{vhost=\"/\",queue=\"hooks.dlq\"}", 1.0).await;
    assert_eq!(broker.metric("forebay_queue_messages_parked{vhost=\"/\",queue=\"hooks\"}"), 0.0);
    session.close().await;
}

#[tokio::test]
async fn waits_and_counts_survive_kill_9() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, "hooks", waits(3_600_000, 5)).await;
    fill(&session, "hooks", &["long", "short", "behind"]).await;
    prefetch(&channel, 3).await;
    let mut consumer = consume(&channel, "hooks").await;
    let [long, short] = [next(&mut consumer).await, next(&mut consumer).await];
    must("basic.nack", long.acker.nack(NACK)).await.unwrap();
    let properties = instruction(short.delivery_tag, 1_500);
    confirmed(publish_with(&channel, "", "amq.forebay.retry", b"", properties).await).await;
    // The confirm of a message that was published later covers what the settlements changed.
    confirmed(publish(&channel, "", "hooks", "last").await).await;
    broker.await_metric("forebay_queue_messages_parked{vhost=\"/\",queue=\"hooks\"}", 2.0).await;
    broker.kill();

    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    broker.await_metric("forebay_queue_messages_parked{vhost=\"/\",queue=\"hooks\"}", 1.0).await;
    let mut bodies = Vec::new();
    while let Some(message) = get(&session.channel, "hooks").await {
        let headers = message.properties.headers().clone().unwrap_or_default();
        let failures = headers.inner().get("x-delivery-count").cloned();
        bodies.push((String::from_utf8(message.data.clone()).unwrap(), failures));
    }
    let once = Some(AMQPValue::LongLongInt(1));
    assert_eq!(bodies[0], ("short".to_owned(), once));
    assert_eq!(
        bodies.iter().map(|(body, _)| body.as_str()).collect::<Vec<_>>(),
        ["short", "behind", "last"]
    );
    session.close().await;
}

#[tokio::test]
async fn a_bad_settlement_instruction_is_406_and_says_what_is_allowed() {
    if !is_ours() {
        return;
    }
    let cases = [
        ("amq.forebay.retry", instruction(7, 5), "", "unknown delivery tag 7"),
        ("amq.forebay.retry", instruction(1, -1), "", "'x-delay' is '-1' of type 'signedint'"),
        ("amq.forebay.retry", instruction(1, 5), "body", "4 bytes of body"),
        ("amq.forebay.retry", BasicProperties::default(), "", "'x-delivery-tag' is missing"),
        ("amq.forebay.retri", instruction(1, 5), "", "no settlement instruction"),
    ];
    for (key, properties, body, expected) in cases {
        let session = Session::open().await;
        let channel = session.confirm_channel().await;
        let confirm = publish_with(&channel, "", key, body.as_bytes(), properties).await;
        let refused = must("its confirm", confirm).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("PRECONDITION"), "{error}");
    }
}

/// In a transaction the instruction takes effect with the commit, and a rollback gives the delivery back.
#[tokio::test]
async fn pika_chooses_waits_in_every_mode_of_a_channel() {
    let Some(python) = interpreter().filter(|_| is_ours()) else { return };
    run(Command::new(python)
        .arg(project().join("tests/interop/retries.py"))
        .arg(broker::shared().to_string()));
}
