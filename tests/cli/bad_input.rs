//! What is wrong is said in one line that names it.

use crate::harness::broker;
use crate::terminal::run;
use std::io::{Read, Write};
use std::net::TcpListener;

/// Why the broker at this URI shows no queue.
fn refused(uri: &str) -> String {
    run(&["queue", "count", "any", "--url", uri]).failure()
}

#[test]
fn a_wrong_uri_says_what_was_expected() {
    for (uri, reason) in [
        ("localhost", "begins with amqp:// or amqps://"),
        ("http://localhost", "begins with amqp:// or amqps://"),
        ("amqp://", "names no host"),
        ("amqp://localhost:99999", "`99999` is no TCP port"),
        ("amqp://localhost?heartbeat=often", "heartbeat is `often`"),
        ("amqp://localhost?hartbeat=5", "`hartbeat` is no parameter"),
    ] {
        let line = refused(uri);
        assert!(line.contains(reason), "{uri}: {line}");
    }
}

#[test]
fn refused_credentials_name_the_user_and_not_the_password() {
    let line = refused(&format!("amqp://mallory:secret@{}", broker::shared()));
    assert!(line.contains("refused user `mallory`"), "{line}");
    assert!(!line.contains("secret"), "{line}");
}

#[test]
fn an_unknown_vhost_is_named() {
    let line = refused(&format!("amqp://{}/nowhere", broker::shared()));
    assert!(line.contains("refused vhost `nowhere`"), "{line}");
}

#[test]
fn an_address_without_a_broker_is_named() {
    // Bound and dropped: nobody listens there now.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let line = refused(&format!("amqp://{address}"));
    assert!(line.contains(&format!("cannot reach {address}")), "{line}");
    let line = refused("amqp://no-such-host.invalid");
    assert!(line.contains("cannot reach no-such-host.invalid:5672"), "{line}");
}

#[test]
fn a_server_that_is_no_broker_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.read_exact(&mut [0; 8]).unwrap();
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let line = refused(&format!("amqp://{address}"));
    assert!(line.contains("is no AMQP 0-9-1 broker"), "{line}");
    assert!(line.contains("HTTP/1.1 400 Bad Request"), "{line}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let line = run(&["publish", "--queue", "any", "--file", "/no/such/file"]).failure();
    assert!(line.contains("/no/such/file"), "{line}");
}
