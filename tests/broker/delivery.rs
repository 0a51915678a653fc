//! What is published arrives: whole, in order, once.

use crate::harness::session::{
    Session, await_ready, confirmed, consume, consume_with, declare, drain, fill, get, is_quiet,
    next, next_bodies, publish, publish_with, ready_count, string, text,
};
use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};

#[tokio::test]
async fn messages_arrive_in_the_order_in_which_they_were_published() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "order").await;
    let mut consumer = consume(&session.channel, &queue).await;
    let publisher = session.channel().await;
    for number in 0..500 {
        publish(&publisher, "", &queue, &number.to_string()).await;
    }
    let expected: Vec<String> = (0..500).map(|number: u32| number.to_string()).collect();
    assert_eq!(next_bodies(&mut consumer, 500).await, expected);
}

#[tokio::test]
async fn every_property_and_header_arrives_as_it_was_sent() {
    let mut nested = FieldTable::default();
    nested.insert("inner".into(), string("value"));
    let mut array = FieldArray::default();
    array.push(AMQPValue::LongInt(-7));
    array.push(AMQPValue::Void);
    let mut headers = FieldTable::default();
    headers.insert("bool".into(), AMQPValue::Boolean(true));
    headers.insert("i8".into(), AMQPValue::ShortShortInt(-8));
    headers.insert("u8".into(), AMQPValue::ShortShortUInt(200));
    headers.insert("i16".into(), AMQPValue::ShortInt(-16_000));
    headers.insert("u16".into(), AMQPValue::ShortUInt(60_000));
    headers.insert("i32".into(), AMQPValue::LongInt(-2_000_000_000));
    headers.insert("u32".into(), AMQPValue::LongUInt(4_000_000_000));
    headers.insert("i64".into(), AMQPValue::LongLongInt(-9_000_000_000));
    headers.insert("f32".into(), AMQPValue::Float(1.5));
    headers.insert("f64".into(), AMQPValue::Double(-2.25));
    headers
        .insert("decimal".into(), AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 }));
    headers.insert("time".into(), AMQPValue::Timestamp(1_700_000_000));
    headers.insert("bytes".into(), AMQPValue::ByteArray(vec![0, 255, 1].into()));
    headers.insert("void".into(), AMQPValue::Void);
    headers.insert("array".into(), AMQPValue::FieldArray(array));
    headers.insert("table".into(), AMQPValue::FieldTable(nested));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("gzip".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(7)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply".into())
        .with_message_id("id".into())
        .with_timestamp(1_700_000_001)
        .with_type("kind".into())
        .with_user_id("guest".into())
        .with_app_id("app".into())
        .with_cluster_id("cluster".into());

    let session = Session::open().await;
    let queue = declare(&session.channel, "properties").await;
    let mut consumer = consume(&session.channel, &queue).await;
    publish_with(&session.channel, "", &queue, b"x", properties.clone()).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.properties, properties);
    assert_eq!(delivery.exchange.as_str(), "");
    assert_eq!(delivery.routing_key.as_str(), queue);
    assert!(!delivery.redelivered);
    assert_eq!(delivery.delivery_tag, 1);
}

#[tokio::test]
async fn bodies_of_every_size_arrive_whole() {
    let session = Session::open().await;
    let frame_size_max = session.connection.configuration().frame_max() as usize;
    let body_max = frame_size_max - 8;
    let sizes = [0, 1, body_max - 1, body_max, body_max + 1, 2 * body_max, 3_000_000];
    let queue = declare(&session.channel, "sizes").await;
    let mut consumer = consume(&session.channel, &queue).await;
    let publisher = session.channel().await;
    for size in sizes {
        let body: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        publish_with(&publisher, "", &queue, &body, BasicProperties::default()).await;
        let delivery = next(&mut consumer).await;
        assert!(delivery.data == body, "a body of {size} bytes came back changed");
    }
}

#[tokio::test]
async fn without_acknowledgements_a_delivery_is_the_end_of_a_message() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "no-ack").await;
    fill(&session, &queue, &["a", "b"]).await;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer = consume_with(&session.channel, &queue, options).await;
    assert_eq!(next_bodies(&mut consumer, 2).await, ["a", "b"]);
    drop(consumer);
    session.close().await;

    let later = Session::open().await;
    assert_eq!(ready_count(&later.channel, &queue).await, 0);
}

#[tokio::test]
async fn get_takes_one_message_and_tells_how_many_are_left() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "get").await;
    assert!(get(&session.channel, &queue).await.is_none());
    fill(&session, &queue, &["a", "b", "c"]).await;

    let first = get(&session.channel, &queue).await.unwrap();
    assert_eq!((text(&first.delivery).as_str(), first.message_count), ("a", 2));
    first.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
    assert_eq!(drain(&session.channel, &queue).await, ["b", "c"]);
    assert!(get(&session.channel, &queue).await.is_none());
}

#[tokio::test]
async fn a_message_waits_for_its_consumer() {
    let producer = Session::open().await;
    let queue = declare(&producer.channel, "waits").await;
    fill(&producer, &queue, &["early"]).await;
    producer.close().await;

    let worker = Session::open().await;
    let mut consumer = consume(&worker.channel, &queue).await;
    assert_eq!(text(&next(&mut consumer).await), "early");
}

#[tokio::test]
async fn each_message_goes_to_one_consumer_only() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "once").await;
    let other = session.channel().await;
    let mut first = consume(&session.channel, &queue).await;
    let mut second = consume(&other, &queue).await;
    let bodies: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
    fill(&session, &queue, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut seen = next_bodies(&mut first, 50).await;
    seen.extend(next_bodies(&mut second, 50).await);
    seen.sort();
    assert_eq!(seen, bodies, "round-robin halves, and nothing twice");
    assert_eq!(ready_count(&session.channel, &queue).await, 0);
    assert!(is_quiet(&mut first) && is_quiet(&mut second));
}

#[tokio::test]
async fn transient_messages_and_transient_queues_work_alike() {
    let session = Session::open().await;
    let declared = session
        .channel
        .queue_declare("".into(), lapin::options::QueueDeclareOptions::exclusive(), <_>::default())
        .await
        .unwrap();
    let queue = declared.name().as_str().to_owned();
    let channel = session.confirm_channel().await;
    let transient = BasicProperties::default().with_delivery_mode(1);
    let confirm = publish_with(&channel, "", &queue, b"t", transient).await;
    confirmed(confirm).await;
    confirmed(publish(&channel, "", &queue, "p").await).await;
    await_ready(&session.channel, &queue, 2).await;
    assert_eq!(drain(&session.channel, &queue).await, ["t", "p"]);
}
