//! Deliveries and their settlement.

use crate::ground::{connect, fill, name, next, queue, state, text};
use crate::harness::broker::is_ours;
use crate::harness::must;
use forebay_client::{ConsumeError, Error, QueueOptions};
use futures_util::{FutureExt, StreamExt};

fn numbers(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| number.to_string())
}

#[tokio::test]
async fn a_dropped_delivery_comes_again() {
    let connection = connect().await;
    let queue = queue(&connection, "dropped").await;
    fill(&connection, &queue, numbers(1)).await;
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let first = next(&mut consumer).await;
    assert!(!first.is_redelivered());
    drop(first);
    let second = next(&mut consumer).await;
    assert!(second.is_redelivered());
    second.ack().unwrap();
}

#[tokio::test]
async fn a_rejected_delivery_goes_to_the_dead_letter_exchange() {
    let connection = connect().await;
    let dead = queue(&connection, "dead").await;
    let queue = name("rejecting");
    let options = QueueOptions::exclusive()
        .argument("x-dead-letter-exchange", "")
        .argument("x-dead-letter-routing-key", dead.as_str());
    connection.declare_queue(&queue, options).await.unwrap();
    fill(&connection, &queue, numbers(1)).await;
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    next(&mut consumer).await.reject().unwrap();
    let mut dead = connection.consume(&dead).start().await.unwrap();
    let delivery = next(&mut dead).await;
    assert_eq!(text(&delivery), "0");
    assert!(delivery.header("x-death").is_some());
    delivery.ack().unwrap();
}

#[tokio::test]
async fn no_more_than_the_prefetch_is_in_hand() {
    let connection = connect().await;
    let queue = queue(&connection, "prefetch").await;
    fill(&connection, &queue, numbers(20)).await;
    let mut consumer = connection.consume(&queue).prefetch(5).start().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(next(&mut consumer).await);
    }
    // The answer to a request comes after whatever the broker sent before.
    assert_eq!(state(&connection, &queue).await.messages, 15);
    assert!(consumer.next().now_or_never().is_none());
    // Out of order, so that single acks are needed.
    held.swap_remove(2).ack().unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(text(&delivery), "5");
}

#[tokio::test]
async fn every_message_comes_once_when_settled_in_any_order() {
    let connection = connect().await;
    let queue = queue(&connection, "orders").await;
    fill(&connection, &queue, numbers(300)).await;
    let mut consumer = connection.consume(&queue).prefetch(50).start().await.unwrap();
    let (mut held, mut seen) = (Vec::new(), Vec::new());
    while seen.len() < 300 {
        let delivery = next(&mut consumer).await;
        seen.push(text(&delivery).parse::<usize>().unwrap());
        held.push(delivery);
        if held.len() == 50 || seen.len() == 300 {
            // Every second one first, then the rest backwards.
            let (even, odd): (Vec<_>, Vec<_>) =
                held.drain(..).enumerate().partition(|(at, _)| at % 2 == 0);
            for (_, delivery) in even.into_iter().chain(odd.into_iter().rev()) {
                delivery.ack().unwrap();
            }
        }
    }
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
    must("a close", consumer.close()).await.unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn after_cancel_the_rest_comes_and_then_the_end() {
    let connection = connect().await;
    let queue = queue(&connection, "cancel").await;
    fill(&connection, &queue, numbers(30)).await;
    let mut consumer = connection.consume(&queue).prefetch(10).start().await.unwrap();
    let first = next(&mut consumer).await;
    must("a cancel", consumer.cancel()).await.unwrap();
    first.ack().unwrap();
    let mut count = 1;
    while let Some(delivery) = must("the end", consumer.next()).await {
        delivery.unwrap().ack().unwrap();
        count += 1;
    }
    assert!((1..=30).contains(&count));
    must("a close", consumer.close()).await.unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 30 - count);
}

/// Each way to end in good order, more often than a queue's delivery limit allows failures: nothing
/// of what was prefetched may become a dead letter, or count as failed.
#[tokio::test]
async fn what_was_prefetched_and_not_tried_has_not_failed() {
    let own = connect().await;
    let queue = name("untried");
    own.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    fill(&own, &queue, numbers(10)).await;
    for round in 0..12 {
        let connection = connect().await;
        let mut consumer = connection.consume(&queue).prefetch(10).start().await.unwrap();
        let first = next(&mut consumer).await;
        assert_eq!((first.delivery_count(), text(&first)), (0, "0".to_owned()), "round {round}");
        match round % 4 {
            0 => must("a close", consumer.close_releasing([first])).await.unwrap(),
            1 => {
                drop(consumer);
                must("a close", connection.clone().close()).await.unwrap();
                assert!(first.ack().is_err(), "the broker has it again");
            }
            2 => {
                let second = next(&mut consumer).await;
                must("a close", consumer.close_releasing([second, first])).await.unwrap();
            }
            _ => {
                // The connection ends in good order while the consumer is at work.
                must("a close", connection.clone().close()).await.unwrap();
                assert!(first.ack().is_err());
            }
        }
        must("a close", connection.close()).await.unwrap();
    }
    assert_eq!(state(&own, &queue).await.messages, 10);
    own.delete_queue(&queue).await.unwrap();
}

#[tokio::test]
async fn close_waits_until_every_delivery_is_settled() {
    let connection = connect().await;
    let queue = queue(&connection, "drain").await;
    fill(&connection, &queue, numbers(10)).await;
    let mut consumer = connection.consume(&queue).prefetch(4).start().await.unwrap();
    let held = next(&mut consumer).await;
    let mut closing = Box::pin(consumer.close());
    for _ in 0..3 {
        // Each request brings the driver a turn; the close can't be through.
        state(&connection, &queue).await;
        assert!(closing.as_mut().now_or_never().is_none());
    }
    held.ack().unwrap();
    must("a close", closing).await.unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 9);
}

#[tokio::test]
async fn a_dropped_consumer_returns_what_it_did_not_take() {
    let connection = connect().await;
    let queue = queue(&connection, "return").await;
    fill(&connection, &queue, numbers(10)).await;
    let mut consumer = connection.consume(&queue).prefetch(10).start().await.unwrap();
    let held = next(&mut consumer).await;
    drop(consumer);
    held.ack().unwrap();
    let mut other = connection.consume(&queue).start().await.unwrap();
    for number in 1..10 {
        let delivery = next(&mut other).await;
        assert_eq!(text(&delivery), number.to_string());
        delivery.ack().unwrap();
    }
}

#[tokio::test]
async fn a_deleted_queue_ends_its_consumer_with_a_reason() {
    let connection = connect().await;
    let queue = queue(&connection, "deleted").await;
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    connection.delete_queue(&queue).await.unwrap();
    match must("the end", consumer.next()).await {
        Some(Err(ConsumeError::Cancelled { queue: named })) => assert_eq!(named, queue),
        other => panic!("{other:?}"),
    }
    assert!(must("the end", consumer.next()).await.is_none());
}

#[tokio::test]
async fn a_missing_queue_is_refused_at_the_start() {
    let connection = connect().await;
    let error = must("a refusal", connection.consume(name("missing")).start()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused { request: "basic.consume", fault } if fault.is_not_found()),
        "{error}"
    );
    // The connection lives on.
    queue(&connection, "after").await;
}

#[tokio::test]
async fn next_may_be_dropped_at_any_time() {
    let connection = connect().await;
    let queue = queue(&connection, "cancel-safe").await;
    fill(&connection, &queue, numbers(200)).await;
    let mut consumer = connection.consume(&queue).prefetch(3).start().await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 200 {
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            delivery = consumer.next() => {
                let delivery = delivery.unwrap().unwrap();
                seen.push(text(&delivery));
                delivery.ack().unwrap();
            }
        }
    }
    assert_eq!(seen, numbers(200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_consumer_is_a_stream() {
    let connection = connect().await;
    let queue = queue(&connection, "stream").await;
    fill(&connection, &queue, numbers(5)).await;
    let consumer = connection.consume(&queue).start().await.unwrap();
    let texts = consumer.take(5).map(|delivery| {
        let delivery = delivery.unwrap();
        let text = text(&delivery);
        delivery.ack().unwrap();
        text
    });
    assert_eq!(must("five", texts.collect::<Vec<_>>()).await, numbers(5).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_puller_takes_one_at_a_time() {
    let connection = connect().await;
    let queue = queue(&connection, "pull").await;
    fill(&connection, &queue, numbers(2)).await;
    let puller = connection.puller(&queue).await.unwrap();
    let first = must("a get", puller.get()).await.unwrap().unwrap();
    assert_eq!(text(&first), "0");
    drop(first);
    for number in numbers(2) {
        let delivery = must("a get", puller.get()).await.unwrap().unwrap();
        assert_eq!(text(&delivery), number);
        delivery.ack().unwrap();
    }
    assert!(must("a get", puller.get()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_puller_survives_a_missing_queue() {
    let connection = connect().await;
    let queue = name("later");
    let puller = connection.puller(&queue).await.unwrap();
    let error = must("a refusal", puller.get()).await.unwrap_err();
    assert!(error.fault().unwrap().is_not_found(), "{error}");
    connection.declare_queue(&queue, QueueOptions::exclusive()).await.unwrap();
    // Its channel is opened again in the background.
    loop {
        match must("a get", puller.get()).await {
            Ok(found) => break assert!(found.is_none()),
            Err(error) => assert!(error.fault().is_some(), "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// A dropped `get` may have asked already: what then comes is nobody's.
#[tokio::test]
async fn get_may_be_dropped_at_any_time() {
    let connection = connect().await;
    let queue = queue(&connection, "cancelled-get").await;
    fill(&connection, &queue, numbers(20)).await;
    let puller = connection.puller(&queue).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 20 {
        tokio::select! {
            biased;
            got = puller.get() => {
                let Some(delivery) = got.unwrap() else { continue };
                assert_eq!(delivery.delivery_count(), 0, "nothing has failed");
                seen.push(text(&delivery));
                delivery.ack().unwrap();
            }
            () = tokio::task::yield_now() => {}
        }
        // Others keep the driver busy.
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, numbers(20).collect::<Vec<_>>());
    assert!(must("a get", puller.get()).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_dropped_get_brought_goes_back_to_the_queue() {
    let connection = connect().await;
    let queue = queue(&connection, "returned-get").await;
    fill(&connection, &queue, numbers(6)).await;
    let puller = connection.puller(&queue).await.unwrap();
    let held = must("a get", puller.get()).await.unwrap().unwrap();
    for _ in 0..10 {
        assert!(puller.get().now_or_never().is_none());
    }
    held.ack().unwrap();
    // All answers are there with the next one; nobody asks any more.
    while state(&connection, &queue).await.messages < 5 {
        tokio::task::yield_now().await;
    }
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    for number in numbers(6).skip(1) {
        let delivery = next(&mut consumer).await;
        assert_eq!((text(&delivery), delivery.delivery_count()), (number, 0));
        delivery.ack().unwrap();
    }
}

/// The broker sends a message that was given back to the same consumer again, before it hears that
/// this consumer is gone.
#[tokio::test]
async fn a_consumer_dropped_after_its_delivery_costs_one_life() {
    if !is_ours() {
        return;
    }
    let connection = connect().await;
    let queue = name("one-life");
    connection.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    fill(&connection, &queue, numbers(1)).await;
    for lives in 0..3 {
        let mut consumer = connection.consume(&queue).start().await.unwrap();
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.delivery_count(), lives);
        drop(delivery);
        // Whether the broker is heard between the two or not.
        if lives == 1 {
            state(&connection, &queue).await;
        }
        drop(consumer);
    }
    connection.delete_queue(&queue).await.unwrap();
    connection.delete_queue(format!("{queue}.dlq")).await.unwrap();
}

/// Without acks the broker sends as fast as the socket takes it.
#[tokio::test]
async fn a_consumer_without_acks_reads_ahead_only_so_far() {
    const MESSAGES: usize = 400;
    let connection = connect().await;
    let own = connect().await;
    let queue = queue(&own, "read-ahead").await;
    own.delete_queue(&queue).await.unwrap();
    let queue = name("read-ahead");
    own.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    let body = |number: usize| format!("{number} {}", "x".repeat(200_000));
    fill(&own, &queue, (0..MESSAGES).map(body)).await;
    let mut consumer = connection.consume(&queue).no_ack().start().await.unwrap();
    let first = next(&mut consumer).await;
    assert!(text(&first).starts_with("0 "));
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert!(state(&own, &queue).await.messages > 0, "80 MB were read ahead");
    }
    // What the program waits for comes all the same.
    assert_eq!(state(&connection, &queue).await.consumers, 1);
    fill(&connection, &queue, ["last".to_owned()]).await;
    for number in 1..MESSAGES {
        let delivery = next(&mut consumer).await;
        assert!(text(&delivery).starts_with(&format!("{number} ")));
    }
    assert_eq!(text(&*next(&mut consumer).await), "last");
    own.delete_queue(&queue).await.unwrap();
}
