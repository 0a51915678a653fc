//! Peers of the HTTP listeners that are slow, silent, greedy or somebody else's page: they are given
//! up or refused, and nobody else notices.

use crate::harness::broker::{Broker, http_get};
use crate::harness::launch::Launch;
use crate::harness::{PATIENCE, raw::Raw};
use crate::http::Admin;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use tempfile::TempDir;

/// More than there are places.
const PEERS: usize = 70;

const QUEUE_HEAD: &str = "PUT /api/queues/%2f/q HTTP/1.1\r\nHost: x\r\n";

fn broker() -> (Broker, TempDir) {
    let data = TempDir::new().unwrap();
    (Broker::start(data.path()), data)
}

fn say(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// What comes until the broker ends the connection. A reset is an end, too.
fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8(answer).unwrap()
}

fn guest() -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode("guest:guest"))
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_end_hold_no_place_for_long() {
    let (broker, _data) = broker();
    for address in [broker.admin, broker.metrics] {
        // Some say nothing, some begin; as many as there are places and more.
        let head = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ";
        let stalled: Vec<_> = (0..PEERS).map(|n| say(address, &head[..n % head.len()])).collect();
        // Clients of AMQP do not wait for them, whoever comes over HTTP waits until they are gone.
        Raw::open(broker.address).await;
        assert!(http_get(address, "/metrics").starts_with("HTTP/1."));
        for stream in stalled {
            let answer = rest(stream);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }
}

#[test]
fn an_idle_connection_ends() {
    let (broker, _data) = broker();
    let head = b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n";
    // The second request is answered as well, and then the broker has the last word.
    let mut stream = say(broker.metrics, head);
    stream.write_all(head).unwrap();
    assert_eq!(rest(stream).matches("200 OK").count(), 2);
}

#[test]
fn who_is_not_let_in_keeps_no_connection() {
    let (broker, _data) = broker();
    // Neither is its body read.
    let head = format!("{QUEUE_HEAD}Content-Length: 30000000\r\n\r\n");
    let answer = rest(say(broker.admin, head.as_bytes()));
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
}

/// The answer comes to the head alone: who waits for a word before it sends its body gets it, and who
/// sends no body does not hold up the answer.
#[test]
fn a_body_is_refused_before_it_is_read() {
    let (broker, _data) = broker();
    let paths = ["PUT /api/queues/%2f/q", "POST /api/definitions", "PUT /api/users/u"];
    for (login, path, expected) in
        paths.iter().flat_map(|path| [(String::new(), path, "401"), (guest(), path, "413")])
    {
        for expect in ["", "Expect: 100-continue\r\n"] {
            let head = format!(
                "{path} HTTP/1.1\r\nHost: x\r\n{login}{expect}Content-Length: 1073741824\r\n\r\n"
            );
            let mut stream = say(broker.admin, head.as_bytes());
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            assert_eq!(status, *format!("HTTP/1.1 {expected}").as_bytes(), "{path} {expect}");
        }
    }
}

#[test]
fn a_file_that_is_too_large_waits_for_no_other_import() {
    let (broker, _data) = broker();
    let import = |length: u64| {
        let head = "POST /api/definitions HTTP/1.1\r\nHost: x\r\n";
        let head = format!("{head}{}Content-Length: {length}\r\n\r\n", guest());
        say(broker.admin, head.as_bytes())
    };
    // Its turn lasts until its body is there.
    let mut stalled = import(2);
    let mut status = [0; 12];
    import(1 << 30).read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    stalled.set_nonblocking(true).unwrap();
    let kind = stalled.read(&mut status).map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::WouldBlock), "the other import had ended");
    stalled.set_nonblocking(false).unwrap();
    stalled.write_all(b"{}").unwrap();
    stalled.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 204");
}

#[test]
fn a_body_that_never_comes_and_one_that_is_too_large_are_refused() {
    let (broker, _data) = broker();
    let ask = |length: u64| {
        let head = format!("{QUEUE_HEAD}{}Content-Length: {length}\r\n\r\n{{", guest());
        say(broker.admin, head.as_bytes())
    };
    let mut never = ask(2);
    let mut large = ask(1 << 30);
    let mebibyte = vec![b' '; 1 << 20];
    // The broker ends it when it has more than it takes.
    let _ = (0..64).try_for_each(|_| large.write_all(&mebibyte));
    let mut status = [0; 12];
    large.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    never.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 503");
}

#[test]
fn an_endless_head_is_refused() {
    let (broker, _data) = broker();
    let mut stream = say(broker.admin, b"GET / HTTP/1.1\r\n");
    let line = format!("X-Filler: {}\r\n", "x".repeat(8_000));
    // The broker ends it long before.
    let refused = (0..10_000).any(|_| stream.write_all(line.as_bytes()).is_err());
    assert!(refused);
}

#[test]
fn a_page_from_elsewhere_changes_nothing() {
    let (broker, _data) = broker();
    for header in ["Origin: http://else.where", "Sec-Fetch-Site: cross-site", "Origin: null"] {
        let head = format!(
            "{QUEUE_HEAD}{}{header}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\
             Connection: close\r\n\r\n{{}}",
            guest()
        );
        let answer = rest(say(broker.admin, head.as_bytes()));
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    let admin = Admin::guest(&broker);
    assert_eq!(admin.refused("GET", "/api/queues/%2f/q", &Value::Null).0, 404);
}

#[test]
fn nothing_is_published_over_http_while_publishers_wait() {
    let data = TempDir::new().unwrap();
    let launch = Launch::on(data.path()).argument("--memory-high-watermark").argument("1MB");
    let broker = Broker::launch(&launch);
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/queues/%2f/q", &json!({}));
    let message = json!({
        "properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string",
    });
    for (method, path, body) in [
        ("POST", "/api/exchanges/%2f/amq.default/publish", &message),
        ("POST", "/api/forebay/dead-letters/%2f/q/redrive", &json!({})),
        ("GET", "/api/aliveness-test/%2f", &Value::Null),
    ] {
        let (status, reason) = admin.refused(method, path, body);
        assert_eq!(status, 503, "{path}: {reason}");
        assert!(reason.contains("low on memory"), "{reason}");
    }
    // To look is no publish.
    admin.done("POST", "/api/forebay/dead-letters/%2f/q/redrive", &json!({ "dry_run": true }));
    admin.done("POST", "/api/queues/%2f/q/get", &json!({ "count": 1 }));
}
