//! New certificates while the broker runs.

use crate::authority::{Authority, write};
use crate::broker::TlsBroker;
use crate::client::Wallet;
use crate::harness::must;
use forebay_client::{Connection, Message, QueueOptions};
use rustix::process::Signal;
use std::net::SocketAddr;

/// The certificate that is served to a new client.
fn served(broker: &TlsBroker, address: SocketAddr) -> Vec<u8> {
    let (client, _) = Wallet::trusting(&broker.authority).greet(address).unwrap();
    client.stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_brings_new_certificates_and_ends_no_connection() {
    let broker = TlsBroker::start();
    let connection = must("connect", Connection::connect(broker.uri().as_str())).await.unwrap();
    connection.declare_queue("before", QueueOptions::durable()).await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    let state = connection.state();
    let first = served(&broker, broker.tls);

    let renewed = broker.authority.broker("renewed");
    renewed.write(broker.directory(), "broker");
    assert_eq!(served(&broker, broker.tls), first, "nobody has asked for it yet");
    broker.broker.signal(Signal::HUP);
    broker.broker.log_line(|line| line.contains("the certificates were read again"));
    assert_eq!(served(&broker, broker.tls), renewed.der().0.to_vec());

    let message = Message::to_queue("before", "still here");
    let confirm = must("publish", publisher.publish(message)).await.unwrap();
    must("confirm", confirm).await.unwrap();
    assert!(!state.has_changed().unwrap(), "the connection is the first one still");
    connection.close().await.unwrap();
}

#[test]
fn files_that_are_wrong_change_nothing() {
    let broker = TlsBroker::start();
    let first = served(&broker, broker.tls);
    let stranger = Authority::new("Another Authority").broker("other");
    write(broker.directory(), "broker.key", &stranger.key);
    broker.broker.signal(Signal::HUP);
    broker.broker.log_line(|line| line.contains("the certificates stay as they were"));
    assert_eq!(served(&broker, broker.tls), first);
}
