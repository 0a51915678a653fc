//! Consumers: prefetch, turns, tags, the end.

use crate::harness::must;
use crate::harness::session::{
    Session, await_ready, code, consume, consume_with, declare, declare_with, drain, fill,
    is_quiet, next, next_bodies, number, passive, persistent, prefetch, publish, publish_with,
    ready_count, table, text, unique,
};
use futures_util::StreamExt;
use lapin::BasicProperties;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ChannelFlowOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};

#[tokio::test]
async fn prefetch_bounds_what_a_consumer_holds() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "prefetch").await;
    fill(&session, &queue, &["1", "2", "3", "4", "5"]).await;
    prefetch(&session.channel, 2).await;
    let mut consumer = consume(&session.channel, &queue).await;
    assert_eq!(next_bodies(&mut consumer, 2).await, ["1", "2"]);
    assert_eq!(ready_count(&session.channel, &queue).await, 3);
    assert!(is_quiet(&mut consumer));

    session.channel.basic_ack(1, BasicAckOptions::default()).await.unwrap();
    assert_eq!(text(&next(&mut consumer).await), "3");
    session.channel.basic_ack(3, BasicAckOptions { multiple: true }).await.unwrap();
    assert_eq!(next_bodies(&mut consumer, 2).await, ["4", "5"]);
}

#[tokio::test]
async fn global_prefetch_bounds_all_consumers_of_the_channel_together() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "global").await;
    session.channel.basic_qos(3, BasicQosOptions { global: true }).await.unwrap();
    let _first = consume(&session.channel, &queue).await;
    let _second = consume(&session.channel, &queue).await;
    fill(&session, &queue, &["1", "2", "3", "4", "5"]).await;
    await_ready(&session.channel, &queue, 2).await;

    session.channel.basic_ack(0, BasicAckOptions { multiple: true }).await.unwrap();
    await_ready(&session.channel, &queue, 0).await;
}

#[tokio::test]
async fn consumers_with_credit_take_turns() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "turns").await;
    let (left, right) = (session.channel().await, session.channel().await);
    prefetch(&left, 1).await;
    prefetch(&right, 2).await;
    let mut first = consume(&left, &queue).await;
    let mut second = consume(&right, &queue).await;
    fill(&session, &queue, &["1", "2", "3", "4"]).await;
    assert_eq!(next_bodies(&mut first, 1).await, ["1"]);
    assert_eq!(next_bodies(&mut second, 2).await, ["2", "3"]);
    assert_eq!(ready_count(&session.channel, &queue).await, 1);
    right.basic_ack(1, BasicAckOptions::default()).await.unwrap();
    assert_eq!(text(&next(&mut second).await), "4", "the one with credit gets it");
    assert!(is_quiet(&mut first));
}

#[tokio::test]
async fn after_cancel_nothing_is_delivered_and_held_messages_stay_held() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "cancel").await;
    fill(&session, &queue, &["held"]).await;
    let mut consumer = consume(&session.channel, &queue).await;
    next(&mut consumer).await;
    let tag = consumer.tag();
    must("cancel", session.channel.basic_cancel(tag, BasicCancelOptions::default())).await.unwrap();
    fill(&session, &queue, &["later"]).await;
    assert_eq!(ready_count(&session.channel, &queue).await, 1);
    assert_eq!(passive(&session.channel, &queue).await.consumer_count(), 0);
    session.channel.basic_ack(1, BasicAckOptions::default()).await.unwrap();
    assert_eq!(ready_count(&session.channel, &queue).await, 1);
}

#[tokio::test]
async fn a_consumer_is_told_when_its_queue_is_deleted() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "deleted").await;
    let mut consumer = consume(&session.channel, &queue).await;
    let other = Session::open().await;
    let options = QueueDeleteOptions::default();
    must("queue.delete", other.channel.queue_delete(queue.as_str().into(), options)).await.unwrap();
    let end = must("basic.cancel from the broker", consumer.next()).await;
    assert!(end.is_none(), "the stream ends without an error: {end:?}");
    assert!(session.channel.status().connected());
}

#[tokio::test]
async fn an_exclusive_consumer_is_alone() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "alone").await;
    let exclusive = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let consumer = consume_with(&session.channel, &queue, exclusive).await;
    let other = session.channel().await;
    let refused = other
        .basic_consume(
            queue.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await;
    assert_eq!(code(refused), 403);
    drop(consumer);

    let shared_queue = declare(&session.channel, "taken").await;
    let _consumer = consume(&session.channel, &shared_queue).await;
    let other = session.channel().await;
    let refused = other
        .basic_consume(shared_queue.as_str().into(), "".into(), exclusive, FieldTable::default())
        .await;
    assert_eq!(code(refused), 403);
}

#[tokio::test]
async fn consumer_tags_are_the_clients_or_made_by_the_broker() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "tags").await;
    let made = consume(&session.channel, &queue).await;
    assert!(made.tag().as_str().starts_with("amq.ctag-"), "{}", made.tag());
    let tag = unique("mine");
    let chosen = session
        .channel
        .basic_consume(
            queue.as_str().into(),
            tag.as_str().into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    assert_eq!(chosen.tag().as_str(), tag);
}

#[tokio::test]
async fn stopped_flow_holds_deliveries_back() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "flow").await;
    let worker = session.channel().await;
    let mut consumer = consume(&worker, &queue).await;
    let flow = worker.channel_flow(ChannelFlowOptions { active: false });
    match must("channel.flow", flow).await {
        Ok(active) => assert!(!active),
        // RabbitMQ has this answer for it.
        Err(error) => {
            assert_eq!(code::<()>(Err(error)), 540);
            return;
        }
    }
    fill(&session, &queue, &["later"]).await;
    assert_eq!(ready_count(&session.channel, &queue).await, 1);
    assert!(is_quiet(&mut consumer));
    let active = worker.channel_flow(ChannelFlowOptions { active: true });
    assert!(must("channel.flow", active).await.unwrap());
    assert_eq!(text(&next(&mut consumer).await), "later");
}

#[tokio::test]
async fn an_answer_comes_straight_back_over_direct_reply_to() {
    let client = Session::open().await;
    let server = Session::open().await;
    let queue = declare(&server.channel, "rpc").await;
    let no_ack = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut answers = consume_with(&client.channel, "amq.rabbitmq.reply-to", no_ack).await;
    let mut requests = consume_with(&server.channel, &queue, no_ack).await;

    let properties = BasicProperties::default().with_reply_to("amq.rabbitmq.reply-to".into());
    publish_with(&client.channel, "", &queue, b"ask", properties).await;
    let request = next(&mut requests).await;
    let reply_to = request.properties.reply_to().clone().unwrap();
    assert!(reply_to.as_str().starts_with("amq.rabbitmq.reply-to."), "{reply_to}");
    publish(&server.channel, "", reply_to.as_str(), "answer").await;
    assert_eq!(text(&next(&mut answers).await), "answer");
}

#[tokio::test]
async fn direct_reply_to_wants_no_acknowledgements() {
    let session = Session::open().await;
    let refused = session
        .channel
        .basic_consume(
            "amq.rabbitmq.reply-to".into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await;
    assert_eq!(code(refused), 406);
}

#[tokio::test]
async fn only_one_consumer_of_a_single_active_queue_is_served_until_it_goes() {
    let session = Session::open().await;
    let single = table("x-single-active-consumer", AMQPValue::Boolean(true));
    let queue = declare_with(&session.channel, "single", single).await;
    let (left, right) = (session.channel().await, session.channel().await);
    let mut active = consume(&left, &queue).await;
    let mut waiting = consume(&right, &queue).await;
    fill(&session, &queue, &["1", "2"]).await;
    assert_eq!(next_bodies(&mut active, 2).await, ["1", "2"]);
    assert!(is_quiet(&mut waiting));
    must("channel.close", left.close(200, "bye".into())).await.unwrap();
    assert_eq!(next_bodies(&mut waiting, 2).await, ["1", "2"]);
}

#[tokio::test]
async fn higher_priorities_overtake_and_equal_ones_keep_their_order() {
    let session = Session::open().await;
    let queue =
        declare_with(&session.channel, "priority", table("x-max-priority", number(5))).await;
    for (body, priority) in [("low", 1), ("high", 5), ("also high", 9), ("low too", 1)] {
        let properties = persistent().with_priority(priority);
        publish_with(&session.channel, "", &queue, body.as_bytes(), properties).await;
    }
    let order = drain(&session.channel, &queue).await;
    assert_eq!(order, ["high", "also high", "low", "low too"]);
}
