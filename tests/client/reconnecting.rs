//! The network fails, the program goes on.

use crate::ground::{connect, fill, name, next, queue, state, text};
use crate::harness::{broker, must};
use crate::proxy::Proxy;
use forebay_client::{
    ConnectOptions, Connection, ConnectionState, ConsumeError, Error, ExchangeOptions, Loss,
    Message, PublishError, PublisherOptions, QueueOptions, SettleError,
};
use futures_util::poll;
use std::time::Duration;
use tokio::sync::watch::Receiver;

async fn proxied(options: impl FnOnce(ConnectOptions) -> ConnectOptions) -> (Proxy, Connection) {
    let proxy = Proxy::start(broker::shared(), 1).await;
    let plain: ConnectOptions = proxy.uri().parse().unwrap();
    let quick = plain.backoff(Duration::from_millis(5), Duration::from_millis(50));
    let connection = must("a connection", Connection::connect(options(quick))).await.unwrap();
    (proxy, connection)
}

async fn down(state: &mut Receiver<ConnectionState>) -> Loss {
    let found =
        must("the loss", state.wait_for(|state| matches!(state, ConnectionState::Down(_)))).await;
    match &*found.unwrap() {
        ConnectionState::Down(outage) => outage.loss.clone(),
        other => panic!("{other:?}"),
    }
}

async fn up(state: &mut Receiver<ConnectionState>) {
    must("the return", state.wait_for(|state| matches!(state, ConnectionState::Up(_))))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_consumer_goes_on_and_its_topology_is_there_again() {
    let (proxy, connection) = proxied(|options| options).await;
    let exchange = name("restored");
    connection
        .declare_exchange(&exchange, ExchangeOptions::direct().transient().auto_delete())
        .await
        .unwrap();
    let queue = queue(&connection, "restored").await;
    connection.bind_queue(&queue, &exchange, "key", Default::default()).await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let publish = async |body: &'static str| {
        loop {
            let message = Message::to_exchange(&exchange, "key", body).mandatory();
            match must("an outcome", publisher.publish(message).await.unwrap()).await {
                Ok(()) => break,
                // The cut came between, or the exclusive queue of the lost connection lives still.
                Err(error) => assert!(
                    error.may_be_stored() || matches!(error, PublishError::Returned(_)),
                    "{error}"
                ),
            }
        }
    };
    publish("before").await;
    next(&mut consumer).await.ack().unwrap();
    for round in ["one", "two", "three"] {
        let mut watch = connection.state();
        proxy.cut();
        down(&mut watch).await;
        publish(round).await;
        let delivery = next(&mut consumer).await;
        assert_eq!(text(&delivery), round);
        delivery.ack().unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_queue_named_by_the_broker_has_a_new_name() {
    let (proxy, connection) = proxied(|options| options).await;
    let first = connection.declare_queue("", QueueOptions::exclusive()).await.unwrap().name;
    let mut consumer = connection.consume(&first).start().await.unwrap();
    let mut watch = connection.state();
    proxy.cut();
    down(&mut watch).await;
    up(&mut watch).await;
    // Declarations take their turn after the restoration of the topology.
    must("a state", connection.inspect_queue(&first)).await.unwrap();
    let present = connection.present_queue_name(&first);
    assert_ne!(present, first);
    fill(&connection, present.as_str().unwrap(), ["x".to_owned()]).await;
    next(&mut consumer).await.ack().unwrap();
}

#[tokio::test]
async fn what_was_in_hand_comes_again() {
    let (proxy, connection) = proxied(|options| options).await;
    let own = connect().await;
    let queue = queue(&own, "in-hand").await;
    own.delete_queue(&queue).await.unwrap();
    let queue = name("in-hand");
    own.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    fill(&own, &queue, ["x".to_owned()]).await;
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let held = next(&mut consumer).await;
    let mut watch = connection.state();
    proxy.cut();
    down(&mut watch).await;
    assert_eq!(held.ack(), Err(SettleError::ChannelGone));
    let again = next(&mut consumer).await;
    assert!(again.is_redelivered());
    again.ack().unwrap();
    must("a close", consumer.close()).await.unwrap();
    assert_eq!(own.delete_queue(&queue).await.unwrap(), 0);
}

#[tokio::test]
async fn without_its_confirm_a_message_is_unknown() {
    let (proxy, connection) = proxied(|options| options).await;
    let own = connect().await;
    let queue = queue(&own, "unknown").await;
    let publisher = connection.publisher().await.unwrap();
    proxy.mute();
    let confirm = publisher.publish(Message::to_queue(&queue, "x")).await.unwrap();
    // It arrives, but nobody is told.
    while state(&own, &queue).await.messages == 0 {
        tokio::task::yield_now().await;
    }
    proxy.cut();
    match must("the outcome", confirm).await {
        Err(error @ PublishError::Unknown(_)) => assert!(error.may_be_stored()),
        other => panic!("{other:?}"),
    }
    proxy.unmute();
    let confirm = must("room", publisher.publish(Message::to_queue(&queue, "y"))).await.unwrap();
    must("a confirm", confirm).await.unwrap();
    assert_eq!(state(&own, &queue).await.messages, 2);
}

#[tokio::test]
async fn a_resending_publisher_repeats_with_the_same_id() {
    let (proxy, connection) = proxied(|options| options).await;
    let own = connect().await;
    let queue = queue(&own, "resend").await;
    let publisher = connection.publisher_with(PublisherOptions::default().resend()).await.unwrap();
    proxy.mute();
    let bodies = ["a", "b", "c"];
    let messages = bodies.map(|body| Message::to_queue(&queue, body));
    let confirms = publisher.publish_all(messages).await.unwrap();
    while state(&own, &queue).await.messages < 3 {
        tokio::task::yield_now().await;
    }
    proxy.unmute();
    proxy.cut();
    must("the confirms", confirms).await.unwrap();
    let mut consumer = own.consume(&queue).start().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..6 {
        let delivery = next(&mut consumer).await;
        seen.push((text(&delivery), delivery.message_id().unwrap()));
        delivery.ack().unwrap();
    }
    assert_eq!(seen[..3], seen[3..], "each twice, with the same id");
    assert!(
        seen.iter()
            .map(|(body, _)| body)
            .zip(bodies.iter().chain(&bodies))
            .all(|(found, sent)| found == sent)
    );
}

#[tokio::test]
async fn a_silent_broker_is_left_and_found_again() {
    let (proxy, connection) = proxied(|options| options.heartbeat(Duration::from_secs(1))).await;
    let mut watch = connection.state();
    proxy.mute();
    let loss = down(&mut watch).await;
    assert!(matches!(loss, Loss::Silent(_)), "{loss}");
    proxy.unmute();
    up(&mut watch).await;
    queue(&connection, "after-silence").await;
}

#[tokio::test]
async fn a_quiet_connection_is_kept_by_heartbeats() {
    let (proxy, connection) = proxied(|options| options.heartbeat(Duration::from_secs(1))).await;
    let watch = connection.state();
    // Longer than broker and client bear silence.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert!(matches!(&*watch.borrow(), ConnectionState::Up(_)));
    assert_eq!(proxy.cuts.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn reconnection_is_given_up_when_told_so() {
    let (proxy, connection) =
        proxied(|options| options.reconnect_for(Duration::from_millis(1))).await;
    let own = connect().await;
    let queue = queue(&own, "given-up").await;
    own.delete_queue(&queue).await.unwrap();
    let queue = name("given-up");
    own.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    proxy.shut();
    match must("the end", consumer.next()).await {
        Some(Err(ConsumeError::Connection(Error::GivenUp(_)))) => {}
        other => panic!("{other:?}"),
    }
    let publish = must("an error", publisher.publish(Message::to_queue(&queue, "x"))).await;
    assert!(matches!(publish, Err(PublishError::NotSent(Error::GivenUp(_)))), "{publish:?}");
    own.delete_queue(&queue).await.unwrap();
}

#[tokio::test]
async fn publishing_waits_while_the_connection_is_down() {
    let (proxy, connection) = proxied(|options| options).await;
    let own = connect().await;
    let queue = queue(&own, "waits").await;
    let publisher = connection.publisher().await.unwrap();
    let mut watch = connection.state();
    proxy.cut();
    down(&mut watch).await;
    // From here on the message is sent once, after the reconnection.
    let confirm = must("room", publisher.publish(Message::to_queue(&queue, "x"))).await.unwrap();
    must("a confirm", confirm).await.unwrap();
    assert_eq!(state(&own, &queue).await.messages, 1);
}

/// The broker takes the lost connection for alive, and with it its exclusive queue.
#[tokio::test]
async fn an_exclusive_queue_that_is_still_held_keeps_nobody_else_waiting() {
    let (proxy, connection) = proxied(|options| options).await;
    let own = connect().await;
    let queue = queue(&connection, "locked").await;
    let other = queue_of(&own, "unlocked").await;
    let exchange = name("locked");
    let transient = ExchangeOptions::fanout().transient();
    connection.declare_exchange(&exchange, transient).await.unwrap();
    connection.bind_queue(&queue, &exchange, "", Default::default()).await.unwrap();
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    let mut watch = connection.state();
    proxy.cling(true);
    proxy.cut();
    down(&mut watch).await;
    let message = Message::to_queue(&other, "at once").mandatory();
    let confirm = must("a channel", publisher.publish(message)).await.unwrap();
    must("a confirm", confirm).await.unwrap();
    let partial = must("the state", watch.wait_for(ConnectionState::is_connected)).await.unwrap();
    let ConnectionState::Partial { missing, .. } = &*partial else { panic!("{partial:?}") };
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].is_awaited && missing[0].fault.is_locked(), "{missing:?}");
    assert_eq!((missing[0].request, missing[0].name.as_str()), ("queue.declare", queue.as_str()));
    drop(partial);
    proxy.cling(false);
    up(&mut watch).await;
    let bound = Message::to_exchange(&exchange, "", "x").mandatory();
    let confirm = must("room", publisher.publish(bound)).await.unwrap();
    must("a confirm", confirm).await.unwrap();
    next(&mut consumer).await.ack().unwrap();
    connection.delete_exchange(&exchange).await.unwrap();
}

async fn queue_of(connection: &Connection, of: &str) -> String {
    queue(connection, of).await
}

/// The broker takes the lost connection for alive, and with it the only consumer that may be.
#[tokio::test]
async fn an_exclusive_consumer_comes_back() {
    let (proxy, connection) = proxied(|options| options).await;
    let own = connect().await;
    let queue = name("only-one");
    own.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    let mut consumer = connection.consume(&queue).exclusive().start().await.unwrap();
    let mut watch = connection.state();
    proxy.cling(true);
    proxy.cut();
    down(&mut watch).await;
    up(&mut watch).await;
    assert!(poll!(Box::pin(consumer.next())).is_pending(), "it has not ended");
    proxy.cling(false);
    fill(&own, &queue, ["x".to_owned()]).await;
    next(&mut consumer).await.ack().unwrap();
    must("a close", consumer.close()).await.unwrap();
    own.delete_queue(&queue).await.unwrap();
}

#[tokio::test]
async fn what_the_broker_refuses_to_restore_is_said_in_the_state() {
    let (proxy, connection) = proxied(|options| options).await;
    let own = connect().await;
    let queue = name("changed");
    connection.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    own.delete_queue(&queue).await.unwrap();
    let options = QueueOptions::durable().argument("x-max-length", 7_i32);
    own.declare_queue(&queue, options).await.unwrap();
    let mut watch = connection.state();
    proxy.cut();
    down(&mut watch).await;
    let partial = must("the state", watch.wait_for(ConnectionState::is_connected)).await.unwrap();
    let ConnectionState::Partial { missing, .. } = &*partial else { panic!("{partial:?}") };
    assert_eq!((missing.len(), missing[0].name.as_str()), (1, queue.as_str()));
    assert!(missing[0].fault.is_precondition_failed() && !missing[0].is_awaited, "{missing:?}");
    drop(partial);
    let confirm = must("room", publisher.publish(Message::to_queue(&queue, "x"))).await.unwrap();
    must("a confirm", confirm).await.unwrap();
    own.delete_queue(&queue).await.unwrap();
}

#[tokio::test]
async fn the_state_says_why_reconnecting_fails() {
    let (proxy, connection) = proxied(|options| options).await;
    let mut watch = connection.state();
    proxy.shut();
    let failed = must(
        "a failure",
        watch.wait_for(
            |state| matches!(state, ConnectionState::Down(outage) if outage.last_failure.is_some()),
        ),
    );
    let state = failed.await.unwrap().clone();
    let ConnectionState::Down(outage) = state else { panic!("{state:?}") };
    assert!(outage.attempts > 0);
    assert!(outage.to_string().contains("attempts to reconnect, the last: "), "{outage}");
}

/// The broker deleted it with its last consumer.
#[tokio::test]
async fn what_the_broker_deleted_by_itself_is_not_declared_again() {
    let (proxy, connection) = proxied(|options| options).await;
    let own = connect().await;
    let (left, used) = (name("auto-delete"), name("auto-delete"));
    let exchange = name("auto-delete");
    let options = ExchangeOptions::fanout().transient().auto_delete();
    connection.declare_exchange(&exchange, options).await.unwrap();
    for queue in [&left, &used] {
        let options = QueueOptions::transient().auto_delete();
        connection.declare_queue(queue, options).await.unwrap();
    }
    connection.bind_queue(&left, &exchange, "", Default::default()).await.unwrap();
    let _kept = connection.consume(&used).start().await.unwrap();
    drop(connection.consume(&left).start().await.unwrap());
    while own.inspect_queue(&left).await.is_ok() {}
    let mut watch = connection.state();
    proxy.cut();
    down(&mut watch).await;
    up(&mut watch).await;
    must("the used one", async { while own.inspect_queue(&used).await.is_err() {} }).await;
    assert!(own.inspect_queue(&left).await.unwrap_err().fault().unwrap().is_not_found());
    let bind = own.bind_exchange("amq.fanout", &exchange, "", Default::default()).await;
    assert!(bind.unwrap_err().fault().unwrap().is_not_found());
}

/// What was read before the loss and not yet handed out comes again, so it is not handed out.
#[tokio::test]
async fn deliveries_of_a_lost_connection_are_not_handed_out() {
    let (proxy, connection) = proxied(|options| options).await;
    let own = connect().await;
    let queue = name("taken");
    let options = match broker::attached() {
        None => QueueOptions::durable().argument("x-delivery-limit", -1_i32),
        Some(_) => QueueOptions::durable(),
    };
    own.declare_queue(&queue, options).await.unwrap();
    fill(&own, &queue, (0..10).map(|number| number.to_string())).await;
    let mut consumer = connection.consume(&queue).prefetch(10).start().await.unwrap();
    // The answer to a request comes behind the deliveries, so all of them are there.
    while state(&own, &queue).await.messages > 0 {}
    connection.inspect_queue(&queue).await.unwrap();
    next(&mut consumer).await.ack().unwrap();
    must("a settlement", async { connection.inspect_queue(&queue).await }).await.unwrap();
    let mut watch = connection.state();
    proxy.cut();
    down(&mut watch).await;
    let mut seen = Vec::new();
    while seen.len() < 9 {
        let delivery = next(&mut consumer).await;
        assert!(delivery.is_redelivered());
        seen.push(text(&delivery));
        assert_eq!(delivery.ack(), Ok(()), "it belongs to the present connection");
    }
    assert_eq!(seen, (1..10).map(|number| number.to_string()).collect::<Vec<_>>());
    must("a close", consumer.close()).await.unwrap();
    own.delete_queue(&queue).await.unwrap();
}

#[tokio::test]
async fn a_renewed_password_is_told_and_serves_the_next_login() {
    let (proxy, connection) = proxied(|options| options).await;
    must("an answer", connection.update_secret("guest")).await.unwrap();
    let mut watch = connection.state();
    // A wrong one: the broker keeps what is open, and refuses the next login.
    must("an answer", connection.update_secret("wrong")).await.unwrap();
    proxy.cut();
    down(&mut watch).await;
    let renewed = must("a login", async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(matches!(&*watch.borrow(), ConnectionState::Down(_)));
        connection.update_secret("guest").await
    });
    renewed.await.unwrap();
    queue(&connection, "renewed").await;
}

#[tokio::test]
async fn statistics_count_over_reconnections() {
    let (proxy, connection) = proxied(|options| options).await;
    let own = connect().await;
    let queue = queue(&own, "counted").await;
    own.delete_queue(&queue).await.unwrap();
    let queue = name("counted");
    own.declare_queue(&queue, QueueOptions::durable()).await.unwrap();
    fill(&connection, &queue, ["a", "b", "c"].map(ToOwned::to_owned)).await;
    let publisher = connection.publisher().await.unwrap();
    let nowhere = Message::to_queue(name("nowhere"), "x").mandatory();
    let returned = must("room", publisher.publish(nowhere)).await.unwrap();
    must("the outcome", returned).await.unwrap_err();
    let mut watch = connection.state();
    proxy.cut();
    down(&mut watch).await;
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    for _ in 0..2 {
        next(&mut consumer).await.ack().unwrap();
    }
    next(&mut consumer).await.reject().unwrap();
    let counted = connection.statistics();
    assert_eq!((counted.connects, counted.published, counted.confirmed), (2, 4, 3));
    assert_eq!((counted.failed, counted.delivered, counted.acked), (1, 3, 2));
    assert_eq!(counted.rejected, 1);
    must("a close", consumer.close()).await.unwrap();
    own.delete_queue(&queue).await.unwrap();
}
