//! Nothing runs on when nobody holds it.

use crate::ground::{connect, fill, queue};
use crate::harness::{broker, must};
use crate::proxy::Proxy;
use forebay_client::{CancellationToken, Connection, Message, Worker};
use tokio::runtime::Handle;

async fn until_no_task_runs() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    must("the end of all tasks", async {
        while tasks() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn after_close() {
    let connection = connect().await;
    let queue = queue(&connection, "close").await;
    let _publisher = connection.publisher().await.unwrap();
    let _consumer = connection.consume(&queue).start().await.unwrap();
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 1, "one task serves a connection");
    connection.close().await.unwrap();
    until_no_task_runs().await;
}

#[tokio::test]
async fn after_the_last_handle_is_dropped() {
    let connection = connect().await;
    let queue = queue(&connection, "drop").await;
    let publisher = connection.publisher().await.unwrap();
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let confirm = publisher.publish(Message::to_queue(&queue, "x")).await.unwrap();
    let delivery = must("a delivery", consumer.next()).await.unwrap().unwrap();
    drop(connection);
    drop(publisher);
    drop(consumer);
    must("a confirm without its publisher", confirm).await.unwrap();
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 1, "the delivery is still in hand");
    delivery.ack().unwrap();
    until_no_task_runs().await;
}

#[tokio::test]
async fn while_it_is_being_restored() {
    let proxy = Proxy::start(broker::shared(), 1).await;
    let connection = Connection::connect(&proxy.uri()).await.unwrap();
    let mut state = connection.state();
    proxy.shut();
    must(
        "the loss",
        state.wait_for(|state| matches!(state, forebay_client::ConnectionState::Down(_))),
    )
    .await
    .unwrap();
    drop(state);
    drop(connection);
    drop(proxy);
    until_no_task_runs().await;
}

#[tokio::test]
async fn after_a_worker() {
    let connection = connect().await;
    let queue = queue(&connection, "worker").await;
    fill(&connection, &queue, ["x".to_owned()]).await;
    let stop = CancellationToken::new();
    let done = stop.clone();
    let worker = Worker::new(connection.consume(&queue)).concurrency(8);
    let run = worker.run(stop, move |_| {
        done.cancel();
        async { Ok(()) }
    });
    must("the end of the worker", run).await.unwrap();
    connection.close().await.unwrap();
    until_no_task_runs().await;
}
