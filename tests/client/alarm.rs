//! A broker that takes no messages for a while.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::small_disk::SmallDisk;
use forebay_client::{Connection, Message, QueueOptions};
use futures_util::poll;
use std::pin::pin;

const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn it_says_why_and_publishers_wait_while_other_connections_consume() {
    let Some(disk) = is_ours().then(|| SmallDisk::mount(128)).flatten() else { return };
    let launch = Launch::on(&disk.path().join("data")).through(disk.entrance());
    let broker = Broker::launch(&launch.argument("--disk-free-limit").argument("32MiB"));
    let uri = format!("amqp://{}", broker.address);
    let connection = must("a connection", Connection::connect(&uri)).await.unwrap();
    let consuming = must("a connection", Connection::connect(&uri)).await.unwrap();
    connection.declare_queue("q", QueueOptions::durable()).await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    let publish = |body: &'static str| publisher.publish(Message::to_queue("q", body));
    must("a confirm", publish("before").await.unwrap()).await.unwrap();
    let mut blocked = connection.blocked();
    assert_eq!(*blocked.borrow(), None);

    disk.fill_up_to(16 * MIB);
    broker.await_metric("forebay_alarm_active{alarm=\"disk\"}", 1.0).await;
    // A broker speaks of it at the first message.
    let first = must("room", publish("first")).await.unwrap();
    let reason = must("the alarm", blocked.wait_for(Option::is_some)).await.unwrap().clone();
    assert_eq!(reason.as_deref(), Some("low on disk"));
    let mut second = pin!(publish("second"));
    assert!(poll!(&mut second).is_pending());
    let mut consumer = must("a consumer", consuming.consume("q").start()).await.unwrap();
    must("a delivery", consumer.next()).await.unwrap().unwrap().ack().unwrap();

    disk.empty();
    must("the end of the alarm", blocked.wait_for(Option::is_none)).await.unwrap();
    must("a confirm", first).await.unwrap();
    must("a confirm", must("room", second).await.unwrap()).await.unwrap();
    for _ in 0..2 {
        must("a delivery", consumer.next()).await.unwrap().unwrap().ack().unwrap();
    }
    must("a close", connection.close()).await.unwrap();
}
