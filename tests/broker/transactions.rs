//! `tx`: all of it or nothing.

use crate::harness::must;
use crate::harness::session::{
    Session, await_ready, code, declare, drain, fill, get, publish, ready_count,
};
use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicPublishOptions, QueueDeleteOptions};

#[tokio::test]
async fn a_publish_appears_with_its_commit() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "commit").await;
    let channel = session.channel().await;
    must("tx.select", channel.tx_select()).await.unwrap();
    publish(&channel, "", &queue, "a").await;
    publish(&channel, "", &queue, "b").await;
    assert_eq!(ready_count(&channel, &queue).await, 0);
    must("tx.commit", channel.tx_commit()).await.unwrap();
    assert_eq!(drain(&session.channel, &queue).await, ["a", "b"]);
}

#[tokio::test]
async fn a_rollback_forgets_publishes_and_acknowledgements() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "rollback").await;
    fill(&session, &queue, &["held"]).await;
    let channel = session.channel().await;
    must("tx.select", channel.tx_select()).await.unwrap();
    let held = get(&channel, &queue).await.unwrap();
    publish(&channel, "", &queue, "never").await;
    held.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
    must("tx.rollback", channel.tx_rollback()).await.unwrap();
    must("channel.close", channel.close(200, "done".into())).await.unwrap();
    await_ready(&session.channel, &queue, 1).await;
    assert_eq!(drain(&session.channel, &queue).await, ["held"]);
}

#[tokio::test]
async fn a_committed_acknowledgement_is_the_end_of_the_message() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "tx-ack").await;
    fill(&session, &queue, &["a", "b"]).await;
    let channel = session.channel().await;
    must("tx.select", channel.tx_select()).await.unwrap();
    let first = get(&channel, &queue).await.unwrap();
    first.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
    publish(&channel, "", &queue, "c").await;
    must("tx.commit", channel.tx_commit()).await.unwrap();
    must("channel.close", channel.close(200, "done".into())).await.unwrap();
    assert_eq!(drain(&session.channel, &queue).await, ["b", "c"]);
}

#[tokio::test]
async fn commit_needs_a_transactional_channel() {
    let session = Session::open().await;
    assert_eq!(code(must("tx.commit", session.channel.tx_commit()).await), 406);
    let other = session.channel().await;
    assert_eq!(code(must("tx.rollback", other.tx_rollback()).await), 406);
}

#[tokio::test]
async fn a_mandatory_message_comes_back_when_its_queue_has_gone_before_the_commit() {
    let session = Session::open().await;
    let queue = declare(&session.channel, "tx-gone").await;
    let channel = session.channel().await;
    must("tx.select", channel.tx_select()).await.unwrap();
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = channel.basic_publish(
        "".into(),
        queue.as_str().into(),
        mandatory,
        b"x",
        BasicProperties::default(),
    );
    must("basic.publish", sent).await.unwrap();
    let deleted = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
    must("queue.delete", deleted).await.unwrap();
    must("tx.commit", channel.tx_commit()).await.unwrap();
    let returned = must("returns", channel.wait_for_confirms()).await.unwrap();
    assert_eq!(returned.len(), 1);
    assert_eq!(returned[0].reply_code, 312);
}
