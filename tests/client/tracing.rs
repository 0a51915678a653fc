//! A trace runs through queues.

use crate::ground::{connect, next, queue};
use crate::harness::must;
use forebay_client::{CancellationToken, Message, TraceContext, Worker};

#[tokio::test]
async fn a_trace_goes_from_publisher_through_a_worker_to_the_next_queue() {
    let connection = connect().await;
    let (first, second) = (queue(&connection, "first").await, queue(&connection, "second").await);
    let publisher = connection.publisher().await.unwrap();
    let root = TraceContext::new_root();
    let publish = async { publisher.publish(Message::to_queue(&first, "x")).await.unwrap().await };
    root.scope(publish).await.unwrap();
    let stop = CancellationToken::new();
    let (done, onward, to) = (stop.clone(), publisher.clone(), second.clone());
    let worker = Worker::new(connection.consume(&first)).run(stop, move |_| {
        let (done, onward, to) = (done.clone(), onward.clone(), to.clone());
        async move {
            onward.publish(Message::to_queue(to, "y")).await?.await?;
            done.cancel();
            Ok(())
        }
    });
    must("the end of the worker", worker).await.unwrap();
    let mut consumer = connection.consume(&second).start().await.unwrap();
    let delivery = next(&mut consumer).await;
    let context = TraceContext::of(&delivery).expect("a traceparent header");
    assert_eq!(context.trace_id(), root.trace_id());
    assert_ne!(context.span_id(), root.span_id());
    delivery.ack().unwrap();
}

#[tokio::test]
async fn outside_of_a_trace_nothing_is_added() {
    let connection = connect().await;
    let queue = queue(&connection, "plain").await;
    let publisher = connection.publisher().await.unwrap();
    publisher.publish(Message::to_queue(&queue, "x")).await.unwrap().await.unwrap();
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let delivery = next(&mut consumer).await;
    assert!(delivery.headers().is_empty());
    delivery.ack().unwrap();
}
