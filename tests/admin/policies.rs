//! Policies and operator policies as clients feel them, set and taken away while the queues have
//! messages.

use crate::command::printed;
use crate::harness::broker::Broker;
use crate::harness::session::{
    Session, await_ready, confirmed, declare_named, drain, fill, get, number, publish, table,
};
use crate::harness::{must, session};
use crate::http::Admin;
use lapin::Confirmation;
use lapin::options::BasicRejectOptions;
use serde_json::{Value, json};
use tempfile::TempDir;

fn broker() -> (Broker, TempDir) {
    let data = TempDir::new().unwrap();
    (Broker::start(data.path()), data)
}

fn set(admin: &Admin, name: &str, definition: &Value) {
    let policy = json!({ "pattern": "^work$", "apply-to": "queues", "definition": definition });
    admin.done("PUT", &format!("/api/policies/%2F/{name}"), &policy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_takes_hold_of_a_queue_that_is_there_and_lets_go_of_it() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, "work", <_>::default()).await;
    fill(&session, "work", &["1", "2", "3"]).await;

    set(&admin, "p", &json!({ "max-length": 2 }));
    await_ready(&channel, "work", 2).await;
    assert_eq!(admin.get("/api/queues/%2F/work")["policy"], "p");
    set(&admin, "p", &json!({ "max-length": 2, "overflow": "reject-publish" }));
    let refused = publish(&channel, "", "work", "4").await;
    assert_eq!(must("confirm", refused).await.unwrap(), Confirmation::Nack(None));

    admin.done("DELETE", "/api/policies/%2F/p", &Value::Null);
    confirmed(publish(&channel, "", "work", "4").await).await;
    assert_eq!(drain(&channel, "work").await, ["2", "3", "4"]);

    // A time to live reaches what is there already.
    fill(&session, "work", &["old"]).await;
    set(&admin, "p", &json!({ "message-ttl": 1 }));
    await_ready(&channel, "work", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_names_the_dead_letter_exchange_and_the_delivery_limit() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    let channel = &session.channel;
    for queue in ["work", "grave"] {
        declare_named(channel, queue, <_>::default()).await;
    }
    session::bind(channel, "grave", "amq.fanout", "").await;
    set(&admin, "p", &json!({ "dead-letter-exchange": "amq.fanout", "delivery-limit": 1 }));
    fill(&session, "work", &["bad"]).await;
    let bad = get(channel, "work").await.unwrap();
    bad.delivery.acker.reject(BasicRejectOptions { requeue: true }).await.unwrap();
    await_ready(channel, "grave", 1).await;
    let list = printed(&broker, &["dlq", "list"]);
    assert!(
        list.contains("grave: 1 messages") && list.contains("1 delivery_limit in work"),
        "{list}"
    );
    admin.done("DELETE", "/api/policies/%2F/p", &Value::Null);
    fill(&session, "work", &["bad"]).await;
    let bad = get(channel, "work").await.unwrap();
    bad.delivery.acker.reject(BasicRejectOptions { requeue: true }).await.unwrap();
    await_ready(channel, "work", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_argument_policy_and_operator_policy_the_tightest_limit_holds() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    let channel = &session.channel;
    declare_named(channel, "work", table("x-max-length", number(4))).await;
    set(&admin, "p", &json!({ "max-length": 5 }));
    fill(&session, "work", &["1", "2", "3", "4", "5", "6"]).await;
    await_ready(channel, "work", 4).await;
    set(&admin, "p", &json!({ "max-length": 3 }));
    await_ready(channel, "work", 3).await;
    let definition = json!({ "max-length": 2 });
    let policy = json!({ "pattern": ".*", "apply-to": "queues", "definition": definition });
    admin.done("PUT", "/api/operator-policies/%2F/o", &policy);
    await_ready(channel, "work", 2).await;
    let queue = admin.get("/api/queues/%2F/work");
    assert_eq!((&queue["policy"], &queue["operator_policy"]), (&json!("p"), &json!("o")));
    assert_eq!(drain(channel, "work").await, ["5", "6"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_policies_the_one_of_the_highest_priority_holds() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "work", <_>::default()).await;
    for (name, priority) in [("low", 1), ("high", 2)] {
        let definition = json!({ "max-length": priority });
        let policy = json!({ "pattern": "^w", "definition": definition, "priority": priority });
        admin.done("PUT", &format!("/api/policies/%2F/{name}"), &policy);
    }
    fill(&session, "work", &["1", "2", "3"]).await;
    await_ready(&session.channel, "work", 2).await;
    admin.done("DELETE", "/api/policies/%2F/high", &Value::Null);
    await_ready(&session.channel, "work", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_gets_its_alternate_from_a_policy() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    let channel = &session.channel;
    let exchange = session::declare_exchange(channel, "x", lapin::ExchangeKind::Direct).await;
    declare_named(channel, "rest", <_>::default()).await;
    session::bind(channel, "rest", "amq.fanout", "").await;
    let definition = json!({ "alternate-exchange": "amq.fanout" });
    let policy = json!({ "pattern": "^x", "apply-to": "exchanges", "definition": definition });
    admin.done("PUT", "/api/policies/%2F/p", &policy);
    publish(channel, &exchange, "nowhere", "caught").await;
    await_ready(channel, "rest", 1).await;
}

#[test]
fn a_wrong_policy_is_refused_with_the_path_of_its_field() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    let put = |path: &str, policy: &Value| {
        let (status, reason) = admin.refused("PUT", path, policy);
        assert_eq!(status, 400);
        reason
    };
    let with = |definition: Value| json!({ "pattern": "q", "definition": definition });
    let reason = put("/api/policies/%2F/p", &with(json!({ "max-length": "many" })));
    assert!(reason.starts_with("definition.max-length: 'many'"), "{reason}");
    let reason = put("/api/policies/%2F/p", &with(json!({ "max-lenght": 1 })));
    assert!(reason.starts_with("definition.max-lenght: expected one of"), "{reason}");
    let reason =
        put("/api/policies/%2F/p", &json!({ "pattern": "(", "definition": { "expires": 1 } }));
    assert!(reason.starts_with("pattern: "), "{reason}");
    let reason = put("/api/operator-policies/%2F/p", &with(json!({ "dead-letter-exchange": "x" })));
    assert!(reason.starts_with("definition.dead-letter-exchange: expected one of"), "{reason}");
    assert_eq!(admin.get("/api/policies"), json!([]));
}
