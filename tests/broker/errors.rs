//! What is refused, with which code, and how far the refusal reaches.

use crate::harness::broker;
use crate::harness::must;
use crate::harness::session::{Session, code, connect, declare, unique};
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::{Connection, ConnectionProperties};

#[tokio::test]
async fn what_is_not_there_closes_the_channel_with_404() {
    let session = Session::open().await;
    let missing = unique("missing");
    let name = || missing.as_str().into();
    let passive = QueueDeclareOptions { passive: true, ..<_>::default() };
    let there = declare(&session.channel, "there").await;

    let channel = session.channel().await;
    assert_eq!(code(channel.queue_declare(name(), passive, <_>::default()).await), 404);
    let channel = session.channel().await;
    assert_eq!(code(channel.basic_get(name(), BasicGetOptions::default()).await), 404);
    let channel = session.channel().await;
    let consumed = channel.basic_consume(name(), "".into(), <_>::default(), <_>::default()).await;
    assert_eq!(code(consumed), 404);
    let channel = session.channel().await;
    assert_eq!(code(channel.queue_purge(name(), <_>::default()).await), 404);
    let channel = session.channel().await;
    let bound = channel
        .queue_bind(name(), "amq.direct".into(), "k".into(), <_>::default(), <_>::default())
        .await;
    assert_eq!(code(bound), 404);
    let channel = session.channel().await;
    let bound =
        channel.queue_bind(there.into(), name(), "k".into(), <_>::default(), <_>::default()).await;
    assert_eq!(code(bound), 404);
    assert!(session.connection.status().connected());
}

#[tokio::test]
async fn an_error_on_one_channel_leaves_the_others_alone() {
    let session = Session::open().await;
    let broken = session.channel().await;
    let refused = broken.basic_get(unique("missing").into(), BasicGetOptions::default()).await;
    assert_eq!(code(refused), 404);
    declare(&session.channel, "still-works").await;
    let next = session.channel().await;
    declare(&next, "works-too").await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_with_403() {
    let uri = format!("amqp://guest:wrong@{}/%2f", broker::shared());
    let refused = must("connect", Connection::connect(&uri, ConnectionProperties::default())).await;
    assert_eq!(code(refused), 403);
}

#[tokio::test]
async fn a_virtual_host_that_is_not_there_is_refused_with_530() {
    let uri = format!("amqp://guest:guest@{}/nowhere", broker::shared());
    let refused = must("connect", Connection::connect(&uri, ConnectionProperties::default())).await;
    assert_eq!(code(refused), 530);
}

#[tokio::test]
async fn many_connections_and_channels_come_and_go() {
    for _ in 0..50 {
        let connection = connect(broker::shared()).await;
        for _ in 0..10 {
            let channel = must("channel.open", connection.create_channel()).await.unwrap();
            must("channel.close", channel.close(200, "bye".into())).await.unwrap();
        }
        must("connection.close", connection.close(200, "bye".into())).await.unwrap();
    }
}
