//! Queues, exchanges, bindings, and refusals that harm nobody else.

use crate::ground::{connect, fill, name, next, queue, state};
use crate::harness::must;
use forebay_client::{
    DeleteOptions, Error, ExchangeOptions, Fault, FieldTable, Message, QueueOptions,
};

#[tokio::test]
async fn a_refused_declaration_harms_nobody_else() {
    let connection = connect().await;
    let queue = queue(&connection, "unequal").await;
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    let other = QueueOptions::exclusive().argument("x-max-length", 5_i32);
    let error = must("a refusal", connection.declare_queue(&queue, other)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused { request: "queue.declare", fault } if fault.is_precondition_failed()),
        "{error}"
    );
    publisher.publish(Message::to_queue(&queue, "x")).await.unwrap().await.unwrap();
    next(&mut consumer).await.ack().unwrap();
    assert_eq!(state(&connection, &queue).await.consumers, 1);
}

#[tokio::test]
async fn a_missing_queue_is_not_found() {
    let connection = connect().await;
    let error = must("a refusal", connection.inspect_queue(name("missing"))).await.unwrap_err();
    assert!(error.fault().unwrap().is_not_found(), "{error}");
}

#[tokio::test]
async fn a_deletion_whose_condition_does_not_hold_changes_nothing() {
    let connection = connect().await;
    let (queue, exchange) = (name("conditions"), name("conditions"));
    connection.declare_queue(&queue, QueueOptions::transient()).await.unwrap();
    connection.declare_exchange(&exchange, ExchangeOptions::fanout().transient()).await.unwrap();
    connection.bind_queue(&queue, &exchange, "", FieldTable::new()).await.unwrap();
    fill(&connection, &queue, ["x".to_owned()]).await;
    let consumer = connection.consume(&queue).prefetch(1).start().await.unwrap();
    let is_kept = |error: Error| error.fault().is_some_and(Fault::is_precondition_failed);
    let idle = DeleteOptions::default().if_unused().if_empty();
    assert!(is_kept(connection.delete_queue_with(&queue, idle).await.unwrap_err()));
    assert!(is_kept(connection.delete_unused_queue(&queue).await.unwrap_err()));
    assert!(is_kept(connection.delete_unused_exchange(&exchange).await.unwrap_err()));
    consumer.close().await.unwrap();
    assert!(is_kept(connection.delete_empty_queue(&queue).await.unwrap_err()));
    assert_eq!(connection.inspect_queue(&queue).await.unwrap().messages, 1);
    connection.purge_queue(&queue).await.unwrap();
    assert_eq!(connection.delete_queue_with(&queue, idle).await.unwrap(), 0);
    connection.delete_unused_exchange(&exchange).await.unwrap();
    let gone = connection.inspect_queue(&queue).await.unwrap_err();
    assert!(gone.fault().is_some_and(Fault::is_not_found), "{gone}");
}

#[tokio::test]
async fn the_broker_names_a_queue_without_name() {
    let connection = connect().await;
    let declared = connection.declare_queue("", QueueOptions::exclusive()).await.unwrap();
    assert!(declared.name.as_str().unwrap().starts_with("amq.gen-"), "{}", declared.name);
    fill(&connection, declared.name.as_str().unwrap(), ["x".to_owned()]).await;
    assert_eq!(connection.purge_queue(&declared.name).await.unwrap(), 1);
}

#[tokio::test]
async fn bindings_route_until_they_are_taken_away() {
    let connection = connect().await;
    let queue = queue(&connection, "bound").await;
    let (source, through) = (name("source"), name("through"));
    for exchange in [&source, &through] {
        let options = ExchangeOptions::topic().transient();
        connection.declare_exchange(exchange, options).await.unwrap();
    }
    let none = FieldTable::new;
    connection.bind_exchange(&through, &source, "eu.#", none()).await.unwrap();
    connection.bind_queue(&queue, &through, "*.placed", none()).await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    let publish = async || {
        let message = Message::to_exchange(&source, "eu.placed", "x").mandatory();
        must("an outcome", publisher.publish(message).await.unwrap()).await
    };
    publish().await.unwrap();
    connection.unbind_queue(&queue, &through, "*.placed", none()).await.unwrap();
    publish().await.unwrap_err();
    connection.bind_queue(&queue, &through, "#", none()).await.unwrap();
    publish().await.unwrap();
    connection.unbind_exchange(&through, &source, "eu.#", none()).await.unwrap();
    publish().await.unwrap_err();
    assert_eq!(connection.delete_queue(&queue).await.unwrap(), 2);
    for exchange in [&source, &through] {
        connection.delete_exchange(exchange).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_does_not_confuse_the_next() {
    let connection = connect().await;
    let queue = queue(&connection, "dropped-request").await;
    for _ in 0..50 {
        tokio::select! {
            biased;
            _ = connection.inspect_queue(name("missing")) => {}
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(state(&connection, &queue).await.name, queue.as_str());
    }
}

/// A fault that ends the whole connection, in RabbitMQ too.
#[tokio::test]
async fn a_refusal_that_ends_the_connection_is_one_all_the_same() {
    let connection = connect().await;
    let kind = ExchangeOptions::of_kind("nosuchkind").unwrap();
    match must("a refusal", connection.declare_exchange(name("kind"), kind)).await {
        Err(Error::Refused { request: "exchange.declare", fault }) => assert_eq!(fault.code, 503),
        other => panic!("{other:?}"),
    }
    queue(&connection, "after-refusal").await;
}
