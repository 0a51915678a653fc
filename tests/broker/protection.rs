//! Limits on what a queue delivers (`x-max-in-flight`, `x-rate-limit`), with a client that others wrote.

use crate::harness::broker::{self, Broker, is_ours};
use crate::harness::http::Admin;
use crate::harness::python::{interpreter, project, run};
use crate::harness::session::{
    Session, consume, declare_named, fill, is_quiet, next, number, table,
};
use serde_json::json;
use std::process::Command;
use tempfile::TempDir;

#[test]
fn pika_s_consumers_get_so_much_and_no_more() {
    let Some(python) = interpreter().filter(|_| is_ours()) else { return };
    run(Command::new(python)
        .arg(project().join("tests/interop/protection.py"))
        .arg(format!("amqp://guest:guest@{}", broker::shared())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_holds_messages_back_is_told_and_a_policy_lifts_it() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "calls", <_>::default()).await;
    let policy = json!({ "pattern": "^calls$", "definition": { "max-in-flight": 1 } });
    admin.done("PUT", "/api/policies/%2F/protect", &policy);
    fill(&session, "calls", &["a", "b", "c"]).await;
    let channel = session.channel().await;
    let mut consumer = consume(&channel, "calls").await;
    let held = next(&mut consumer).await;
    let sample = "forebay_queue_held_back{vhost=\"/\",queue=\"calls\",reason=\"max-in-flight\"}";
    broker.await_metric(sample, 1.0).await;
    let queue = admin.get("/api/queues/%2F/calls");
    assert_eq!(queue["held_back_by"], "max-in-flight");
    let settings = queue["settings"].as_array().unwrap();
    let row = settings.iter().find(|row| row["name"] == "max-in-flight").unwrap();
    assert_eq!((&row["value"], &row["source"]), (&json!(1), &json!("policy")));
    assert!(is_quiet(&mut consumer));
    held.ack(<_>::default()).await.unwrap();
    next(&mut consumer).await;
    admin.done("DELETE", "/api/policies/%2F/protect", &json!(null));
    next(&mut consumer).await;
    assert_eq!(admin.get("/api/queues/%2F/calls")["held_back_by"], json!(null));
    // An argument is compared when the queue is declared again.
    declare_named(&session.channel, "few", table("x-max-in-flight", number(2))).await;
    declare_named(&session.channel, "few", table("x-max-in-flight", number(2))).await;
}
