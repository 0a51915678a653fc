//! Queues: declared, shared, deleted.

use crate::harness::must;
use crate::harness::session::{
    Session, bind, code, confirmed, consume, declare, declare_exchange, declare_with, drain, fill,
    next_bodies, passive, publish, ready_count, string, table, unique,
};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Error, ExchangeKind, Queue};

const DURABLE: QueueDeclareOptions = QueueDeclareOptions {
    passive: false,
    durable: true,
    exclusive: false,
    auto_delete: false,
    nowait: false,
};

async fn try_declare(
    channel: &Channel,
    name: &str,
    options: QueueDeclareOptions,
    arguments: FieldTable,
) -> Result<Queue, Error> {
    must("queue.declare", channel.queue_declare(name.into(), options, arguments)).await
}

#[tokio::test]
async fn a_queue_can_be_declared_again_and_tells_its_counts() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "counts").await;
    fill(&session, &queue, &["a", "b"]).await;
    let again = try_declare(&session.channel, &queue, DURABLE, <_>::default()).await.unwrap();
    assert_eq!((again.message_count(), again.consumer_count()), (2, 0));
    let mut consumer = consume(&session.channel, &queue).await;
    next_bodies(&mut consumer, 2).await;
    let now = passive(&session.channel, &queue).await;
    assert_eq!((now.message_count(), now.consumer_count()), (0, 1));
}

#[tokio::test]
async fn the_broker_names_a_queue_that_has_no_name() {
    let session = Session::open().await;
    let first =
        try_declare(&session.channel, "", QueueDeclareOptions::exclusive(), <_>::default()).await;
    let second =
        try_declare(&session.channel, "", QueueDeclareOptions::exclusive(), <_>::default()).await;
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.name().as_str().starts_with("amq.gen-"), "{}", first.name());
    assert_ne!(first.name(), second.name());

    // The empty name now means the queue that the channel declared last.
    let channel = session.confirm_channel().await;
    let third = try_declare(&channel, "", QueueDeclareOptions::exclusive(), <_>::default()).await;
    let third = third.unwrap().name().as_str().to_owned();
    let exchange = declare_exchange(&channel, "last", ExchangeKind::Fanout).await;
    bind(&channel, "", &exchange, "").await;
    confirmed(publish(&channel, &exchange, "", "m").await).await;
    assert_eq!(ready_count(&channel, &third).await, 1);
    assert_eq!(drain(&channel, "").await, ["m"]);
}

#[tokio::test]
async fn an_exclusive_queue_belongs_to_its_connection() {
    let owner = Session::open().await;
    let name = unique("exclusive");
    let exclusive = QueueDeclareOptions::exclusive();
    try_declare(&owner.channel, &name, exclusive, <_>::default()).await.unwrap();
    try_declare(&owner.channel, &name, exclusive, <_>::default()).await.unwrap();

    let other = Session::open().await;
    let passive_options = QueueDeclareOptions { passive: true, ..<_>::default() };
    for options in [exclusive, passive_options] {
        let channel = other.channel().await;
        assert_eq!(code(try_declare(&channel, &name, options, <_>::default()).await), 405);
    }
    let channel = other.channel().await;
    let refused = channel
        .basic_consume(name.as_str().into(), "".into(), <_>::default(), <_>::default())
        .await;
    assert_eq!(code(refused), 405);
    let channel = other.channel().await;
    let refused = channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await;
    assert_eq!(code(refused), 405);

    owner.close().await;
    assert_eq!(
        code(try_declare(&other.channel, &name, passive_options, <_>::default()).await),
        404
    );
}

#[tokio::test]
async fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let session = Session::open().await;
    let name = unique("auto-delete");
    let options = QueueDeclareOptions { auto_delete: true, ..<_>::default() };
    try_declare(&session.channel, &name, options, <_>::default()).await.unwrap();
    fill(&session, &name, &["m"]).await;
    assert_eq!(ready_count(&session.channel, &name).await, 1, "it waits for its first consumer");
    let other = session.channel().await;
    let (first, second) = (consume(&session.channel, &name).await, consume(&other, &name).await);
    session.channel.basic_cancel(first.tag(), <_>::default()).await.unwrap();
    assert_eq!(passive(&session.channel, &name).await.consumer_count(), 1);
    other.basic_cancel(second.tag(), <_>::default()).await.unwrap();
    let gone = QueueDeclareOptions { passive: true, ..<_>::default() };
    assert_eq!(code(try_declare(&session.channel, &name, gone, <_>::default()).await), 404);
}

#[tokio::test]
async fn declaring_a_queue_differently_is_refused() {
    let session = Session::open().await;
    let queue = declare_with(&session.channel, "equal", table("x-custom", string("kept"))).await;
    let same = table("x-custom", string("kept"));
    try_declare(&session.channel, &queue, DURABLE, same.clone()).await.unwrap();
    let cases = [
        (QueueDeclareOptions::default(), same.clone()),
        (QueueDeclareOptions { auto_delete: true, ..DURABLE }, same.clone()),
        (DURABLE, table("x-message-ttl", AMQPValue::LongInt(1000))),
    ];
    for (options, arguments) in cases {
        let channel = session.channel().await;
        let refused = try_declare(&channel, &queue, options, arguments).await;
        assert_eq!(code(refused), 406);
    }
    let channel = session.channel().await;
    let exclusive = QueueDeclareOptions { exclusive: true, ..DURABLE };
    let refused = code(try_declare(&channel, &queue, exclusive, same).await);
    assert!(refused == 405 || refused == 406, "{refused}");
}

#[tokio::test]
async fn known_arguments_with_bad_values_are_refused() {
    let cases = [
        ("x-message-ttl", string("soon")),
        ("x-message-ttl", AMQPValue::LongInt(-1)),
        ("x-expires", AMQPValue::LongInt(0)),
        ("x-max-length", AMQPValue::LongInt(-5)),
        ("x-max-length-bytes", string("many")),
        ("x-overflow", string("explode")),
        ("x-dead-letter-exchange", AMQPValue::LongInt(1)),
        ("x-dead-letter-routing-key", string("without-an-exchange")),
        ("x-max-priority", AMQPValue::LongInt(256)),
        ("x-single-active-consumer", string("yes")),
    ];
    let session = Session::open().await;
    for (name, value) in cases {
        let channel = session.channel().await;
        let refused =
            try_declare(&channel, &unique("bad"), DURABLE, table(name, value.clone())).await;
        assert_eq!(code(refused), 406, "{name}: {value:?}");
    }
}

#[tokio::test]
async fn names_that_begin_with_amq_are_reserved() {
    let session = Session::open().await;
    let refused = try_declare(&session.channel, "amq.mine", DURABLE, <_>::default()).await;
    assert_eq!(code(refused), 403);
    assert!(session.connection.status().connected());
}

#[tokio::test]
async fn purge_empties_a_queue_and_tells_how_much_it_was() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "purge").await;
    fill(&session, &queue, &["held", "a", "b", "c"]).await;
    let held = crate::harness::session::get(&session.channel, &queue).await.unwrap();
    let purged = must(
        "queue.purge",
        session.channel.queue_purge(queue.as_str().into(), QueuePurgeOptions::default()),
    )
    .await
    .unwrap();
    assert_eq!(purged, 3);
    assert_eq!(ready_count(&session.channel, &queue).await, 0);
    held.delivery.acker.ack(<_>::default()).await.unwrap();
    assert_eq!(ready_count(&session.channel, &queue).await, 0);
}

#[tokio::test]
async fn deletion_can_be_conditional() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "delete").await;
    fill(&session, &queue, &["a", "b"]).await;
    let consumer = consume(&session.channel().await, &queue).await;
    let conditions = [
        QueueDeleteOptions { if_unused: true, ..<_>::default() },
        QueueDeleteOptions { if_empty: true, ..<_>::default() },
    ];
    let unused = session.channel().await;
    assert_eq!(code(unused.queue_delete(queue.as_str().into(), conditions[0]).await), 406);
    drop(consumer);

    let other = declare(&session.channel, "full").await;
    fill(&session, &other, &["a", "b"]).await;
    let empty = session.channel().await;
    assert_eq!(code(empty.queue_delete(other.as_str().into(), conditions[1]).await), 406);
    let deleted = session.channel.queue_delete(other.as_str().into(), <_>::default()).await;
    assert_eq!(deleted.unwrap(), 2);
    let again = session.channel.queue_delete(other.as_str().into(), <_>::default()).await;
    assert_eq!(again.unwrap(), 0, "deleting what is not there is no error");
}

#[tokio::test]
async fn a_queue_declared_again_after_its_deletion_is_empty_and_unbound() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let exchange = declare_exchange(&channel, "old", ExchangeKind::Fanout).await;
    let queue = declare(&channel, "reborn").await;
    bind(&channel, &queue, &exchange, "").await;
    confirmed(publish(&channel, &exchange, "", "old").await).await;
    channel.queue_delete(queue.as_str().into(), <_>::default()).await.unwrap();
    try_declare(&channel, &queue, DURABLE, <_>::default()).await.unwrap();
    confirmed(publish(&channel, &exchange, "", "unbound").await).await;
    assert_eq!(ready_count(&channel, &queue).await, 0);
}

#[tokio::test]
async fn unbinding_stops_the_route_and_unbinding_nothing_is_no_error() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let exchange = declare_exchange(&channel, "unbind", ExchangeKind::Direct).await;
    let queue = declare(&channel, "unbind").await;
    bind(&channel, &queue, &exchange, "k").await;
    for _ in 0..2 {
        let names = (queue.as_str().into(), exchange.as_str().into());
        must("queue.unbind", channel.queue_unbind(names.0, names.1, "k".into(), <_>::default()))
            .await
            .unwrap();
    }
    confirmed(publish(&channel, &exchange, "k", "m").await).await;
    assert_eq!(ready_count(&channel, &queue).await, 0);
}
