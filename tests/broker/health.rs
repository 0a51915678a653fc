//! Queues stay healthy: what expires, overflows or fails again and again leaves the way free.

use crate::harness::broker::is_ours;
use crate::harness::must;
use crate::harness::session::{
    Session, await_ready, bind, confirmed, consume, declare, declare_exchange, declare_with, drain,
    fill, get, next, number, persistent, publish, publish_with, ready_count, string, table, text,
};
use lapin::options::{
    BasicNackOptions, BasicPublishOptions, BasicRejectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Confirmation, ExchangeKind};

/// Arguments that dead-letter to this exchange, with more.
fn dead_lettering(exchange: &str, more: &[(&str, AMQPValue)]) -> FieldTable {
    let mut arguments = table("x-dead-letter-exchange", string(exchange));
    for (name, value) in more {
        arguments.insert((*name).into(), value.clone());
    }
    arguments
}

/// An exchange with a queue bound to it, for what is given up.
async fn graveyard(channel: &Channel) -> (String, String) {
    let exchange = declare_exchange(channel, "dead", ExchangeKind::Fanout).await;
    let queue = declare(channel, "dead").await;
    bind(channel, &queue, &exchange, "").await;
    (exchange, queue)
}

/// Waits until the queue of dead messages has one, and returns body and reason of its death.
async fn death(channel: &Channel, queue: &str) -> (String, String) {
    await_ready(channel, queue, 1).await;
    let message = get(channel, queue).await.unwrap();
    let headers = message.properties.headers().clone().unwrap();
    let Some(AMQPValue::LongString(reason)) = headers.inner().get("x-first-death-reason") else {
        panic!("no reason: {headers:?}");
    };
    (text(&message.delivery), String::from_utf8_lossy(reason.as_bytes()).into_owned())
}

#[tokio::test]
async fn a_rejected_message_is_dead_lettered() {
    let session = Session::open().await;
    let channel = &session.channel;
    let (exchange, dead) = graveyard(channel).await;
    let queue = declare_with(channel, "source", dead_lettering(&exchange, &[])).await;
    fill(&session, &queue, &["bad"]).await;
    let message = get(channel, &queue).await.unwrap();
    message.delivery.acker.reject(BasicRejectOptions { requeue: false }).await.unwrap();
    assert_eq!(death(channel, &dead).await, ("bad".to_owned(), "rejected".to_owned()));
    assert_eq!(ready_count(channel, &queue).await, 0);
}

#[tokio::test]
async fn messages_expire_by_their_queues_or_their_own_time_to_live() {
    let session = Session::open().await;
    let channel = &session.channel;
    let (exchange, dead) = graveyard(channel).await;
    let arguments = dead_lettering(&exchange, &[("x-message-ttl", number(1))]);
    let short_lived = declare_with(channel, "ttl", arguments).await;
    publish(channel, "", &short_lived, "queue's").await;
    assert_eq!(death(channel, &dead).await, ("queue's".to_owned(), "expired".to_owned()));

    let patient = declare_with(channel, "patient", dead_lettering(&exchange, &[])).await;
    let properties = persistent().with_expiration("1".into());
    publish_with(channel, "", &patient, b"its own", properties).await;
    assert_eq!(death(channel, &dead).await, ("its own".to_owned(), "expired".to_owned()));
}

#[tokio::test]
async fn a_full_queue_drops_its_head_or_refuses() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let (exchange, dead) = graveyard(&channel).await;
    let arguments = dead_lettering(&exchange, &[("x-max-length", number(2))]);
    let dropping = declare_with(&channel, "drop-head", arguments).await;
    for body in ["1", "2", "3"] {
        confirmed(publish(&channel, "", &dropping, body).await).await;
    }
    assert_eq!(death(&channel, &dead).await, ("1".to_owned(), "maxlen".to_owned()));
    assert_eq!(drain(&channel, &dropping).await, ["2", "3"]);

    let mut arguments = table("x-max-length", number(1));
    arguments.insert("x-overflow".into(), string("reject-publish"));
    let refusing = declare_with(&channel, "reject-publish", arguments).await;
    confirmed(publish(&channel, "", &refusing, "1").await).await;
    let second = publish(&channel, "", &refusing, "2").await;
    assert_eq!(must("confirm", second).await.unwrap(), Confirmation::Nack(None));
    assert_eq!(drain(&channel, &refusing).await, ["1"]);
}

#[tokio::test]
async fn an_unused_queue_expires() {
    let session = Session::open().await;
    let queue = declare_with(&session.channel, "expires", table("x-expires", number(50))).await;
    // Asking for a queue is using it, publishing is not: a mandatory message comes back when it is gone.
    let channel = session.confirm_channel().await;
    let mandatory = BasicPublishOptions { mandatory: true, ..<_>::default() };
    let gone = async {
        loop {
            let key = queue.as_str().into();
            let sent = channel.basic_publish("".into(), key, mandatory, b"there?", persistent());
            if matches!(sent.await.unwrap().await, Ok(Confirmation::Ack(Some(_)))) {
                return;
            }
        }
    };
    must("the queue's end", gone).await;
}

#[tokio::test]
async fn a_message_that_fails_again_and_again_ends_in_the_dead_letter_queue() {
    if !is_ours() {
        return;
    }
    let session = Session::open().await;
    let queue = declare(&session.channel, "poison").await;
    fill(&session, &queue, &["poison", "good"]).await;
    let mut consumer = consume(&session.channel, &queue).await;
    let (mut failures, mut is_good_done) = (0, false);
    while failures < 3 || !is_good_done {
        let delivery = next(&mut consumer).await;
        if text(&delivery) == "poison" {
            failures += 1;
            delivery.nack(BasicNackOptions { multiple: false, requeue: true }).await.unwrap();
        } else {
            is_good_done = true;
            delivery.ack(<_>::default()).await.unwrap();
        }
    }
    let dead = format!("{queue}.dlq");
    let there = async {
        loop {
            let channel = session.channel().await;
            let options = QueueDeclareOptions { passive: true, ..<_>::default() };
            let declared =
                channel.queue_declare(dead.as_str().into(), options, <_>::default()).await;
            if declared.is_ok_and(|queue| queue.message_count() == 1) {
                return;
            }
        }
    };
    must("the dead-letter queue", there).await;
    let (body, reason) = death(&session.channel, &dead).await;
    assert_eq!((body.as_str(), reason.as_str()), ("poison", "delivery_limit"));
    assert_eq!(ready_count(&session.channel, &queue).await, 0);
}
