//! Ack, nack, reject, recover: what happens to a message after its delivery.

use crate::harness::must;
use crate::harness::session::{
    Session, await_ready, code, consume, declare, drain, fill, get, is_quiet, next, next_bodies,
    prefetch, ready_count, text,
};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicNackOptions, BasicRecoverOptions, BasicRejectOptions,
};

const REQUEUE: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };
const MULTIPLE: BasicAckOptions = BasicAckOptions { multiple: true };

#[tokio::test]
async fn an_acknowledged_message_is_gone() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "acked").await;
    fill(&session, &queue, &["a", "b"]).await;
    let mut consumer = consume(&session.channel, &queue).await;
    next(&mut consumer).await.ack(BasicAckOptions::default()).await.unwrap();
    next(&mut consumer).await;
    drop(consumer);
    session.close().await;

    let later = Session::open().await;
    assert_eq!(drain(&later.channel, &queue).await, ["b"]);
}

#[tokio::test]
async fn one_acknowledgement_can_settle_all_before_it() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "multiple").await;
    fill(&session, &queue, &["a", "b", "c", "d", "e"]).await;
    let mut consumer = consume(&session.channel, &queue).await;
    next_bodies(&mut consumer, 5).await;
    session.channel.basic_ack(3, MULTIPLE).await.unwrap();
    drop(consumer);
    session.close().await;

    let later = Session::open().await;
    assert_eq!(drain(&later.channel, &queue).await, ["d", "e"]);
}

#[tokio::test]
async fn acknowledging_tag_zero_with_multiple_settles_everything() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "all").await;
    fill(&session, &queue, &["a", "b", "c"]).await;
    let mut consumer = consume(&session.channel, &queue).await;
    next_bodies(&mut consumer, 3).await;
    session.channel.basic_ack(0, MULTIPLE).await.unwrap();
    drop(consumer);
    session.close().await;

    let later = Session::open().await;
    assert_eq!(ready_count(&later.channel, &queue).await, 0);
}

#[tokio::test]
async fn an_unknown_delivery_tag_closes_the_channel() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "unknown-tag").await;
    fill(&session, &queue, &["a"]).await;
    let mut consumer = consume(&session.channel, &queue).await;
    next(&mut consumer).await;
    session.channel.basic_ack(1, BasicAckOptions::default()).await.unwrap();
    session.channel.basic_ack(1, BasicAckOptions::default()).await.unwrap();
    let end = must("the end of the consumer", consumer.next()).await;
    assert_eq!(code(end.expect("an error first")), 406);
    assert!(session.connection.status().connected(), "only the channel closes");
}

#[tokio::test]
async fn a_requeued_message_returns_to_its_original_place() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "place").await;
    fill(&session, &queue, &["1", "2", "3", "4", "5"]).await;
    prefetch(&session.channel, 3).await;
    let mut consumer = consume(&session.channel, &queue).await;
    assert_eq!(next_bodies(&mut consumer, 3).await, ["1", "2", "3"]);
    let tag = consumer.tag();
    session.channel.basic_cancel(tag, BasicCancelOptions::default()).await.unwrap();
    session.channel.basic_nack(2, REQUEUE).await.unwrap();
    await_ready(&session.channel, &queue, 3).await;

    let first = get(&session.channel, &queue).await.unwrap();
    assert_eq!((text(&first.delivery).as_str(), first.redelivered), ("2", true));
    let second = get(&session.channel, &queue).await.unwrap();
    assert_eq!((text(&second.delivery).as_str(), second.redelivered), ("4", false));
}

#[tokio::test]
async fn messages_of_a_closed_channel_return_in_order() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "channel-closed").await;
    fill(&session, &queue, &["1", "2", "3"]).await;
    let worker = session.channel().await;
    prefetch(&worker, 3).await;
    let mut consumer = consume(&worker, &queue).await;
    next_bodies(&mut consumer, 3).await;
    worker.basic_ack(2, BasicAckOptions::default()).await.unwrap();
    must("channel.close", worker.close(200, "done".into())).await.unwrap();
    await_ready(&session.channel, &queue, 2).await;
    fill(&session, &queue, &["4"]).await;

    let mut returned = Vec::new();
    while let Some(message) = get(&session.channel, &queue).await {
        returned.push((text(&message.delivery), message.redelivered));
    }
    let expected = [("1", true), ("3", true), ("4", false)];
    assert_eq!(returned, expected.map(|(body, again)| (body.to_owned(), again)));
}

#[tokio::test]
async fn a_rejected_message_is_dropped_or_requeued_as_asked() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "reject").await;
    fill(&session, &queue, &["drop", "again"]).await;
    let mut consumer = consume(&session.channel, &queue).await;
    next(&mut consumer).await.reject(BasicRejectOptions { requeue: false }).await.unwrap();
    next(&mut consumer).await.reject(BasicRejectOptions { requeue: true }).await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!((text(&again).as_str(), again.redelivered), ("again", true));
    again.ack(BasicAckOptions::default()).await.unwrap();
    assert_eq!(ready_count(&session.channel, &queue).await, 0);
    assert!(is_quiet(&mut consumer));
}

#[tokio::test]
async fn nack_can_give_back_several_at_once() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "nack-multiple").await;
    fill(&session, &queue, &["1", "2", "3"]).await;
    for _ in 0..3 {
        get(&session.channel, &queue).await.unwrap();
    }
    let options = BasicNackOptions { multiple: true, requeue: true };
    session.channel.basic_nack(2, options).await.unwrap();
    await_ready(&session.channel, &queue, 2).await;
    assert_eq!(drain(&session.channel, &queue).await, ["1", "2"]);
}

#[tokio::test]
async fn recover_delivers_again_what_is_unacknowledged() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "recover").await;
    fill(&session, &queue, &["a", "b"]).await;
    let mut consumer = consume(&session.channel, &queue).await;
    next(&mut consumer).await.ack(BasicAckOptions::default()).await.unwrap();
    next(&mut consumer).await;
    let options = BasicRecoverOptions { requeue: true };
    must("basic.recover", session.channel.basic_recover(options)).await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!((text(&again).as_str(), again.redelivered), ("b", true));
}

#[tokio::test]
async fn recover_without_requeue_is_refused() {
    let session = Session::open().await;
    let options = BasicRecoverOptions { requeue: false };
    let refused = must("basic.recover", session.channel.basic_recover(options)).await;
    assert_eq!(code(refused), 540);
}

#[tokio::test]
async fn messages_of_a_client_that_vanished_are_delivered_to_another() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "vanished").await;
    fill(&session, &queue, &["a", "b"]).await;
    let worker = Session::open().await;
    let mut held = consume(&worker.channel, &queue).await;
    next_bodies(&mut held, 2).await;
    let mut consumer = consume(&session.channel, &queue).await;
    worker.close().await;
    for body in ["a", "b"] {
        let delivery = next(&mut consumer).await;
        assert_eq!((text(&delivery).as_str(), delivery.redelivered), (body, true));
    }
}
