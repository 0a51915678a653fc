//! The admin and the metrics listener over TLS: the broker's certificate, read again with the others.

use crate::broker::TlsBroker;
use crate::client::Wallet;
use rustix::process::Signal;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

const BOTH: &str = "admin = true\nmetrics = true\n";

/// The whole answer to a request over this stream.
fn ask(mut stream: impl Read + Write, path: &str) -> io::Result<String> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn get(wallet: &Wallet<'_>, address: SocketAddr, path: &str) -> io::Result<String> {
    ask(wallet.connect(address)?, path)
}

#[test]
fn metrics_health_and_administration_are_had_over_https_alone() {
    let broker = TlsBroker::start_with(BOTH);
    let (metrics, admin) = (broker.broker.metrics, broker.broker.admin);
    let wallet = Wallet::trusting(&broker.authority);
    let page = get(&wallet, metrics, "/metrics").unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("forebay_connections "), "{page}");
    assert!(get(&wallet, metrics, "/health/ready").unwrap().ends_with("ready\n"));
    let overview = get(&wallet, admin, "/api/overview").unwrap();
    assert!(overview.starts_with("HTTP/1.1 200") && overview.contains("Forebay"), "{overview}");
    for address in [metrics, admin] {
        let answer = ask(TcpStream::connect(address).unwrap(), "/metrics").unwrap_or_default();
        assert!(!answer.contains("HTTP"), "{answer}");
    }
    // Who did it wrong is no trouble to those who come after.
    assert!(get(&wallet, metrics, "/health/ready").unwrap().ends_with("ready\n"));
}

#[test]
fn the_health_check_of_certificates_looks_at_what_is_served() {
    let broker = TlsBroker::start_with(BOTH);
    let wallet = Wallet::trusting(&broker.authority);
    let check = |path: &str| {
        let path = format!("/api/health/checks/{path}");
        get(&wallet, broker.broker.admin, &path).unwrap()
    };
    assert!(check("certificate-expiration/1/days").starts_with("HTTP/1.1 200"));
    // Those that are made here are good for two thousand years.
    let answer = check("certificate-expiration/4000/years");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("expires_on"), "{answer}");
    assert!(check("protocol-listener/amqps").contains("amqp/ssl"));
    assert!(check("protocol-listener/https").starts_with("HTTP/1.1 200"));
}

#[test]
fn without_being_asked_they_speak_plain_http() {
    let broker = TlsBroker::start();
    let stream = TcpStream::connect(broker.broker.metrics).unwrap();
    assert!(ask(stream, "/health/ready").unwrap().ends_with("ready\n"));
}

#[test]
fn a_hangup_brings_them_new_certificates_too() {
    let broker = TlsBroker::start_with(BOTH);
    let wallet = Wallet::trusting(&broker.authority);
    let renewed = broker.authority.broker("renewed");
    renewed.write(broker.directory(), "broker");
    broker.broker.signal(Signal::HUP);
    broker.broker.log_line(|line| line.contains("the certificates were read again"));
    for address in [broker.broker.metrics, broker.broker.admin] {
        let mut stream = wallet.connect(address).unwrap();
        ask(&mut stream, "/health/ready").unwrap();
        let served = stream.conn.peer_certificates().unwrap()[0].to_vec();
        assert_eq!(served, renewed.der().0.to_vec());
    }
}

#[test]
fn who_must_show_a_certificate_must_do_so_here_too() {
    let lines = format!("{BOTH}cacertfile = \"CA\"\nfail_if_no_peer_cert = true\n");
    let broker = TlsBroker::start_with(&lines);
    let scraper = broker.authority.client("prometheus");
    let known = Wallet::showing(&broker.authority, &scraper);
    let page = get(&known, broker.broker.metrics, "/metrics").unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(get(&Wallet::trusting(&broker.authority), broker.broker.metrics, "/metrics").is_err());
    broker.broker.log_line(|line| line.contains("TLS handshake for HTTP with"));
}

#[test]
fn the_command_line_asks_over_https() {
    let broker = TlsBroker::start_with(BOTH);
    let ask = |authorities: &str| {
        Command::new(env!("CARGO_BIN_EXE_forebay"))
            .args(["queue", "list", "--admin-cacertfile", authorities, "--admin"])
            .arg(format!("https://localhost:{}", broker.broker.admin.port()))
            .output()
            .unwrap()
    };
    let output = ask(&broker.authority_file.display().to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = ask("/nowhere/authority.pem");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("/nowhere/authority.pem"), "{text}");
}

/// An operator is not shut out of a broker that asks everybody for a certificate.
#[test]
fn every_command_can_show_a_certificate() {
    let lines = format!("{BOTH}cacertfile = \"CA\"\nfail_if_no_peer_cert = true\n");
    let broker = TlsBroker::start_with(&lines);
    broker.authority.client("operator").write(broker.directory(), "operator");
    let path = |name: &str| broker.directory().join(name).display().to_string();
    let authority = broker.authority_file.display().to_string();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        let output = command.args(arguments).env("AMQP_CACERTFILE", &authority).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let admin = format!("https://localhost:{}", broker.broker.admin.port());
    let status = ["status", "--admin", &admin, "--admin-cacertfile", &authority];
    let (done, errors) = run(&status);
    assert!(!done && errors.contains("--admin-certfile"), "{errors}");
    let (certificate, key) = (path("operator.pem"), path("operator.key"));
    let shown =
        [&status[..], &["--admin-certfile", &certificate, "--admin-keyfile", &key]].concat();
    assert_eq!(run(&shown), (true, String::new()));
    let url = format!("amqps://localhost:{}", broker.tls.port());
    let declare = ["queue", "declare", "orders", "--url", &url];
    assert!(!run(&declare).0);
    let shown = [&declare[..], &["--certfile", &certificate, "--keyfile", &key]].concat();
    assert_eq!(run(&shown), (true, String::new()));
    // What the environment says of TLS does not concern an address without.
    let plain = format!("amqp://{}", broker.broker.address);
    assert_eq!(run(&["queue", "count", "orders", "--url", &plain]), (true, String::new()));
    let named = ["queue", "count", "orders", "--url", &plain, "--cacertfile", &authority];
    assert!(run(&named).1.contains("--cacertfile"));
}
