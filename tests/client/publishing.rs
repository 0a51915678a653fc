//! What became of a message, told to its publisher.

use crate::ground::{connect, name, next, queue, state, text};
use crate::harness::{broker, must};
use crate::proxy::Proxy;
use forebay_client::{
    Connection, ExchangeOptions, Message, PublishError, PublisherOptions, QueueOptions,
};
use futures_util::future::join_all;
use futures_util::poll;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[tokio::test]
async fn a_confirmed_message_is_in_the_queue() {
    let connection = connect().await;
    let queue = queue(&connection, "confirmed").await;
    let publisher = connection.publisher().await.unwrap();
    let confirm = must("room", publisher.publish(Message::to_queue(&queue, "one"))).await.unwrap();
    must("a confirm", confirm).await.unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 1);
}

#[tokio::test]
async fn every_property_arrives() {
    let connection = connect().await;
    let queue = queue(&connection, "properties").await;
    let publisher = connection.publisher().await.unwrap();
    let message = Message::to_queue(&queue, vec![0_u8, 255, 7])
        .content_type("application/byte-stream")
        .message_id("id-1")
        .correlation_id("correlation-1")
        .reply_to("answers")
        .kind("order.placed")
        .priority(3)
        .expires_after(Duration::from_secs(60))
        .timestamp(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .header("attempt", 7_i32)
        .header("tenant", "acme");
    publisher.publish(message).await.unwrap().await.unwrap();
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let delivery = next(&mut consumer).await;
    let properties = delivery.properties();
    assert_eq!(delivery.body().as_ref(), [0, 255, 7]);
    assert_eq!(delivery.message_id().unwrap(), "id-1");
    assert_eq!(delivery.correlation_id().unwrap(), "correlation-1");
    assert_eq!(delivery.reply_to().unwrap(), "answers");
    assert_eq!(properties.content_type.unwrap(), "application/byte-stream");
    assert_eq!(properties.kind.unwrap(), "order.placed");
    assert_eq!(properties.delivery_mode, Some(2), "persistent unless told otherwise");
    assert_eq!(properties.priority, Some(3));
    assert_eq!(properties.expiration.unwrap(), "60000");
    assert_eq!(properties.timestamp, Some(1_700_000_000));
    assert_eq!(delivery.header("attempt").unwrap().as_integer(), Some(7));
    assert_eq!(delivery.header("tenant"), Some("acme".into()));
    assert!(SystemTime::now() > UNIX_EPOCH);
    delivery.ack().unwrap();
}

#[tokio::test]
async fn bodies_of_every_size_arrive_whole() {
    let connection = connect().await;
    let queue = queue(&connection, "sizes").await;
    let publisher = connection.publisher().await.unwrap();
    let sizes = [0, 1, 1_023, 1_024, 1_025, 131_064, 131_072, 131_073, 1_000_000];
    let body = |size: usize| (0..size).map(|at| (at % 251) as u8).collect::<Vec<u8>>();
    let messages = sizes.map(|size| Message::to_queue(&queue, body(size)));
    must("confirms", publisher.publish_all(messages).await.unwrap()).await.unwrap();
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    for size in sizes {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.body().len(), size);
        assert!(delivery.body().as_ref() == body(size), "{size} bytes, but others");
        delivery.ack().unwrap();
    }
}

#[tokio::test]
async fn a_mandatory_message_without_a_queue_is_returned() {
    let connection = connect().await;
    let publisher = connection.publisher().await.unwrap();
    let nowhere = name("nowhere");
    let message = Message::to_queue(&nowhere, "lost?").message_id("m-1").mandatory();
    match must("the outcome", publisher.publish(message).await.unwrap()).await {
        Err(PublishError::Returned(returned)) => {
            assert_eq!(returned.code(), 312);
            assert_eq!(returned.message().body().as_ref(), b"lost?");
            assert_eq!(returned.message().message_id().unwrap(), "m-1");
        }
        other => panic!("{other:?}"),
    }
    let silently = publisher.publish(Message::to_queue(&nowhere, "not mandatory")).await.unwrap();
    must("a confirm", silently).await.unwrap();
}

#[tokio::test]
async fn a_batch_tells_which_of_it_failed() {
    let connection = connect().await;
    let queue = queue(&connection, "batch").await;
    let nowhere = name("nowhere");
    let publisher =
        connection.publisher_with(PublisherOptions::default().window(10)).await.unwrap();
    let messages = (0..100).map(|number| {
        let to = if number % 10 == 3 { &nowhere } else { &queue };
        Message::to_queue(to, number.to_string()).mandatory()
    });
    let confirms = must("room", publisher.publish_all(messages)).await.unwrap();
    let error = must("the outcome", confirms).await.unwrap_err();
    let places: Vec<usize> = error.failures.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [3, 13, 23, 33, 43, 53, 63, 73, 83, 93]);
    assert!(error.failures.iter().all(|(_, error)| matches!(error, PublishError::Returned(_))));
    assert_eq!(error.count, 100);
    assert_eq!(state(&connection, &queue).await.messages, 90);
}

#[tokio::test]
async fn a_batch_larger_than_the_window_arrives_in_order() {
    let connection = connect().await;
    let queue = queue(&connection, "order").await;
    let publisher =
        connection.publisher_with(PublisherOptions::default().window(64)).await.unwrap();
    let messages = (0..5_000).map(|number| Message::to_queue(&queue, number.to_string()));
    let confirms = must("room", publisher.publish_all(messages)).await.unwrap();
    must("the confirms", confirms).await.unwrap();
    let mut consumer = connection.consume(&queue).prefetch(500).start().await.unwrap();
    for number in 0..5_000 {
        let delivery = next(&mut consumer).await;
        assert_eq!(text(&delivery), number.to_string());
        delivery.ack().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_share_a_publisher() {
    let connection = connect().await;
    let queue = queue(&connection, "shared").await;
    let publisher = connection.publisher_with(PublisherOptions::default().window(7)).await.unwrap();
    let tasks = (0..20).map(|task| {
        let (publisher, queue) = (publisher.clone(), queue.clone());
        tokio::spawn(async move {
            for number in 0..50 {
                let body = format!("{task}-{number}");
                publisher.publish(Message::to_queue(&queue, body)).await.unwrap().await.unwrap();
            }
        })
    });
    for task in must("all tasks", join_all(tasks)).await {
        task.unwrap();
    }
    assert_eq!(state(&connection, &queue).await.messages, 1_000);
}

#[tokio::test]
async fn a_full_queue_nacks() {
    let connection = connect().await;
    let queue = name("full");
    let options = QueueOptions::exclusive()
        .argument("x-max-length", 1_i32)
        .argument("x-overflow", "reject-publish");
    connection.declare_queue(&queue, options).await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    let publish = |body: &'static str| publisher.publish(Message::to_queue(&queue, body));
    must("a confirm", publish("first").await.unwrap()).await.unwrap();
    // RabbitMQ looks at the length when it is told of the limit's reach, so it may take one more.
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(must("an outcome", publish("more").await.unwrap()).await);
    }
    assert!(matches!(outcomes.last(), Some(Err(PublishError::Nacked))), "{outcomes:?}");
}

#[tokio::test]
async fn a_publisher_works_on_after_a_missing_exchange() {
    let connection = connect().await;
    let queue = queue(&connection, "works-on").await;
    let publisher = connection.publisher().await.unwrap();
    let missing = Message::to_exchange(name("missing"), "key", "x");
    match must("an outcome", publisher.publish(missing).await.unwrap()).await {
        Err(PublishError::Refused(fault)) => assert!(fault.is_not_found(), "{fault}"),
        other => panic!("{other:?}"),
    }
    let confirm =
        must("a new channel", publisher.publish(Message::to_queue(&queue, "y"))).await.unwrap();
    must("a confirm", confirm).await.unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 1);
}

#[tokio::test]
async fn what_nobody_awaits_is_told_by_flush() {
    let connection = connect().await;
    let queue = queue(&connection, "flush").await;
    let publisher = connection.publisher().await.unwrap();
    for number in 0..10 {
        let to = if number == 4 { name("nowhere") } else { queue.clone() };
        drop(publisher.publish(Message::to_queue(&to, "x").mandatory()).await.unwrap());
    }
    let error = must("a flush", publisher.flush()).await.unwrap_err();
    assert_eq!(error.failed, 1);
    assert!(matches!(error.first, PublishError::Returned(_)));
    must("a second flush", publisher.flush()).await.unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 9);
}

#[tokio::test]
async fn dropping_the_publisher_loses_nothing() {
    let connection = connect().await;
    let queue = queue(&connection, "dropped").await;
    let publisher = connection.publisher().await.unwrap();
    for number in 0..1_000 {
        drop(publisher.publish(Message::to_queue(&queue, number.to_string())).await.unwrap());
    }
    drop(publisher);
    let mut consumer = connection.consume(&queue).prefetch(0).start().await.unwrap();
    for number in 0..1_000 {
        let delivery = next(&mut consumer).await;
        assert_eq!(text(&delivery), number.to_string());
        delivery.ack().unwrap();
    }
}

#[tokio::test]
async fn a_publish_that_is_dropped_while_it_waits_sends_nothing() {
    let connection = connect().await;
    let queue = queue(&connection, "cancelled").await;
    let publisher = connection.publisher().await.unwrap();
    drop(publisher.publish(Message::to_queue(&queue, "never polled")));
    publisher.publish(Message::to_queue(&queue, "sent")).await.unwrap().await.unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 1);
}

#[tokio::test]
async fn a_fanout_reaches_every_queue() {
    let connection = connect().await;
    let (exchange, one, two) =
        (name("fanout"), queue(&connection, "one").await, queue(&connection, "two").await);
    connection
        .declare_exchange(&exchange, ExchangeOptions::fanout().transient().auto_delete())
        .await
        .unwrap();
    for queue in [&one, &two] {
        connection.bind_queue(queue, &exchange, "", Default::default()).await.unwrap();
    }
    let publisher = connection.publisher().await.unwrap();
    publisher
        .publish(Message::to_exchange(&exchange, "any", "x").mandatory())
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(state(&connection, &one).await.messages, 1);
    assert_eq!(state(&connection, &two).await.messages, 1);
}

#[tokio::test]
async fn without_confirms_messages_arrive_too() {
    let connection = connect().await;
    let queue = queue(&connection, "unconfirmed").await;
    let publisher = connection.unconfirmed_publisher().await.unwrap();
    for number in 0..2_000 {
        must("room", publisher.publish(Message::to_queue(&queue, number.to_string())))
            .await
            .unwrap();
    }
    let mut consumer = connection.consume(&queue).no_ack().start().await.unwrap();
    for number in 0..2_000 {
        let delivery = next(&mut consumer).await;
        assert_eq!(text(&delivery), number.to_string());
    }
}

/// A broker would close the connection for it, and with it end all that is in flight.
#[tokio::test]
async fn headers_that_fit_into_no_frame_are_refused_before_they_are_sent() {
    let connection = must("a connection", async {
        Connection::connect(&format!("{}?frame_max=4096", crate::ground::uri())).await
    });
    let connection = connection.await.unwrap();
    let queue = queue(&connection, "headers").await;
    let publisher = connection.publisher().await.unwrap();
    let message = |size: usize| Message::to_queue(&queue, "x").header("h", "x".repeat(size));
    let fits = must("room", publisher.publish(message(4_000))).await.unwrap();
    let batch = [message(1), message(5_000)];
    for refused in [
        must("a refusal", publisher.publish(message(5_000))).await.map(drop),
        must("a refusal", publisher.publish_all(batch)).await.map(drop),
    ] {
        assert!(matches!(refused, Err(PublishError::Invalid(_))), "{refused:?}");
    }
    must("a confirm", fits).await.unwrap();
    assert_eq!(state(&connection, &queue).await.messages, 1, "nothing of the batch");
}

/// The broker closes the channel for it, and with it takes what was under way.
#[tokio::test]
async fn one_wrong_message_fails_only_itself() {
    let connection = connect().await;
    let queue = queue(&connection, "innocents").await;
    let missing = name("missing");
    for is_resending in [false, true] {
        let options = PublisherOptions::default();
        let options = if is_resending { options.resend() } else { options };
        let publisher = connection.publisher_with(options).await.unwrap();
        let messages = (0..100).map(|number| match number {
            37 | 38 | 90 => Message::to_exchange(&missing, "key", "wrong"),
            _ => Message::to_queue(&queue, number.to_string()),
        });
        let confirms = must("room", publisher.publish_all(messages)).await.unwrap();
        let error = must("the outcome", confirms).await.unwrap_err();
        let places: Vec<usize> = error.failures.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, [37, 38, 90]);
        assert!(error.failures.iter().all(
            |(_, error)| matches!(error, PublishError::Refused(fault) if fault.is_not_found())
        ));
        let (mut bodies, mut ids) = (BTreeMap::new(), BTreeSet::new());
        let mut consumer = connection.consume(&queue).start().await.unwrap();
        while bodies.len() < 97 {
            let delivery = next(&mut consumer).await;
            let id = delivery.message_id().expect("every message has one");
            ids.insert(id.to_string());
            let before = bodies.insert(text(&delivery), id.clone());
            assert!(before.is_none_or(|before| before == id), "a repetition keeps its id");
            delivery.ack().unwrap();
        }
        assert_eq!(ids.len(), 97);
        must("a close", consumer.close()).await.unwrap();
        connection.purge_queue(&queue).await.unwrap();
    }
}

/// RabbitMQ and Forebay answer with a text that names nothing in the message.
#[tokio::test]
async fn a_wrong_message_that_the_broker_does_not_name_fails_only_itself() {
    let connection = connect().await;
    let queue = queue(&connection, "unnamed").await;
    let publisher = connection.publisher().await.unwrap();
    let messages = (0..20).map(|number| {
        let message = Message::to_queue(&queue, number.to_string());
        if number == 7 { message.user_id("somebody-else") } else { message }
    });
    let confirms = must("room", publisher.publish_all(messages)).await.unwrap();
    let error = must("the outcome", confirms).await.unwrap_err();
    let places: Vec<usize> = error.failures.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [7], "{error}");
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let mut bodies = BTreeSet::new();
    while bodies.len() < 19 {
        let delivery = next(&mut consumer).await;
        bodies.insert(text(&delivery));
        delivery.ack().unwrap();
    }
    let after = publisher.publish(Message::to_queue(&queue, "after")).await.unwrap();
    must("a confirm", after).await.unwrap();
}

#[tokio::test]
async fn whoever_waits_for_room_is_served_in_turn_and_a_dropped_future_sends_nothing() {
    let connection = connect().await;
    let queue = queue(&connection, "turns").await;
    let proxy = Proxy::start(broker::shared(), 1).await;
    let through = must("a connection", Connection::connect(&proxy.uri())).await.unwrap();
    let options = PublisherOptions::default().window(1);
    let publisher = through.publisher_with(options).await.unwrap();
    // Nobody is told that the first one is stored, so the window stays full.
    proxy.mute();
    let first = must("room", publisher.publish(Message::to_queue(&queue, "first"))).await.unwrap();
    // It arrives, and nobody is told.
    while state(&connection, &queue).await.messages == 0 {}
    let mut waiting: Vec<_> = (0..10)
        .map(|number| {
            let message = Message::to_queue(&queue, number.to_string());
            Box::pin(async { publisher.publish(message).await.unwrap().await })
        })
        .collect();
    for future in &mut waiting {
        assert!(poll!(future).is_pending());
    }
    // From the front, the middle and the end.
    for at in [9, 4, 0] {
        drop(waiting.remove(at));
    }
    proxy.unmute();
    proxy.cut();
    assert!(matches!(must("the outcome", first).await, Err(PublishError::Unknown(_))));
    for outcome in must("confirms", join_all(waiting)).await {
        outcome.unwrap();
    }
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..8 {
        let delivery = next(&mut consumer).await;
        seen.push(text(&delivery));
        delivery.ack().unwrap();
    }
    assert_eq!(seen, ["first", "1", "2", "3", "5", "6", "7", "8"]);
    assert_eq!(state(&connection, &queue).await.messages, 0);
}

#[tokio::test]
async fn close_tells_what_nobody_awaited_and_is_not_known_to_be_stored() {
    let own = connect().await;
    let queue = queue(&own, "lost").await;
    let proxy = Proxy::start(broker::shared(), 1).await;
    let connection = must("a connection", Connection::connect(&proxy.uri())).await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    for _ in 0..3 {
        let message = Message::to_queue(name("nowhere"), "x").mandatory();
        drop(must("room", publisher.publish(message)).await.unwrap());
    }
    let fine = must("room", publisher.publish(Message::to_queue(&queue, "fine"))).await.unwrap();
    must("a confirm", fine).await.unwrap();
    drop(publisher);
    let other = connection.publisher().await.unwrap();
    let mut state = connection.state();
    proxy.mute();
    for _ in 0..2 {
        drop(must("room", other.publish(Message::to_queue(&queue, "x"))).await.unwrap());
    }
    proxy.shut();
    must("the loss", state.wait_for(|state| !state.is_connected())).await.unwrap();
    let error = must("a close", connection.close()).await.unwrap_err();
    assert_eq!(error.messages, 5, "{error}");
    assert!(matches!(error.first, PublishError::Returned(_)), "{error}");
}
