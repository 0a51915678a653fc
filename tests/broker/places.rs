//! Sockets that are slow on purpose, or never log in, keep nobody out; a balancer says whose connections
//! it hands on.

use crate::harness::broker::{Broker, http_get, is_ours};
use crate::harness::launch::Launch;
use crate::harness::raw::{Raw, plain};
use crate::harness::session::Session;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use forebay_wire::{Method, PROTOCOL_HEADER};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use tempfile::TempDir;

/// More than there are places for, with all of them from one address.
const SLOW: usize = 400;

/// Sockets that say nothing, that never finish what they say, and that take no answer.
fn slow_sockets(address: SocketAddr, path: &str) -> Vec<TcpStream> {
    let said = [
        "".to_owned(),
        format!("GET {path} HT"),
        format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"),
    ];
    let open = |number: usize| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(said[number % said.len()].as_bytes()).unwrap();
        stream
    };
    (0..SLOW).map(open).collect()
}

#[test]
fn a_probe_is_answered_although_slow_sockets_hold_all_other_places() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    let broker = Broker::start(data.path());
    let _metrics = slow_sockets(broker.metrics, "/metrics");
    let answer = http_get(broker.metrics, "/health/ready");
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    let _admin = slow_sockets(broker.admin, "/api/overview");
    let answer = http_get(broker.admin, "/api/whoami");
    assert!(answer.starts_with("HTTP/1.0 401"), "{answer}");
    broker.log_line(|line| line.contains("connections dropped: they kept others waiting for HTTP"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_gets_through_although_others_never_log_in() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    // 512 files are kept for the store: room for 88 connections, of which 22 may be without a login.
    let limit = ["prlimit", "--nofile=600:600"].map(str::to_owned).to_vec();
    let broker = Broker::launch(&Launch::on(data.path()).through(limit));
    let before = Session::open_at(broker.address).await;
    let mut silent = Vec::new();
    for number in 0..60 {
        let mut raw = Raw::connect(broker.address).await;
        raw.send_bytes(&PROTOCOL_HEADER[..number % 9]).await;
        silent.push(raw);
    }
    let session = Session::open_at(broker.address).await;
    broker.log_line(|line| {
        line.contains("connections dropped: they kept others waiting for a login")
    });
    session.channel().await;
    before.channel().await;
}

/// A header of the PROXY protocol, version 2, with this command, from 192.0.2.7:40000.
fn proxy_header(command: u8) -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 0x16, 0x28];
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, 0x11, 0, 12], &addresses].concat()
}

/// What is answered to a login of `guest` behind these bytes; nothing when the socket ends.
async fn log_in(address: SocketAddr, before: &[u8]) -> Option<Method> {
    let mut raw = Raw::connect(address).await;
    raw.send_bytes(&[before, &PROTOCOL_HEADER].concat()).await;
    raw.frame().await?;
    raw.send(0, &plain("guest", "guest")).await;
    match raw.frame().await? {
        forebay_wire::Frame::Method { method, .. } => Some(method),
        other => panic!("{other:?}"),
    }
}

/// The status line of a request of `guest`, behind these bytes.
fn whoami(address: SocketAddr, before: &[u8]) -> String {
    let credentials = STANDARD.encode("guest:guest");
    let head = format!(
        "GET /api/whoami HTTP/1.0\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answer = String::new();
    // A listener that refuses the beginning may be gone before the end is sent.
    let _ = stream.write_all(&[before, head.as_bytes()].concat());
    let _ = stream.read_to_string(&mut answer);
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_balancer_the_client_is_seen_where_that_is_set_and_nowhere_else() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    let (local, client) = (proxy_header(0), proxy_header(1));
    let launch = Launch::on(data.path());
    let broker =
        Broker::launch(&launch.argument("--proxy-protocol").argument("--admin-proxy-protocol"));
    // The balancer's own connections come from this machine, as guest must.
    let answer = log_in(broker.address, &local).await;
    assert!(matches!(answer, Some(Method::ConnectionTune(_))), "{answer:?}");
    assert!(whoami(broker.admin, &local).contains("200"));
    let answer = log_in(broker.address, &client).await;
    assert!(matches!(answer, Some(Method::ConnectionClose(_))), "{answer:?}");
    assert!(whoami(broker.admin, &client).contains("401"));
    for event in [" login refused ", " admin login refused "] {
        broker.log_line(|line| line.contains(event) && line.contains("address=192.0.2.7:40000"));
    }
    // Without a header, and with one of version 1.
    for before in [&b""[..], b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 5672\r\n"] {
        assert_eq!(log_in(broker.address, before).await, None);
        assert_eq!(whoami(broker.admin, before), "");
    }
    broker.log_line(|line| line.contains("it does not begin with a header of the PROXY protocol"));
    drop(broker);

    // Where nobody said that a balancer is there, the header is what any client could send.
    let elsewhere = TempDir::new().unwrap();
    let broker = Broker::start(elsewhere.path());
    let mut raw = Raw::connect(broker.address).await;
    raw.send_bytes(&[&local[..], &PROTOCOL_HEADER].concat()).await;
    assert_eq!(
        raw.rest().await[..],
        PROTOCOL_HEADER,
        "it is no beginning that this listener knows"
    );
    assert!(!whoami(broker.admin, &local).contains("200"));
}
