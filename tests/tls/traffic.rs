//! What works without TLS works with it: other people's clients, many messages, large ones.

use crate::broker::TlsBroker;
use crate::client::Wallet;
use crate::harness::{must, python};
use forebay_client::{Connection, Message, QueueOptions};
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, SupportedProtocolVersion};
use std::process::Command;

#[test]
fn both_versions_are_spoken() {
    let broker = TlsBroker::start();
    static TLS12_ONLY: [&SupportedProtocolVersion; 1] = [&TLS12];
    static TLS13_ONLY: [&SupportedProtocolVersion; 1] = [&TLS13];
    for (versions, expected) in
        [(&TLS12_ONLY, ProtocolVersion::TLSv1_2), (&TLS13_ONLY, ProtocolVersion::TLSv1_3)]
    {
        let wallet = Wallet { versions, ..Wallet::trusting(&broker.authority) };
        let (client, mechanisms) = wallet.greet(broker.tls).unwrap();
        assert_eq!(client.stream.conn.protocol_version(), Some(expected));
        assert_eq!(mechanisms, "PLAIN AMQPLAIN");
    }
}

/// Bodies of all sizes around a TLS record (16 KiB) and a read, confirmed, and back in order.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_size_go_there_and_back() {
    let broker = TlsBroker::start();
    let connection = must("connect", Connection::connect(broker.uri().as_str())).await.unwrap();
    connection.declare_queue("sizes", QueueOptions::durable()).await.unwrap();
    let publisher = connection.publisher().await.unwrap();
    let edges = [0, 1, 16_383, 16_384, 16_385, 131_071, 131_072, 131_073, 300_000, 5_000_000];
    let sizes: Vec<usize> = (0..2_000).map(|n| n * 7).chain(edges).collect();
    let body = |size: usize| (0..size).map(|at| (at % 251) as u8).collect::<Vec<u8>>();
    let mut confirms = Vec::new();
    for size in &sizes {
        let message = Message::to_queue("sizes", body(*size));
        confirms.push(publisher.publish(message).await.unwrap());
    }
    for confirm in confirms {
        must("confirm", confirm).await.unwrap();
    }
    let mut consumer = connection.consume("sizes").prefetch(100).start().await.unwrap();
    for size in &sizes {
        let delivery = must("delivery", consumer.next()).await.unwrap().unwrap();
        assert!(delivery.body()[..] == body(*size)[..], "a body of {size} bytes");
        delivery.ack().unwrap();
    }
    connection.close().await.unwrap();
}

#[test]
fn pika_speaks_tls() {
    let Some(interpreter) = python::interpreter() else { return };
    let broker = TlsBroker::start_with("cacertfile = \"CA\"\ncert_login_from = \"common_name\"\n");
    broker.authority.client("guest").write(broker.directory(), "guest");
    let output = python::run(
        Command::new(interpreter)
            .arg(python::project().join("tests/tls/pika_tls.py"))
            .arg(broker.tls.port().to_string())
            .arg(broker.directory()),
    );
    assert!(output.ends_with("all well\n"), "{output}");
}

#[test]
fn the_command_line_takes_an_authority() {
    let broker = TlsBroker::start();
    let run = |arguments: &[&str]| {
        let url = format!("amqps://guest:guest@localhost:{}", broker.tls.port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command.args(arguments).args(["--url", &url]);
        command
    };
    let declare = ["queue", "declare", "by-command"];
    let authority = broker.authority_file.to_str().unwrap();
    python::run(run(&declare).args(["--cacertfile", authority]));
    let refused = run(&declare).output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(text.contains("certificate"), "{text}");
}
