//! Publisher confirms and returned messages.

use crate::harness::must;
use crate::harness::session::{
    Session, code, confirmed, declare, drain, persistent, publish, publish_with, unique,
};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation};

#[tokio::test]
async fn every_publish_is_confirmed_once() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let queue = declare(&session.channel, "confirms").await;
    let mut confirms = Vec::new();
    for number in 0..1000 {
        confirms.push(publish(&channel, "", &queue, &number.to_string()).await);
    }
    for confirm in confirms {
        confirmed(confirm).await;
    }
    assert_eq!(drain(&session.channel, &queue).await.len(), 1000);
}

#[tokio::test]
async fn selecting_confirms_twice_is_no_error() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    must("confirm.select", channel.confirm_select(ConfirmSelectOptions::default())).await.unwrap();
}

#[tokio::test]
async fn a_message_without_a_queue_is_confirmed_and_dropped() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    confirmed(publish(&channel, "", &unique("nowhere"), "lost").await).await;
}

#[tokio::test]
async fn a_mandatory_message_without_a_queue_comes_back_before_its_confirm() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let key = unique("nowhere");
    let properties = persistent().with_message_id("m1".into());
    let confirm = channel
        .basic_publish("amq.direct".into(), key.as_str().into(), options, b"lost", properties)
        .await
        .unwrap();
    let Confirmation::Ack(Some(returned)) = must("confirm", confirm).await.unwrap() else {
        panic!("neither confirmed nor returned");
    };
    assert_eq!(returned.reply_code, 312);
    assert_eq!(returned.reply_text.as_str(), "NO_ROUTE");
    assert_eq!(returned.delivery.exchange.as_str(), "amq.direct");
    assert_eq!(returned.delivery.routing_key.as_str(), key);
    assert_eq!(returned.delivery.data, b"lost");
    assert_eq!(returned.delivery.properties.message_id().as_ref().unwrap().as_str(), "m1");
}

#[tokio::test]
async fn the_immediate_flag_is_not_implemented() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let options = BasicPublishOptions { immediate: true, ..BasicPublishOptions::default() };
    let confirm = channel
        .basic_publish("".into(), "any".into(), options, b"", BasicProperties::default())
        .await
        .unwrap();
    assert_eq!(code(must("refusal", confirm).await), 540);
    assert!(!session.connection.status().connected(), "the connection closes");
}

#[tokio::test]
async fn a_publish_to_an_exchange_that_is_not_there_closes_the_channel() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let confirm = publish(&channel, &unique("nothing"), "key", "lost").await;
    assert_eq!(code(must("refusal", confirm).await), 404);
    assert!(session.channel.status().connected(), "other channels live on");
}

#[tokio::test]
async fn the_user_id_must_be_the_users() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let queue = declare(&session.channel, "user-id").await;
    let own = persistent().with_user_id("guest".into());
    confirmed(publish_with(&channel, "", &queue, b"mine", own).await).await;
    let foreign = persistent().with_user_id("somebody".into());
    let confirm = publish_with(&channel, "", &queue, b"not mine", foreign).await;
    assert_eq!(code(must("refusal", confirm).await), 406);
    assert_eq!(drain(&session.channel, &queue).await, ["mine"]);
}

#[tokio::test]
async fn confirms_and_transactions_exclude_each_other() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    assert_eq!(code(must("tx.select", channel.tx_select()).await), 406);

    let channel = session.channel().await;
    must("tx.select", channel.tx_select()).await.unwrap();
    let refused = must("confirm.select", channel.confirm_select(<_>::default())).await;
    assert_eq!(code(refused), 406);
}
