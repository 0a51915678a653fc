//! What autoscalers ask for: KEDA's RabbitMQ scaler over HTTP (a queue, or all whose names match)
//! and over AMQP (a passive declare).

use crate::harness::broker::Broker;
use crate::harness::must;
use crate::harness::session::{
    Session, consume, declare_named, fill, next, passive, prefetch, publish,
};
use crate::http::Admin;
use serde_json::Value;
use std::time::Duration;
use tempfile::TempDir;

/// The figures that the scaler reads, as the types that it reads them into.
fn figures(queue: &Value) -> (String, u64, u64, u64) {
    let whole = |name: &str| queue[name].as_u64().unwrap();
    assert!(queue["message_stats"]["publish_details"]["rate"].is_f64(), "{queue}");
    assert!(queue["message_stats"]["deliver_get_details"]["rate"].is_f64(), "{queue}");
    let name = queue["name"].as_str().unwrap().to_owned();
    (name, whole("messages"), whole("messages_ready"), whole("messages_unacknowledged"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scaler_reads_lengths_of_one_queue_and_of_those_that_match() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    for queue in ["orders", "orders/express", "other"] {
        declare_named(&session.channel, queue, <_>::default()).await;
        fill(&session, queue, &["1", "2", "3"]).await;
    }
    prefetch(&session.channel, 1).await;
    let mut consumer = consume(&session.channel, "orders").await;
    next(&mut consumer).await;

    let admin = Admin::guest(&broker);
    let orders = ("orders".to_owned(), 3, 2, 1);
    assert_eq!(figures(&admin.get("/api/queues/%2F/orders")), orders);
    let express = ("orders/express".to_owned(), 3, 3, 0);
    assert_eq!(figures(&admin.get("/api/queues/%2F/orders%2Fexpress")), express);
    let page = admin
        .get("/api/queues/%2F?page=1&use_regex=true&pagination=false&name=%5Eorders&page_size=100");
    assert_eq!(page["page_count"], 1);
    let found: Vec<_> = page["items"].as_array().unwrap().iter().map(figures).collect();
    assert_eq!(found, [orders, express]);
    assert_eq!(admin.ask("GET", "/api/queues/%2F/nowhere", &Value::Null).status, 404);

    let declared = passive(&session.channel, "orders").await;
    assert_eq!((declared.message_count(), declared.consumer_count()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_of_publishing_is_known_to_the_first_who_asks() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", <_>::default()).await;
    let channel = session.confirm_channel().await;
    let publishing = tokio::spawn(async move {
        loop {
            publish(&channel, "", "orders", "x").await.await.unwrap();
        }
    });
    let _consumer = consume(&session.channel, "orders").await;
    // The broker looks at its queues by itself; it has when it knows that the consumer has room.
    let room = "forebay_queue_consumer_utilisation_ratio{vhost=\"/\",queue=\"orders\"}";
    let looked = async {
        while broker.metric(room) == 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    must("a look at the queues", looked).await;
    let queue = Admin::guest(&broker).get("/api/queues/%2F/orders");
    let rate = |name: &str| queue["message_stats"][name]["rate"].as_f64().unwrap();
    assert!(rate("publish_details") > 0.0, "{queue}");
    publishing.abort();
}
