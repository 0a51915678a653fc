//! Getting connected, and one clear line for each way in which it fails.

use crate::ground::{connect, fill, name, queue, uri};
use crate::harness::{broker, must};
use forebay_client::{ConnectError, ConnectOptions, Connection, ConnectionState, Error};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn fault(options: impl TryInto<ConnectOptions, Error: Into<Error>>) -> Error {
    let fault = must("a refusal", Connection::connect(options)).await.unwrap_err();
    assert!(!fault.to_string().contains('\n'), "one line: {fault}");
    fault
}

fn options() -> ConnectOptions {
    uri().parse().unwrap()
}

#[tokio::test]
async fn a_wrong_password_is_named() {
    let fault = fault(options().credentials("guest", "wrong")).await;
    assert!(
        matches!(&fault, Error::Connect(ConnectError::CredentialsRefused { user, .. }) if user == "guest"),
        "{fault}"
    );
    assert!(fault.to_string().contains("check user name and password"), "{fault}");
}

#[tokio::test]
async fn an_unknown_vhost_is_named() {
    let fault = fault(format!("{}/nowhere", uri()).as_str()).await;
    assert!(
        matches!(&fault, Error::Connect(ConnectError::VhostRefused { vhost, .. }) if vhost == "nowhere"),
        "{fault}"
    );
}

#[tokio::test]
async fn an_unreachable_address_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let fault = fault(format!("amqp://{address}").as_str()).await;
    assert!(fault.to_string().contains(&format!("cannot reach {address}")), "{fault}");
}

#[tokio::test]
async fn a_wrong_uri_says_what_to_write() {
    let fault = fault("rabbit://localhost").await;
    assert!(fault.to_string().contains("begins with amqp:// or amqps://"), "{fault}");
}

/// A server that reads a little, says this, and closes.
async fn foreigner(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut header = [0; 8];
        stream.read_exact(&mut header).await.unwrap();
        stream.write_all(answer).await.unwrap();
    });
    format!("amqp://{address}")
}

#[tokio::test]
async fn a_server_that_is_no_broker_is_told_apart() {
    for (answer, hint) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "HTTP/1.1 400"),
        (b"AMQP\x00\x01\x00\x00", "AMQP 0.1.0.0"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "amqps://"),
        (b"", "TLS"),
    ] {
        let fault = fault(foreigner(answer).await.as_str()).await;
        assert!(matches!(&fault, Error::Connect(ConnectError::NotAmqp { .. })), "{fault:?}");
        assert!(fault.to_string().contains(hint), "{hint}: {fault}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("amqp://{}", listener.local_addr().unwrap());
    let options: ConnectOptions = silent.parse().unwrap();
    let fault = fault(options.connect_timeout(Duration::from_millis(50))).await;
    assert!(matches!(&fault, Error::Connect(ConnectError::TimedOut { .. })), "{fault:?}");
}

#[tokio::test]
async fn the_second_address_is_tried_after_the_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    let both = format!("amqp://{dead},{}", broker::shared());
    let connection = must("a connection", Connection::connect(&both)).await.unwrap();
    let state = connection.state().borrow().clone();
    assert!(
        matches!(&state, ConnectionState::Up(address) if address.to_string() == broker::shared().to_string())
    );
    let none = fault(format!("amqp://{dead},{dead}").as_str()).await;
    assert!(
        matches!(&none, Error::Connect(ConnectError::EveryAddress(faults)) if faults.len() == 2),
        "{none}"
    );
}

#[tokio::test]
async fn after_close_everything_says_closed() {
    let connection = connect().await;
    let queue = queue(&connection, "closed").await;
    fill(&connection, &queue, ["x".to_owned()]).await;
    let publisher = connection.publisher().await.unwrap();
    let mut consumer = connection.consume(&queue).start().await.unwrap();
    let other = connection.clone();
    must("a close", connection.close()).await.unwrap();
    assert!(matches!(other.inspect_queue(&queue).await, Err(Error::Closed)));
    let publish = publisher.publish(forebay_client::Message::to_queue(&queue, "y")).await;
    assert!(matches!(publish, Err(forebay_client::PublishError::NotSent(Error::Closed))));
    while let Some(delivery) = must("the end of the stream", consumer.next()).await {
        drop(delivery.unwrap());
    }
}

#[tokio::test]
async fn a_name_too_long_is_told_by_its_place() {
    let connection = connect().await;
    let long = "x".repeat(256);
    let fault = connection.declare_queue(&long, Default::default()).await.unwrap_err();
    assert_eq!(fault.to_string(), "the queue name has 256 bytes; AMQP allows 255");
    let publisher = connection.publisher().await.unwrap();
    let fault = publisher.publish(forebay_client::Message::to_queue(&long, "")).await.unwrap_err();
    assert!(fault.to_string().contains("the routing key has 256 bytes"), "{fault}");
    assert!(name("x").len() < 256);
}

/// Services start in any order.
#[tokio::test]
async fn the_first_connection_is_tried_again_on_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let options: ConnectOptions = format!("amqp://{address}").parse().unwrap();
    let options = options.backoff(Duration::from_millis(5), Duration::from_millis(20));
    let connecting =
        tokio::spawn(Connection::connect(options.clone().connect_for(Duration::from_secs(60))));
    // Nothing listens there yet.
    fault(options.clone()).await;
    let listener = TcpListener::bind(address).await.unwrap();
    let (mut client, _) = must("an attempt", listener.accept()).await.unwrap();
    let mut upstream = tokio::net::TcpStream::connect(broker::shared()).await.unwrap();
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut upstream).await });
    let connection = must("a connection", connecting).await.unwrap().unwrap();
    queue(&connection, "late").await;
    let wrong = self::options().credentials("guest", "wrong").connect_for(Duration::from_secs(600));
    let refused = fault(wrong).await;
    assert!(matches!(refused, Error::Connect(ConnectError::CredentialsRefused { .. })));
}
