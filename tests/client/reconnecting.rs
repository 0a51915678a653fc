//! The network fails, the program goes on.

use crate::ground::{connect, fill, name, next, queue, state, text};
use crate::harness::{broker, must};
use crate::proxy::Proxy;
use forebay_client::{
    ConnectOptions, Connection, ConnectionState, ConsumeError, Error, ExchangeOptions, Loss,
    Message, PublishError, PublisherOptions, QueueOptions, SettleError,
};
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
        ConnectionState::Down(loss) => loss.clone(),
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
    connection.close().await;
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
async fn an_exclusive_queue_is_waited_for() {
    let (proxy, connection) = proxied(|options| options).await;
    let own = connect().await;
    let queue = queue(&connection, "locked").await;
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let mut watch = connection.state();
    proxy.cling(true);
    proxy.cut();
    down(&mut watch).await;
    // Longer than several attempts to declare it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(matches!(&*watch.borrow(), ConnectionState::Down(_)), "not without the queue");
    let fault = own.inspect_queue(&queue).await.unwrap_err();
    assert!(fault.fault().is_some_and(forebay_client::Fault::is_locked), "{fault}");
    proxy.cling(false);
    up(&mut watch).await;
    fill(&connection, &queue, ["x".to_owned()]).await;
    next(&mut consumer).await.ack().unwrap();
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
