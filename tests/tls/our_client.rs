//! The client crate over TLS: logins by certificate, certificates that are renewed, and mistakes named.

use crate::authority::{Authority, write};
use crate::broker::TlsBroker;
use crate::harness::must;
use forebay_client::{ConnectError, ConnectOptions, Connection, Error};
use std::error::Error as _;

const REQUIRES: &str = "cacertfile = \"CA\"\nfail_if_no_peer_cert = true\n";

async fn refusal(options: impl TryInto<ConnectOptions, Error: Into<Error>>) -> Error {
    let error = must("a refusal", Connection::connect(options)).await.unwrap_err();
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    error
}

/// The broker's URI with the client's certificate files in it.
fn uri(broker: &TlsBroker) -> String {
    let directory = broker.directory().display();
    format!("{}&certfile={directory}/app.pem&keyfile={directory}/app.key", broker.uri())
}

#[tokio::test]
async fn a_certificate_logs_in() {
    let lines = format!("{REQUIRES}cert_login_from = \"common_name\"\n");
    let broker = TlsBroker::start_with(&lines);
    broker.authority.client("guest").write(broker.directory(), "app");
    let external = format!("{}&auth_mechanism=external", uri(&broker));
    let connection = must("a connection", Connection::connect(&external)).await.unwrap();
    must("a close", connection.close()).await.unwrap();
    let options = ConnectOptions::from_uri(&uri(&broker)).unwrap().credentials("no", "no");
    let connection = must("a connection", Connection::connect(options.external())).await.unwrap();
    must("a close", connection.close()).await.unwrap();
    broker.authority.client("stranger").write(broker.directory(), "app");
    let refused = refusal(&external).await;
    assert!(
        matches!(&refused, Error::Connect(ConnectError::CredentialsRefused { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn external_without_a_certificate_is_named() {
    let broker = TlsBroker::start();
    let error = refusal(format!("{}&auth_mechanism=external", broker.uri())).await.to_string();
    assert!(error.contains("EXTERNAL") && error.contains("client certificate"), "{error}");
}

#[tokio::test]
async fn certificates_are_read_again_at_each_connect() {
    let broker = TlsBroker::start_with(REQUIRES);
    let stranger = Authority::new("Another Authority").client("guest");
    stranger.write(broker.directory(), "app");
    let options = ConnectOptions::from_uri(&uri(&broker)).unwrap();
    let refused = refusal(options.clone()).await;
    assert!(matches!(&refused, Error::Connect(ConnectError::Tls { .. })), "{refused:?}");
    broker.authority.client("guest").write(broker.directory(), "app");
    let connection = must("a connection", Connection::connect(options.clone())).await.unwrap();
    must("a close", connection.close()).await.unwrap();
    std::fs::remove_file(broker.directory().join("app.key")).unwrap();
    let missing = refusal(options).await;
    assert!(missing.to_string().contains("app.key"), "{missing}");
}

#[tokio::test]
async fn each_mistake_says_what_to_do() {
    let broker = TlsBroker::start_with(REQUIRES);
    let without = refusal(broker.uri()).await;
    assert!(without.to_string().contains("name yours with certfile and keyfile"), "{without}");
    assert!(without.source().is_some(), "the error beneath: {without:?}");

    broker.authority.client("guest").write(broker.directory(), "app");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    write(broker.directory(), "app.key", encrypted);
    let encrypted = refusal(uri(&broker)).await;
    assert!(encrypted.to_string().contains("is encrypted; decrypt it"), "{encrypted}");

    let other = Authority::new("Another Authority");
    let pem = std::fs::read(other.write(tempfile::TempDir::new().unwrap().path())).unwrap();
    let options: ConnectOptions = broker.uri().parse().unwrap();
    let untrusted = refusal(options.tls_authorities(&pem)).await;
    assert!(untrusted.to_string().contains("trusted here (cacertfile)"), "{untrusted}");
    let options: ConnectOptions = broker.uri().parse().unwrap();
    let named = refusal(options.tls_server_name("elsewhere.test")).await;
    assert!(named.to_string().contains("for another host name"), "{named}");

    let plain = format!("amqps://localhost:{}", broker.broker.address.port());
    let authority = broker.authority_file.display();
    let plain = refusal(format!("{plain}?cacertfile={authority}")).await;
    assert!(plain.to_string().contains("does it speak TLS there"), "{plain}");
}
