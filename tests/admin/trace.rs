//! The life of a message as its operator sees it: the management API and `forebay trace`.

use crate::command::{complaint, printed};
use crate::harness::broker::Broker;
use crate::harness::must;
use crate::harness::raw::{Raw, short};
use crate::harness::session::{
    Session, await_ready, confirmed, consume, declare_named, get, next, number, persistent,
    publish_with, table,
};
use crate::http::Admin;
use forebay_wire::Method;
use forebay_wire::method::{BasicConsume, BasicQos};
use lapin::options::{BasicAckOptions, BasicNackOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATH: &str = "/api/queues/%2F/orders/trace";

async fn tracing(messages: i32) -> (Broker, Session, TempDir) {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", table("x-trace", number(messages))).await;
    (broker, session, data)
}

/// Asks until the answer is so.
async fn await_answer(admin: &Admin, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let asked = async {
        loop {
            let answer = admin.get(path);
            if is_so(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    must(path, asked).await
}

async fn publish_named(session: &Session, id: &str) {
    let channel = session.confirm_channel().await;
    let with = persistent().with_message_id(id.into());
    confirmed(publish_with(&channel, "", "orders", b"two books", with).await).await;
}

fn names(message: &Value) -> Vec<&str> {
    let events = message["events"].as_array().unwrap();
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_followed_over_a_lost_consumer_to_its_acknowledgement() {
    let (broker, session, _data) = tracing(100).await;
    let admin = Admin::guest(&broker);
    publish_named(&session, "order-4711").await;
    publish_named(&session, "order-4712").await;
    let mut dying = Raw::open_channel(broker.address).await;
    dying.send(1, &BasicQos { prefetch_count: 1, ..<_>::default() }).await;
    assert!(matches!(dying.method().await, Method::BasicQosOk(_)));
    dying.send(1, &BasicConsume { queue: short("orders"), ..<_>::default() }).await;
    assert!(matches!(dying.method().await, Method::BasicConsumeOk(_)));
    assert!(matches!(dying.method().await, Method::BasicDeliver(_)));
    dying.abort();
    let mut consumer = consume(&session.channel, "orders").await;
    let again = loop {
        let delivery = next(&mut consumer).await;
        must("basic.ack", delivery.acker.ack(BasicAckOptions::default())).await.unwrap();
        if delivery.redelivered {
            break delivery;
        }
    };
    assert_eq!(again.properties.message_id().as_ref().unwrap().as_str(), "order-4711");
    let expected = ["published", "delivered", "came-back", "delivered", "acknowledged"];
    let path = format!("{PATH}?message-id=order-4711");
    let told = await_answer(&admin, &path, |told| names(&told["messages"][0]) == expected).await;
    let message = &told["messages"][0];
    assert_eq!(told["messages"].as_array().unwrap().len(), 1);
    assert_eq!((&told["messages_max"], &told["next"]), (&json!(100), &Value::Null));
    assert_eq!((&message["number"], &message["payload_bytes"]), (&json!(1), &json!(9)));
    assert_eq!((&message["exchange"], &message["routing_key"]), (&json!(""), &json!("orders")));
    let events = message["events"].as_array().unwrap();
    assert_eq!(events[0]["by"]["user"], "guest");
    let to = &events[1]["to"];
    assert!(to["connection"].as_str().unwrap().starts_with("127.0.0.1:"), "{to}");
    assert_ne!(to["connection"], events[3]["to"]["connection"]);
    assert_eq!(events[2]["reason"], "connection-lost");
    assert_eq!((&events[3]["attempt"], &events[3]["redelivered"]), (&json!(2), &json!(true)));
    let times: Vec<u64> = events.iter().map(|event| event["at_ms"].as_u64().unwrap()).collect();
    assert!(times[0] >= told["since_ms"].as_u64().unwrap());
    assert!(times.is_sorted(), "{times:?}");
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_tells_the_story_and_where_the_dead_letter_is() {
    let (broker, session, _data) = tracing(100).await;
    let admin = Admin::guest(&broker);
    publish_named(&session, "order-4711").await;
    let delivery = get(&session.channel, "orders").await.unwrap();
    let reject = BasicNackOptions { requeue: false, multiple: false };
    must("basic.nack", delivery.acker.nack(reject)).await.unwrap();
    // The queue is there once the broker has made it.
    await_answer(&admin, PATH, |told| names(&told["messages"][0]).last() == Some(&"dead-lettered"))
        .await;
    await_ready(&session.channel, "orders.dlq", 1).await;
    let text = printed(&broker, &["trace", "orders", "--message-id", "order-4711"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("orders: 1 of the last 100 messages at most, kept since 20"),
        "{text}"
    );
    assert!(lines[2].starts_with("#1  message-id order-4711, 9 bytes, published to"), "{text}");
    assert!(lines[3].contains("published by guest, 127.0.0.1:"), "{text}");
    assert!(
        lines[4].contains(" ms  delivered to guest") && lines[4].contains("by basic.get"),
        "{text}"
    );
    assert!(lines[5].ends_with("rejected"), "{text}");
    assert!(lines[6].ends_with("died: rejected"), "{text}");
    assert!(lines[7].contains("dead letter in 'orders.dlq'"), "{text}");
    let json: Value =
        serde_json::from_str(&printed(&broker, &["trace", "orders", "--output", "json"])).unwrap();
    let expected = ["published", "delivered", "rejected", "died", "dead-lettered"];
    assert_eq!(names(&json["messages"][0]), expected);
    assert_eq!(json["messages"][0]["events"][4]["queues"], json!(["orders.dlq"]));
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_page_is_told_page_by_page_in_the_order_in_which_it_began() {
    let (broker, session, _data) = tracing(10_000).await;
    let admin = Admin::guest(&broker);
    let channel = session.confirm_channel().await;
    let mut last = None;
    for number in 0..2_500 {
        let with = persistent().with_message_id(number.to_string().into());
        last = Some(publish_with(&channel, "", "orders", b"x", with).await);
    }
    confirmed(last.unwrap()).await;
    let (mut seen, mut path) = (Vec::new(), format!("{PATH}?limit=1000"));
    loop {
        let page = admin.get(&path);
        let ids = page["messages"].as_array().unwrap().iter();
        seen.extend(ids.map(|message| message["message_id"].as_str().unwrap().to_owned()));
        match page["next"].as_u64() {
            Some(next) => path = format!("{PATH}?limit=1000&before={next}"),
            None => break,
        }
    }
    assert!(
        seen.iter().eq((0..2_500)
            .rev()
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .iter())
    );
    let told = printed(&broker, &["trace", "orders", "--count", "1500", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let ids = told["messages"].as_array().unwrap();
    assert_eq!((ids.len(), &ids[1_499]["message_id"]), (1_500, &json!("2499")));
    let found = admin.get(&format!("{PATH}?message-id=7"));
    assert_eq!(found["messages"].as_array().unwrap().len(), 1);
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_switches_it_on_and_off_and_what_is_wrong_is_named() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    admin.done("PUT", "/api/queues/%2F/orders", &json!({ "durable": true }));
    let (status, reason) = admin.refused("GET", PATH, &Value::Null);
    assert!(
        status == 400 && reason.contains("keeps no trace: declare it with 'x-trace'"),
        "{reason}"
    );
    assert!(complaint(&broker, &["trace", "orders"]).contains("keeps no trace"));
    let policy = "/api/policies/%2F/look";
    let definition =
        json!({ "pattern": "^orders$", "apply-to": "queues", "definition": { "trace": 5 } });
    admin.done("PUT", policy, &definition);
    let queue = await_answer(&admin, "/api/queues/%2F/orders", |queue| {
        let mut settings = queue["settings"].as_array().unwrap().iter();
        settings.any(|setting| setting["name"] == "trace")
    });
    let queue = queue.await;
    let settings = queue["settings"].as_array().unwrap();
    let setting = settings.iter().find(|setting| setting["name"] == "trace").unwrap();
    assert_eq!((&setting["value"], &setting["policy"]), (&json!(5), &json!("look")));
    publish_named(&session, "m").await;
    assert_eq!(admin.get(PATH)["messages"][0]["message_id"], "m");
    admin.done("DELETE", policy, &Value::Null);
    await_answer(&admin, "/api/queues/%2F/orders", |queue| queue["policy"].is_null()).await;
    assert_eq!(admin.refused("GET", PATH, &Value::Null).0, 400);

    for (value, allowed) in [(json!(0), "from 1 to 10000"), (json!("all"), "from 1 to 10000")] {
        let body = json!({ "arguments": { "x-trace": value } });
        let (status, reason) = admin.refused("PUT", "/api/queues/%2F/bad", &body);
        assert!(
            status == 400 && reason.contains("x-trace") && reason.contains(allowed),
            "{reason}"
        );
    }
    let bad = json!({ "pattern": "^q$", "definition": { "trace": 10_001 } });
    let (status, reason) = admin.refused("PUT", "/api/policies/%2F/bad", &bad);
    assert!(
        status == 400 && reason.contains("trace") && reason.contains("from 1 to 10000"),
        "{reason}"
    );
    for (query, named) in [("limit=0", "limit: 0, expected 1 to 1000"), ("before=x", "before")] {
        let (status, reason) = admin.refused("GET", &format!("{PATH}?{query}"), &Value::Null);
        assert!(status == 400 && reason.contains(named), "{query}: {reason}");
    }
    assert_eq!(admin.refused("GET", "/api/queues/%2F/nowhere/trace", &Value::Null).0, 404);
    session.close().await;
}
