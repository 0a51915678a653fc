//! Dead letters as their operator sees them: `forebay dlq` and what it stands on.

use crate::command::{complaint, printed};
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::session::{
    Session, await_ready, declare_named, drain, get, number, persistent, publish_with, string,
    table, text,
};
use crate::http::Admin;
use lapin::options::BasicRejectOptions;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

const PATH: &str = "/api/forebay/dead-letters/%2F/orders.dlq";

/// A broker whose queue `orders` has rejected five messages: `order 0` to `order 4`, the third
/// of them with the header `customer: 7`.
async fn with_five_rejected() -> (Broker, Session, TempDir) {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = &session.channel;
    declare_named(channel, "orders", <_>::default()).await;
    for order in 0..5 {
        let headers = match order {
            2 => table("customer", number(7)),
            _ => table("customer", string("somebody")),
        };
        let properties = persistent().with_headers(headers).with_message_id("id".into());
        publish_with(channel, "", "orders", format!("order {order}").as_bytes(), properties).await;
    }
    reject_all(&session).await;
    (broker, session, data)
}

async fn reject_all(session: &Session) {
    while let Some(message) = get(&session.channel, "orders").await {
        message.delivery.acker.reject(BasicRejectOptions { requeue: false }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_died_and_sends_it_back() {
    let (broker, session, _data) = with_five_rejected().await;
    let channel = &session.channel;
    await_ready(channel, "orders.dlq", 5).await;
    let list = printed(&broker, &["dlq", "list"]);
    assert!(list.starts_with("orders.dlq: 5 messages, the oldest "), "{list}");
    assert!(list.contains("\n    5 rejected in orders\n"), "{list}");
    let url = format!("http://{}/", broker.admin);
    let list = printed(&broker, &["dlq", "list", "--admin", &url]);
    assert!(list.starts_with("orders.dlq: 5 messages"), "{list}");

    let peeked = printed(&broker, &["dlq", "peek", "orders.dlq", "-n", "2"]);
    assert!(peeked.starts_with("0:0  rejected in orders\n"), "{peeked}");
    assert!(peeked.contains("    customer: somebody\n    7 bytes: order 0\n"), "{peeked}");
    assert!(peeked.contains("order 1") && !peeked.contains("order 2"), "{peeked}");

    let dry = printed(&broker, &["dlq", "redrive", "orders.dlq", "--dry-run"]);
    assert_eq!(dry, "orders.dlq: 5 messages would go back, 0 stay\n    5 rejected in orders\n");
    await_ready(channel, "orders.dlq", 5).await;

    let one = ["dlq", "redrive", "orders.dlq", "--header", "customer=7"];
    assert!(printed(&broker, &one).starts_with("orders.dlq: 1 messages went back, 0 stay\n"));
    assert_eq!(drain(channel, "orders").await, ["order 2"]);
    let one = ["dlq", "redrive", "orders.dlq", "--position", "0:3"];
    assert!(printed(&broker, &one).starts_with("orders.dlq: 1 messages went back, 0 stay\n"));
    assert_eq!(drain(channel, "orders").await, ["order 3"]);

    let rest = printed(&broker, &["dlq", "redrive", "orders.dlq", "--rate", "100/s"]);
    assert!(rest.starts_with("orders.dlq: 3 messages went back, 0 stay\n"), "{rest}");
    let back = get(channel, "orders").await.unwrap();
    assert!(!back.delivery.redelivered);
    assert_eq!(back.properties.message_id().as_ref().map(|id| id.as_str()), Some("id"));
    assert!(back.properties.headers().as_ref().unwrap().inner().contains_key("x-death"));
    back.delivery.acker.ack(<_>::default()).await.unwrap();
    assert_eq!(drain(channel, "orders").await, ["order 1", "order 4"]);
    assert_eq!(printed(&broker, &["dlq", "list"]), "orders.dlq: 0 messages\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_over_many_does_not_meet_those_that_come_back() {
    let (broker, session, _data) = with_five_rejected().await;
    // A rejected message is in the queue of dead letters when its commit is done, and the walk is over those that it finds.
    await_ready(&session.channel, "orders.dlq", 5).await;
    let admin = Admin::guest(&broker);
    let mut body = json!({ "count": 2 });
    let mut redriven = 0;
    loop {
        let step = admin.done("POST", &format!("{PATH}/redrive"), &body);
        redriven += step["redriven"].as_u64().unwrap();
        reject_all(&session).await;
        body["runs"] = step["rest"].clone();
        if step["rest"].as_array().unwrap().is_empty() {
            break;
        }
    }
    assert_eq!(redriven, 5);
    await_ready(&session.channel, "orders.dlq", 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_way_back_is_told_and_stays() {
    let (broker, session, _data) = with_five_rejected().await;
    let channel = &session.channel;
    await_ready(channel, "orders.dlq", 5).await;
    channel.queue_delete("orders".into(), <_>::default()).await.unwrap();
    let gone = printed(&broker, &["dlq", "redrive", "orders.dlq"]);
    let expected =
        "orders.dlq: 0 messages went back, 5 stay\n    5 rejected in orders, which is gone\n";
    assert_eq!(gone, expected);
    declare_named(channel, "orders", table("x-max-length", number(2))).await;
    let full = printed(&broker, &["dlq", "redrive", "orders.dlq"]);
    assert!(full.starts_with("orders.dlq: 2 messages went back, 3 stay\n"), "{full}");
    assert!(full.contains("    3 rejected in orders, which has no room\n"), "{full}");
    await_ready(channel, "orders", 2).await;
    await_ready(channel, "orders.dlq", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dropped_without_a_word() {
    let (broker, session, _data) = with_five_rejected().await;
    let channel = &session.channel;
    await_ready(channel, "orders.dlq", 5).await;
    let text = complaint(&broker, &["dlq", "purge", "orders.dlq"]);
    assert!(text.contains("--yes"), "{text}");
    await_ready(channel, "orders.dlq", 5).await;
    let text = printed(&broker, &["dlq", "purge", "orders.dlq", "--yes"]);
    assert!(text.contains("dropped the 5 messages"), "{text}");
    await_ready(channel, "orders.dlq", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_makes_no_sense_is_refused_with_the_field() {
    let (broker, _session, _data) = with_five_rejected().await;
    let admin = Admin::guest(&broker);
    for (body, expected) in [
        (json!({ "count": 0 }), "count: 0, expected 1 to 1000"),
        (json!({ "count": 1001 }), "count: 1001, expected 1 to 1000"),
        (json!({ "runs": [[0, 2, 1]] }), "runs: [[0,2,1]], expected"),
        (json!({ "runs": 5 }), "runs: 5, expected"),
        (json!({ "reason": 1 }), "reason: 1, expected a string"),
        (
            json!({ "header": { "a": "1", "b": "2" } }),
            "header: {\"a\":\"1\",\"b\":\"2\"}, expected",
        ),
        (json!({ "dry_run": "maybe" }), "dry_run: \"maybe\", expected true or false"),
        (json!({ "rate": 0 }), "rate: 0, expected 1 to 1000000 a second"),
        (json!({ "rate": 5, "count": 9 }), "count: has no effect beside rate"),
        (json!({ "rate": 5, "dry_run": true }), "dry_run: has no effect beside rate"),
    ] {
        let (status, reason) = admin.refused("POST", &format!("{PATH}/redrive"), &body);
        assert_eq!(status, 400);
        assert!(reason.starts_with(expected), "{reason}");
    }
    let missing = "/api/forebay/dead-letters/%2F/none/redrive";
    assert_eq!(admin.refused("POST", missing, &Value::Null).0, 404);
    assert!(complaint(&broker, &["dlq", "peek", "none"]).contains("'none'"));
}

/// Waits until the redrive at a rate of `orders.dlq` is in a state.
async fn await_redrive(admin: &Admin, state: &str) -> Value {
    let reached = async {
        loop {
            let redrive = admin.get(&format!("{PATH}/redrive"));
            if redrive["state"] == state {
                return redrive;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    must(state, reached).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_goes_on_with_a_redrive_at_a_rate_and_tells_how_far_it_is() {
    let (broker, session, _data) = with_five_rejected().await;
    await_ready(&session.channel, "orders.dlq", 5).await;
    let admin = Admin::guest(&broker);
    let redrive = format!("{PATH}/redrive");
    assert_eq!(admin.get(&redrive), Value::Null);
    let begun = admin.ask("POST", &redrive, &json!({ "rate": 100, "header": { "customer": "7" } }));
    assert_eq!((begun.status, &begun.json["messages"]), (202, &json!(5)));
    let done = await_redrive(&admin, "done").await;
    let counts = ["examined", "redriven", "stayed", "skipped"].map(|field| done[field].as_u64());
    assert_eq!(counts, [Some(5), Some(1), Some(0), Some(0)]);
    assert_eq!((&done["by"], &done["rate"]), (&json!("guest"), &json!(100)));
    assert!(done["ended"].as_u64() >= done["since"].as_u64());
    assert_eq!(drain(&session.channel, "orders").await, ["order 2"]);
    assert_eq!(admin.get(PATH)["redrive"], done);
    broker.log_line(|line| line.contains("act=\"redrive\"") && line.contains("messages=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_at_a_rate_is_stopped_and_only_one_of_a_queue_goes_on() {
    let (broker, session, _data) = with_five_rejected().await;
    await_ready(&session.channel, "orders.dlq", 5).await;
    let admin = Admin::guest(&broker);
    let redrive = format!("{PATH}/redrive");
    admin.done("POST", &redrive, &json!({ "rate": 1 }));
    let (status, reason) = admin.refused("POST", &redrive, &json!({ "rate": 1 }));
    assert!(status == 400 && reason.contains("is being redriven; stop that first"), "{reason}");
    await_ready(&session.channel, "orders", 1).await;
    admin.done("DELETE", &redrive, &Value::Null);
    let stopped = await_redrive(&admin, "stopped").await;
    let redriven = stopped["redriven"].as_u64().unwrap();
    assert!((1..5).contains(&redriven), "{stopped}");
    await_ready(&session.channel, "orders", redriven as u32).await;
    await_ready(&session.channel, "orders.dlq", 5 - redriven as u32).await;
    // The rest goes when it is asked for again.
    let detached = ["dlq", "redrive", "orders.dlq", "--rate", "1000000/s", "--detach"];
    let begun = printed(&broker, &detached);
    assert!(begun.starts_with("orders.dlq: running, 0 messages went back"), "{begun}");
    await_redrive(&admin, "done").await;
    let told = printed(&broker, &["dlq", "progress", "orders.dlq"]);
    assert!(told.starts_with("orders.dlq: done, ") && told.ends_with("by guest\n"), "{told}");
    await_ready(&session.channel, "orders", 5).await;
    let text = complaint(&broker, &["dlq", "stop", "orders"]);
    assert!(text.contains("no redrive at a rate of queue 'orders'"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_at_a_rate_waits_while_an_alarm_holds_publishers() {
    let (mut broker, session, data) = with_five_rejected().await;
    await_ready(&session.channel, "orders.dlq", 5).await;
    broker.terminate();
    assert!(broker.wait().success());
    // More free space than any disk has.
    let short = Launch::on(data.path()).argument("--disk-free-limit").argument("1024TiB");
    let broker = Broker::launch(&short);
    let admin = Admin::guest(&broker);
    let redrive = format!("{PATH}/redrive");
    assert_eq!(admin.refused("POST", &redrive, &Value::Null).0, 503, "an alarm is on");
    admin.done("POST", &redrive, &json!({ "rate": 100 }));
    let waiting = await_redrive(&admin, "waiting").await;
    assert!(waiting["reason"].as_str().unwrap().contains("disk"), "{waiting}");
    assert_eq!((&waiting["redriven"], &waiting["ended"]), (&json!(0), &Value::Null));
    admin.done("DELETE", &redrive, &Value::Null);
    await_redrive(&admin, "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_at_a_rate_ends_when_its_user_may_not_any_more() {
    let (broker, session, _data) = with_five_rejected().await;
    await_ready(&session.channel, "orders.dlq", 5).await;
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/users/eve", &json!({ "password": "pw", "tags": "management" }));
    let all = json!({ "configure": "", "write": ".*", "read": ".*" });
    admin.done("PUT", "/api/permissions/%2F/eve", &all);
    let eve = Admin::user(&broker, "eve", "pw");
    eve.done("POST", &format!("{PATH}/redrive"), &json!({ "rate": 1 }));
    admin.done("DELETE", "/api/users/eve", &Value::Null);
    let failed = await_redrive(&admin, "failed").await;
    assert!(failed["reason"].as_str().unwrap().contains("user 'eve'"), "{failed}");
    assert!(failed["redriven"].as_u64() < Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_read_or_write_sends_nothing_back() {
    let (broker, session, _data) = with_five_rejected().await;
    await_ready(&session.channel, "orders.dlq", 5).await;
    let admin = Admin::guest(&broker);
    let user = Admin::user(&broker, "eve", "pw");
    admin.done("PUT", "/api/users/eve", &json!({ "password": "pw", "tags": "management" }));
    let grant = |write: &str, read: &str| {
        let permission = json!({ "configure": "", "write": write, "read": read });
        admin.done("PUT", "/api/permissions/%2F/eve", &permission);
    };
    let redrive = format!("{PATH}/redrive");
    grant("amq\\.default", "");
    let (status, reason) = user.refused("POST", &redrive, &Value::Null);
    assert_eq!(status, 401);
    assert!(reason.contains("read access to queue 'orders.dlq' in vhost '/' refused"), "{reason}");
    grant("", "orders");
    let (status, reason) = user.refused("POST", &redrive, &Value::Null);
    assert_eq!(status, 401);
    assert!(reason.contains("write access to exchange 'amq.default'"), "{reason}");
    grant("amq\\.default", "orders");
    assert_eq!(user.done("POST", &redrive, &Value::Null)["redriven"], 5);
}

/// An `x-death` as whoever publishes a message can write it: it died in `queue`.
fn claimed_death(queue: &str) -> FieldTable {
    let keys = AMQPValue::FieldArray(vec![string("stolen")].into());
    let mut entry = FieldTable::default();
    for (name, value) in [
        ("count", AMQPValue::LongLongInt(1)),
        ("reason", string("rejected")),
        ("queue", string(queue)),
        ("exchange", string("payments")),
        ("routing-keys", keys),
    ] {
        entry.insert(name.into(), value);
    }
    table("x-death", AMQPValue::FieldArray(vec![AMQPValue::FieldTable(entry)].into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_publisher_claims_of_a_death_moves_no_message() {
    let (mut broker, session, data) = with_five_rejected().await;
    let channel = &session.channel;
    declare_named(channel, "payroll", <_>::default()).await;
    await_ready(channel, "orders.dlq", 5).await;
    // One is put among the dead letters, the other one dies with its claim in its headers.
    let claims = |queue| persistent().with_headers(claimed_death(queue));
    publish_with(channel, "", "orders.dlq", b"forged", claims("payroll")).await;
    publish_with(channel, "", "orders", b"own queue", claims("orders")).await;
    reject_all(&session).await;
    await_ready(channel, "orders.dlq", 7).await;
    session.close().await;
    broker.terminate();
    assert!(broker.wait().success());

    // What the broker knows of its dead letters outlives it.
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = &session.channel;
    let peeked = printed(&broker, &["dlq", "peek", "orders.dlq"]);
    assert!(peeked.contains("  says itself: rejected in payroll\n"), "{peeked}");
    assert!(peeked.contains("  rejected in orders, 2 times\n"), "{peeked}");
    let admin = Admin::guest(&broker);
    let counted = admin.done("POST", &format!("{PATH}/redrive"), &json!({ "dry_run": true }));
    assert_eq!((&counted["stayed"], &counted["skipped"]), (&json!(1), &json!(1)), "{counted}");
    let claimed = counted["deaths"].as_array().unwrap().iter();
    let claimed: Vec<_> = claimed.filter(|death| death["queue"] == "payroll").collect();
    assert_eq!(claimed.len(), 1, "{counted}");
    assert_eq!(claimed[0]["way_back"], "unproven");
    let said = printed(&broker, &["dlq", "redrive", "orders.dlq"]);
    assert_eq!(
        said,
        "orders.dlq: 6 messages went back, 1 stay (1 skipped)\n    \
         6 rejected in orders\n    \
         1 rejected in payroll, says an x-death that this broker did not write\n"
    );
    await_ready(channel, "payroll", 0).await;
    await_ready(channel, "orders.dlq", 1).await;
    // With the exchange and the key that it really had, and with the header that clients count by.
    let mut back = Vec::new();
    while let Some(message) = get(channel, "orders").await {
        let delivery = &message.delivery;
        if delivery.data == b"own queue" {
            let from = (delivery.exchange.as_str(), delivery.routing_key.as_str());
            assert_eq!(from, ("", "orders"));
            let headers = delivery.properties.headers().as_ref().unwrap();
            assert_eq!(death_count(headers), Some(2));
        }
        back.push(text(&message.delivery));
    }
    assert_eq!(back.len(), 6, "{back:?}");
    assert!(back.contains(&"own queue".to_owned()), "{back:?}");

    // Who knows where they come from can have such headers believed.
    let said = printed(&broker, &["dlq", "redrive", "orders.dlq", "--trust-headers"]);
    assert!(said.starts_with("orders.dlq: 1 messages went back, 0 stay\n"), "{said}");
    assert_eq!(drain(channel, "payroll").await, ["forged"]);
}

fn death_count(headers: &FieldTable) -> Option<i64> {
    let AMQPValue::FieldArray(deaths) = headers.inner().get("x-death")? else { return None };
    let AMQPValue::FieldTable(death) = deaths.as_slice().first()? else { return None };
    match death.inner().get("count")? {
        AMQPValue::LongLongInt(count) => Some(*count),
        _ => None,
    }
}
