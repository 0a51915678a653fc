//! One damaged page does not take every queue down: its queue is set aside, the others go on, and so it
//! stays over a restart, until the operator does something about it.

use crate::commands::{forebay, found, missing};
use crate::damaged_page::{flip, flip_orders, tables_with_orders};
use crate::ground::{copy, drain, ground};
use crate::harness::broker::Broker;
use crate::harness::http::Admin;
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::session::{Session, consume, declare, next, publish};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicGetOptions};
use lapin::{Channel, Confirmation};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const DAMAGED: &str = "forebay_queues_damaged";
const LAG: &str = "forebay_queue_lag_messages{vhost=\"/\",queue=\"orders\"}";
const UNACKED: &str = "forebay_queue_messages_unacked{vhost=\"/\",queue=\"orders\"}";
const SERIES: &str = "forebay_queue_damaged{vhost=\"/\",queue=\"orders\"}";

fn launch(directory: &Path) -> Broker {
    Broker::launch(&Launch::on(directory).argument("--scrub-rate").argument("0"))
}

/// Consumes `orders` until its consumer is cancelled; what was delivered before.
async fn meet_damage(channel: &Channel) -> Vec<Delivery> {
    let mut consumer = consume(channel, "orders").await;
    let mut deliveries = Vec::new();
    while let Some(delivery) = must("a delivery or a cancel", consumer.next()).await {
        deliveries.push(delivery.unwrap());
    }
    deliveries
}

/// Why a channel of its own may neither consume nor get.
async fn refusals(session: &Session) -> [String; 2] {
    let (consumer, get) = (session.channel().await, session.channel().await);
    let options = BasicConsumeOptions::default();
    let consume = consumer.basic_consume("orders".into(), "".into(), options, <_>::default());
    let consumed = must("basic.consume", consume).await.unwrap_err();
    let get = get.basic_get("orders".into(), BasicGetOptions::default());
    [consumed.to_string(), must("basic.get", get).await.unwrap_err().to_string()]
}

/// Publishes one message; whether the broker took it.
async fn is_taken(session: &Session, queue: &str, body: &str) -> bool {
    let channel = session.confirm_channel().await;
    let confirm = publish(&channel, "", queue, body).await;
    matches!(must("a confirm", confirm).await.unwrap(), Confirmation::Ack(_))
}

fn queue(broker: &Broker, name: &str) -> Value {
    let list = forebay(&["queue", "list", "--json"], broker).success();
    let list: Value = serde_json::from_str(&list).unwrap();
    let mut queues = list.as_array().unwrap().iter();
    queues.find(|queue| queue["name"] == name).unwrap().clone()
}

fn bodies(deliveries: &[Delivery]) -> BTreeSet<String> {
    let text = |delivery: &Delivery| String::from_utf8(delivery.data.clone()).unwrap();
    deliveries.iter().map(text).collect()
}

#[tokio::test]
async fn a_damaged_page_sets_its_queue_aside_and_the_others_go_on() {
    let (_parent, directory) = copy();
    flip_orders(&directory);
    let mut broker = launch(&directory);
    let session = Session::open_at(broker.address).await;
    let other = declare(&session.channel, "other").await;
    let mut others = consume(&session.channel, &other).await;
    let mut parcels = consume(&session.channel().await, "parcels").await;
    let parcels_count = ground().queues["parcels"].len();

    let held = meet_damage(&session.channel).await;
    broker.log_line(|line| {
        line.contains("queue 'orders' in vhost '/', file fjall/keyspaces/1/tables/")
            && line.contains("is set aside")
            && line.contains("forebay repair --accept-loss")
    });
    assert!(held.len() < ground().queues["orders"].len());
    broker.await_metric(DAMAGED, 1.0).await;
    assert_eq!(broker.metric(SERIES), 1.0);
    assert_eq!(queue(&broker, "orders")["state"], "crashed");
    assert_eq!(queue(&broker, "parcels")["state"], "running");
    for refusal in refusals(&session).await {
        assert!(refusal.contains("NOT_FOUND") && refusal.contains("'orders'"), "{refusal}");
        assert!(refusal.contains("forebay verify") && refusal.contains("repair"), "{refusal}");
    }
    assert!(!is_taken(&session, "orders", "refused").await);

    // A consumer of another queue, on the channel that met the damage, sees nothing of it.
    assert!(is_taken(&session, &other, "delivered").await);
    let delivery = next(&mut others).await;
    assert_eq!(delivery.data, b"delivered");
    delivery.ack(<_>::default()).await.unwrap();
    let mut delivered = Vec::new();
    while delivered.len() < parcels_count {
        delivered.push(next(&mut parcels).await);
    }
    assert_eq!(bodies(&delivered), ground().queues["parcels"]);
    // What a client holds of the damaged queue can be acknowledged.
    let left = broker.metric(LAG);
    let acked = bodies(&held[..2]);
    for delivery in &held[..2] {
        delivery.ack(<_>::default()).await.unwrap();
    }
    broker.await_metric(LAG, left - 2.0).await;
    drop(session);
    broker.terminate();
    assert!(broker.wait().success());

    // It stays so over a restart, without being read.
    let mut broker = launch(&directory);
    assert_eq!(broker.metric(DAMAGED), 1.0);
    let session = Session::open_at(broker.address).await;
    assert!(refusals(&session).await[0].contains("NOT_FOUND"));
    assert!(!is_taken(&session, "orders", "refused").await);
    assert!(is_taken(&session, &other, "once more").await);
    drop(session);
    let shown = Admin::guest(&broker).get("/api/queues/%2F/orders");
    assert_eq!(shown["state"], "crashed");
    assert!(shown["damage"].as_str().unwrap().contains("offsets"), "{shown}");
    broker.terminate();
    assert!(broker.wait().success());

    // What is whole comes back, and no less is said to be missing than is gone.
    let (_, repaired) = found(&["repair", "--accept-loss"], &directory);
    let left = drain(&directory);
    let confirmed = &ground().queues["orders"];
    let lost = confirmed.difference(&left["orders"]).filter(|body| !acked.contains(*body)).count();
    assert!(lost > 0 && lost as u64 <= missing(&repaired, "orders"), "{lost}: {repaired}");
    assert!(left["orders"].is_subset(confirmed), "what was refused is not there");
    assert!(left["orders"].is_disjoint(&acked));
    assert_eq!(left["parcels"], ground().queues["parcels"]);
    assert_eq!(left[&other], BTreeSet::from(["once more".to_owned()]));
}

async fn set_orders_aside(directory: &Path) -> Broker {
    flip_orders(directory);
    let broker = launch(directory);
    let session = Session::open_at(broker.address).await;
    meet_damage(&session.channel).await;
    drop(session);
    // What it held has come back.
    broker.await_metric(UNACKED, 0.0).await;
    broker
}

#[tokio::test]
async fn a_page_that_can_be_read_again_ends_it_at_the_next_start() {
    let (_parent, directory) = copy();
    let places = tables_with_orders(&directory);
    let mut broker = set_orders_aside(&directory).await;
    broker.terminate();
    assert!(broker.wait().success());
    // As if the files came from a backup.
    for (table, at) in &places {
        flip(table, *at);
    }
    assert_eq!(drain(&directory), ground().queues);
}

#[tokio::test]
async fn a_damaged_queue_can_be_deleted_and_declared_again() {
    let (_parent, directory) = copy();
    let mut broker = set_orders_aside(&directory).await;
    forebay(&["queue", "delete", "orders"], &broker).success();
    assert_eq!(broker.metric(DAMAGED), 0.0);
    for _ in 0..2 {
        forebay(&["queue", "declare", "orders"], &broker).success();
        let session = Session::open_at(broker.address).await;
        assert!(is_taken(&session, "orders", "anew").await);
        drop(session);
        assert_eq!(queue(&broker, "orders")["state"], "running");
        broker.terminate();
        assert!(broker.wait().success());
        broker = launch(&directory);
    }
}

#[tokio::test]
async fn a_damaged_queue_that_is_purged_is_served_again() {
    let (_parent, directory) = copy();
    let mut broker = set_orders_aside(&directory).await;
    forebay(&["queue", "purge", "orders"], &broker).success();
    for _ in 0..2 {
        let shown = queue(&broker, "orders");
        assert_eq!((&shown["state"], &shown["ready"]), (&"running".into(), &0.into()));
        let session = Session::open_at(broker.address).await;
        assert!(is_taken(&session, "orders", "anew").await);
        let mut consumer = consume(&session.channel, "orders").await;
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.data, b"anew");
        delivery.ack(<_>::default()).await.unwrap();
        broker.await_metric(LAG, 0.0).await;
        drop(session);
        broker.terminate();
        assert!(broker.wait().success());
        broker = launch(&directory);
    }
}
