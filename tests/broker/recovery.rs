//! What is there after the broker comes back.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::must;
use crate::harness::session::{
    Session, bind, code, confirmed, consume, declare_named, drain, fill, get, next_bodies, passive,
    persistent, publish, publish_with, string, table,
};
use lapin::options::{
    BasicAckOptions, ExchangeBindOptions, ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, ExchangeKind};
use tempfile::TempDir;

const DURABLE: ExchangeDeclareOptions = ExchangeDeclareOptions {
    passive: false,
    durable: true,
    auto_delete: false,
    internal: false,
    nowait: false,
};

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind, arguments: FieldTable) {
    let declared = channel.exchange_declare(name.into(), kind, DURABLE, arguments);
    must("exchange.declare", declared).await.unwrap();
}

#[tokio::test]
async fn confirmed_messages_survive_kill_9_whole_and_in_order() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", <_>::default()).await;
    let properties = persistent()
        .with_message_id("id".into())
        .with_headers(table("x-custom", string("kept")))
        .with_priority(3);
    let channel = session.confirm_channel().await;
    let bodies = [vec![], vec![1; 100], vec![2; 70_000], vec![3; 2_000_000], vec![4; 9]];
    let mut confirms = Vec::new();
    for body in &bodies {
        confirms.push(publish_with(&channel, "", "orders", body, properties.clone()).await);
    }
    for confirm in confirms {
        confirmed(confirm).await;
    }
    broker.kill();

    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    for body in &bodies {
        let message = get(&session.channel, "orders").await.unwrap();
        assert!(&message.data == body, "{} bytes instead of {}", message.data.len(), body.len());
        assert_eq!(message.properties, properties);
        assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("", "orders"));
    }
    assert!(get(&session.channel, "orders").await.is_none());
}

#[tokio::test]
async fn durable_exchanges_queues_and_bindings_survive() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = &session.channel;
    exchange(channel, "rest", ExchangeKind::Fanout, <_>::default()).await;
    exchange(channel, "in", ExchangeKind::Topic, table("alternate-exchange", string("rest"))).await;
    exchange(channel, "next", ExchangeKind::Fanout, <_>::default()).await;
    declare_named(channel, "news", table("x-custom", string("kept"))).await;
    declare_named(channel, "others", <_>::default()).await;
    bind(channel, "news", "next", "").await;
    bind(channel, "others", "rest", "").await;
    let options = ExchangeBindOptions::default();
    channel
        .exchange_bind("next".into(), "in".into(), "*.new".into(), options, <_>::default())
        .await
        .unwrap();
    broker.kill();

    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, "news", table("x-custom", string("kept"))).await;
    confirmed(publish(&channel, "in", "eu.new", "n").await).await;
    confirmed(publish(&channel, "in", "eu.old", "o").await).await;
    assert_eq!(drain(&channel, "news").await, ["n"]);
    assert_eq!(drain(&channel, "others").await, ["o"]);
}

#[tokio::test]
async fn what_is_transient_does_not_survive() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, "durable", <_>::default()).await;
    channel.queue_declare("transient".into(), <_>::default(), <_>::default()).await.unwrap();
    let exclusive = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::exclusive() };
    channel.queue_declare("exclusive".into(), exclusive, <_>::default()).await.unwrap();
    let transient = BasicProperties::default();
    confirmed(publish_with(&channel, "", "durable", b"transient", transient).await).await;
    confirmed(publish(&channel, "", "durable", "persistent").await).await;
    confirmed(publish(&channel, "", "transient", "persistent").await).await;
    broker.kill();

    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    assert_eq!(drain(&session.channel, "durable").await, ["persistent"]);
    for name in ["transient", "exclusive"] {
        let channel = session.channel().await;
        let options = QueueDeclareOptions { passive: true, ..<_>::default() };
        let gone = channel.queue_declare(name.into(), options, <_>::default()).await;
        assert_eq!(code(gone), 404, "{name}");
    }
}

#[tokio::test]
async fn messages_that_were_out_with_a_consumer_come_back_in_order() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "out", <_>::default()).await;
    fill(&session, "out", &["1", "2", "3", "4"]).await;
    let mut consumer = consume(&session.channel, "out").await;
    next_bodies(&mut consumer, 4).await;
    session.channel.basic_ack(2, BasicAckOptions::default()).await.unwrap();
    // What is confirmed after the acknowledgement was sent makes that durable, too.
    fill_on(&session.channel, "out", "5").await;
    broker.kill();

    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    assert_eq!(drain(&session.channel, "out").await, ["1", "3", "4", "5"]);
}

/// Publishes on a channel that is in use and waits for the confirm.
async fn fill_on(channel: &Channel, queue: &str, body: &str) {
    channel.confirm_select(<_>::default()).await.unwrap();
    confirmed(publish(channel, "", queue, body).await).await;
}

#[tokio::test]
async fn deletions_and_purges_survive() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = &session.channel;
    for name in ["deleted", "purged", "reborn"] {
        declare_named(channel, name, <_>::default()).await;
        fill(&session, name, &["old"]).await;
    }
    exchange(channel, "gone", ExchangeKind::Fanout, <_>::default()).await;
    bind(channel, "purged", "gone", "").await;
    channel.exchange_delete("gone".into(), <_>::default()).await.unwrap();
    channel.queue_delete("deleted".into(), <_>::default()).await.unwrap();
    channel.queue_delete("reborn".into(), <_>::default()).await.unwrap();
    declare_named(channel, "reborn", <_>::default()).await;
    channel.queue_purge("purged".into(), <_>::default()).await.unwrap();
    fill(&session, "purged", &["new"]).await;
    broker.kill();

    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    assert_eq!(drain(&session.channel, "purged").await, ["new"]);
    assert_eq!(passive(&session.channel, "reborn").await.message_count(), 0);
    let channel = session.channel().await;
    let options = QueueDeclareOptions { passive: true, ..<_>::default() };
    assert_eq!(code(channel.queue_declare("deleted".into(), options, <_>::default()).await), 404);
    let channel = session.channel().await;
    let options = ExchangeDeclareOptions { passive: true, ..<_>::default() };
    let gone =
        channel.exchange_declare("gone".into(), ExchangeKind::Fanout, options, <_>::default());
    assert_eq!(code(gone.await), 404);
}

#[tokio::test]
async fn a_committed_transaction_survives_whole_and_an_open_one_not_at_all() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = &session.channel;
    for name in ["left", "right"] {
        declare_named(channel, name, <_>::default()).await;
    }
    fill(&session, "left", &["taken"]).await;
    channel.tx_select().await.unwrap();
    let taken = get(channel, "left").await.unwrap();
    taken.delivery.acker.ack(<_>::default()).await.unwrap();
    publish(channel, "", "right", "moved").await;
    must("tx.commit", channel.tx_commit()).await.unwrap();
    publish(channel, "", "right", "open").await;
    broker.kill();

    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    assert!(drain(&session.channel, "left").await.is_empty());
    assert_eq!(drain(&session.channel, "right").await, ["moved"]);
}

#[tokio::test]
async fn restarts_one_after_the_other_keep_the_order_and_lose_nothing() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let mut expected = Vec::new();
    for round in 0..5 {
        let broker = Broker::start(data.path());
        let session = Session::open_at(broker.address).await;
        declare_named(&session.channel, "rounds", <_>::default()).await;
        let bodies: Vec<String> = (0..20).map(|number| format!("{round}-{number}")).collect();
        fill(&session, "rounds", &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
        expected.extend(bodies);
        broker.kill();
    }
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    assert_eq!(drain(&session.channel, "rounds").await, expected);
}
