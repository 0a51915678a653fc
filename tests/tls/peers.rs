//! Peers that do it wrong are told what is wrong, as far as they can be, and the log tells the rest;
//! nobody else notices.

use crate::authority::{Authority, Issued};
use crate::broker::TlsBroker;
use crate::client::Wallet;
use crate::harness::PATIENCE;
use forebay_wire::PROTOCOL_HEADER;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

const REQUIRES: &str = "cacertfile = \"CA\"\nfail_if_no_peer_cert = true\n";

/// What is answered to these bytes until the end.
fn answer_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn the_wrong_certificate_is_refused_by_an_alert_and_the_log_says_why() {
    let broker = TlsBroker::start_with(REQUIRES);
    let stranger = Authority::new("Another Authority").client("guest");
    let expired = broker.authority.expired_client("guest");
    let for_brokers = broker.authority.broker("broker");
    let cases: [(Option<&Issued>, &str, &str); 4] = [
        (None, "CertificateRequired", "no certificates"),
        (Some(&stranger), "UnknownCA", "UnknownIssuer"),
        (Some(&expired), "CertificateExpired", "expired"),
        (Some(&for_brokers), "alert", "client authentication"),
    ];
    for (shows, alert, logged) in cases {
        let wallet = Wallet { shows, ..Wallet::trusting(&broker.authority) };
        let error = wallet.greet(broker.tls).map(drop).unwrap_err().to_string();
        assert!(error.contains(alert), "{alert}: {error}");
        broker.broker.log_line(|line| {
            line.contains("TLS handshake with 127.0.0.1") && line.contains(logged)
        });
    }
    let good = broker.authority.client("guest");
    Wallet::showing(&broker.authority, &good).greet(broker.tls).unwrap();
}

#[test]
fn a_client_without_tls_on_the_port_with_tls_is_told_by_an_alert() {
    let broker = TlsBroker::start();
    let answer = answer_to(broker.tls, &PROTOCOL_HEADER);
    assert_eq!(answer.first(), Some(&21), "an alert: {answer:?}");
    broker.broker.log_line(|line| line.contains("the client speaks AMQP without TLS"));
}

#[test]
fn a_client_with_tls_on_the_port_without_is_answered_in_amqp() {
    let broker = TlsBroker::start();
    let error = Wallet::trusting(&broker.authority).greet(broker.broker.address);
    let error = error.map(drop).unwrap_err().to_string();
    assert!(error.contains("InvalidContentType"), "{error}");
    broker.broker.log_line(|line| line.contains("the client speaks TLS to a listener without"));
}

#[test]
fn bytes_that_are_no_handshake_end_the_connection() {
    let broker = TlsBroker::start();
    for bytes in [&[0; 64][..], b"GET / HTTP/1.1\r\n\r\n", &[22, 3, 1, 0xff, 0xff], &[0xff; 20_000]]
    {
        let answer = answer_to(broker.tls, bytes);
        assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    }
    Wallet::trusting(&broker.authority).greet(broker.tls).unwrap();
}

/// Some say nothing, some begin and stop: all are given up in time, and hold nobody up meanwhile.
#[test]
fn handshakes_that_stall_are_given_up() {
    let broker = TlsBroker::start();
    let mut stalled = Vec::new();
    for count in 0..200 {
        let mut stream = TcpStream::connect(broker.tls).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The head of a client hello of 512 bytes, and no more than its beginning.
        stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..count % 12]).unwrap();
        stalled.push(stream);
    }
    Wallet::trusting(&broker.authority).greet(broker.tls).unwrap();
    for mut stream in stalled {
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    broker.broker.log_line(|line| line.contains("not done within 10 s"));
}
