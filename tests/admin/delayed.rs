//! Delayed messages as their operator sees them: the management API and `forebay delayed`.

use crate::command::{complaint, printed};
use crate::harness::broker::Broker;
use crate::harness::session::{
    Session, await_ready, confirmed, declare_named, get, persistent, publish_with, ready_count,
    table,
};
use crate::http::Admin;
use lapin::types::AMQPValue;
use serde_json::{Value, json};
use tempfile::TempDir;

const PATH: &str = "/api/queues/%2F/mails/delayed";
const HOUR_MS: i64 = 3_600_000;

/// A broker whose queue `mails` has messages that are due in one to `count` hours.
async fn with_delayed(count: i64) -> (Broker, Session, TempDir) {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "mails", <_>::default()).await;
    let channel = session.confirm_channel().await;
    for hours in (1..=count).rev() {
        let headers = table("x-delay", AMQPValue::LongLongInt(hours * HOUR_MS));
        let with = persistent().with_headers(headers);
        let body = format!("mail {hours}");
        confirmed(publish_with(&channel, "", "mails", body.as_bytes(), with).await).await;
    }
    (broker, session, data)
}

fn payloads(page: &Value) -> Vec<&str> {
    let messages = page["messages"].as_array().unwrap();
    messages.iter().map(|message| message["payload"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_cancels_and_delivers_by_the_api() {
    let (broker, session, _data) = with_delayed(5).await;
    let admin = Admin::guest(&broker);
    let first = admin.get(&format!("{PATH}?count=2"));
    assert_eq!(payloads(&first), ["mail 1", "mail 2"]);
    let due = first["messages"][0]["due_at"].as_u64().unwrap();
    assert_eq!(admin.get("/api/queues/%2F/mails")["next_delayed_due_at"].as_u64(), Some(due));
    let next = first["next"].as_str().unwrap();
    let second = admin.get(&format!("{PATH}?count=100&after={next}&truncate=4"));
    assert_eq!(payloads(&second), ["mail"; 3]);
    assert_eq!(second["next"], Value::Null);

    let id = |page: &Value, at: usize| page["messages"][at]["id"].as_str().unwrap().to_owned();
    let cancelled = format!("{PATH}/{}", id(&first, 0));
    assert_eq!(admin.done("DELETE", &cancelled, &Value::Null), json!({ "cancelled": 1 }));
    let (status, reason) = admin.refused("DELETE", &cancelled, &Value::Null);
    assert!(status == 404 && reason.contains("no delayed message 'after-"), "{reason}");
    let now = format!("{PATH}/{}/now", id(&first, 1));
    assert_eq!(admin.done("POST", &now, &Value::Null), json!({ "delivered": 1 }));
    await_ready(&session.channel, "mails", 1).await;
    assert_eq!(get(&session.channel, "mails").await.unwrap().data, b"mail 2");

    for path in ["/nonsense", "?count=0", "?count=1001", "?after=x", "?strange=1"] {
        let method = if path.starts_with('?') { "GET" } else { "DELETE" };
        let (status, _) = admin.refused(method, &format!("{PATH}{path}"), &Value::Null);
        assert_eq!(status, 400, "{path}");
    }
    assert_eq!(admin.refused("GET", "/api/queues/%2F/none/delayed", &Value::Null).0, 404);
    let delivered = admin.done("POST", &format!("{PATH}/now"), &Value::Null);
    assert_eq!(delivered, json!({ "delivered": 3 }));
    await_ready(&session.channel, "mails", 3).await;
    assert_eq!(admin.done("DELETE", PATH, &Value::Null), json!({ "cancelled": 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_cancels_and_delivers_by_the_command_line() {
    let (broker, session, data) = with_delayed(3).await;
    let listed = printed(&broker, &["delayed", "list", "mails", "--count", "2"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines.len() == 2 && lines[0].ends_with("6 bytes: mail 1"), "{listed}");
    assert!(lines[0].contains("  due 20") && lines[0].contains("(in 59m 5"), "{listed}");
    let id = lines[0].split(' ').next().unwrap();
    assert_eq!(printed(&broker, &["delayed", "now", "mails", id]), "mails: delivered 1 message\n");
    await_ready(&session.channel, "mails", 1).await;
    let gone = complaint(&broker, &["delayed", "cancel", "mails", id]);
    assert!(gone.contains("no delayed message"), "{gone}");
    let unsure = complaint(&broker, &["delayed", "cancel", "mails", "--all"]);
    assert!(unsure.contains("--yes"), "{unsure}");
    let all = printed(&broker, &["delayed", "cancel", "mails", "--all", "--yes", "--json"]);
    assert_eq!(all, "{\"cancelled\":2}\n");
    let none = printed(&broker, &["delayed", "list", "mails"]);
    assert_eq!(none, "no message of mails is delayed\n");
    // What was told is durable.
    broker.kill();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let queue = admin.get("/api/queues/%2F/mails");
    assert_eq!((&queue["messages_delayed"], &queue["messages"]), (&json!(0), &json!(1)));
    let session = Session::open_at(broker.address).await;
    assert_eq!(ready_count(&session.channel, "mails").await, 1);
}
