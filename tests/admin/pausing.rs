//! A queue that an operator pauses: what its clients see, what is told of it, and that it lasts.

use crate::command::{complaint, printed};
use crate::harness::broker::Broker;
use crate::harness::must;
use crate::harness::session::{
    Session, confirmed, consume, declare_named, fill, get, is_quiet, next, prefetch, publish,
    ready_count, text,
};
use crate::http::Admin;
use lapin::options::{BasicAckOptions, BasicNackOptions, QueueDeclareOptions};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const QUEUE: &str = "/api/queues/%2F/orders";

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_takes_messages_and_gives_none_until_it_is_resumed() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", <_>::default()).await;
    fill(&session, "orders", &["a", "b", "c"]).await;
    let channel = session.channel().await;
    prefetch(&channel, 2).await;
    let mut consumer = consume(&channel, "orders").await;
    let held = [next(&mut consumer).await, next(&mut consumer).await];

    let said = printed(&broker, &["queue", "pause", "orders"]);
    assert_eq!(said, "orders: paused; it delivers nothing until it is resumed\n");
    // What is held can be settled, what comes is taken, and nothing goes out.
    must("ack", held[0].ack(BasicAckOptions::default())).await.unwrap();
    let nack = BasicNackOptions { requeue: true, multiple: false };
    must("nack", held[1].nack(nack)).await.unwrap();
    let confirms = session.confirm_channel().await;
    confirmed(publish(&confirms, "", "orders", "d").await).await;
    assert!(get(&session.channel, "orders").await.is_none());
    assert_eq!(ready_count(&session.channel, "orders").await, 3);
    assert!(is_quiet(&mut consumer));

    printed(&broker, &["queue", "resume", "orders"]);
    let bodies = [text(&next(&mut consumer).await), text(&next(&mut consumer).await)];
    assert_eq!(bodies, ["b", "c"]);
    assert_eq!(admin.get(QUEUE)["paused"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_told_wherever_an_operator_looks() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", <_>::default()).await;
    fill(&session, "orders", &["a"]).await;
    admin.done("PUT", "/api/users/ops", &json!({ "password": "pw", "tags": "management" }));
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    admin.done("PUT", "/api/permissions/%2F/ops", &all);
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let ops = Admin::user(&broker, "ops", "pw");
    ops.done("POST", &format!("{QUEUE}/pause"), &Value::Null);

    let queue = admin.get(QUEUE);
    assert_eq!((&queue["paused"], &queue["paused_by"]), (&json!(true), &json!("ops")));
    let since = queue["paused_since"].as_u64().unwrap();
    assert!((before..before + 3_600_000).contains(&since), "{since} {before}");
    assert_eq!(queue["attention"], json!({ "level": 2, "reason": "paused" }));
    assert!(printed(&broker, &["queue", "list"]).contains("running, paused"));
    let shown = printed(&broker, &["queue", "show", "orders"]);
    assert!(shown.contains("by ops; `forebay queue resume` ends it"), "{shown}");
    assert!(printed(&broker, &["top", "--count", "1"]).contains("orders (paused)"));
    let labels = "vhost=\"/\",queue=\"orders\"";
    broker.await_metric(&format!("forebay_queue_paused{{{labels}}}"), 1.0).await;
    let symptom = format!("forebay_queue_symptom{{{labels},symptom=\"paused\"}}");
    broker.await_metric(&symptom, 1.0).await;
    let channel = session.channel().await;
    let _consumer = consume(&channel, "orders").await;
    let held_back = format!("forebay_queue_held_back{{{labels},reason=\"paused\"}}");
    broker.await_metric(&held_back, 1.0).await;
    broker.log_line(|line| {
        ["operator: change of a queue", "user=\"ops\"", "act=\"pause\"", "queue=\"orders\""]
            .iter()
            .all(|part| line.contains(part))
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_was_answered_outlives_a_kill_and_so_does_its_end() {
    let data = TempDir::new().unwrap();
    let mut broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", <_>::default()).await;
    fill(&session, "orders", &["a"]).await;
    let mut told = Value::Null;
    for round in 0..6 {
        let is_paused = round % 2 == 0;
        let act = if is_paused { "pause" } else { "resume" };
        let admin = Admin::guest(&broker);
        admin.done("POST", &format!("{QUEUE}/{act}"), &Value::Null);
        let before = admin.get(QUEUE);
        broker.kill();

        broker = Broker::start(data.path());
        let queue = Admin::guest(&broker).get(QUEUE);
        for field in ["paused", "paused_by", "paused_since"] {
            assert_eq!(queue[field], before[field], "{field} in round {round}");
        }
        assert_eq!(queue["paused"], json!(is_paused));
        assert_ne!(queue["paused_since"], told, "each pause has its own time");
        told = queue["paused_since"].clone();
        let session = Session::open_at(broker.address).await;
        assert_eq!(get(&session.channel, "orders").await.is_none(), is_paused, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_configure_a_queue_can_t_pause_it_and_some_queues_can_t_be_paused() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", <_>::default()).await;
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let own = session.channel.queue_declare("own".into(), exclusive, <_>::default());
    must("declare", own).await.unwrap();
    admin.done("PUT", "/api/users/reader", &json!({ "password": "pw", "tags": "management" }));
    let reads = json!({ "configure": "", "write": ".*", "read": ".*" });
    admin.done("PUT", "/api/permissions/%2F/reader", &reads);
    let reader = Admin::user(&broker, "reader", "pw");
    for act in ["pause", "resume"] {
        let (status, reason) = reader.refused("POST", &format!("{QUEUE}/{act}"), &Value::Null);
        assert!(status == 401 && reason.contains("configure access to queue 'orders'"), "{reason}");
    }
    let (status, reason) = admin.refused("POST", "/api/queues/%2F/own/pause", &Value::Null);
    assert!(status == 400 && reason.contains("locked queue 'own'"), "{status} {reason}");
    let text = complaint(&broker, &["queue", "pause", "nowhere"]);
    assert!(text.contains("no queue 'nowhere' in vhost '/'"), "{text}");
    assert_eq!(admin.get(QUEUE)["paused"], json!(false));
}
