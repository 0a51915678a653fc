//! A broker in this process: how it starts, refuses to start, is scraped, and stops.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by a panic")]

use forebay_server::config::config_file::ConfigFile;
use forebay_server::config::config_value::{Address, Addresses, FilePath};
use forebay_server::{Broker, Overrides, RabbitmqDefaults, Settings, StartError};
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

const ANY_PORT: &str = "127.0.0.1:0";

fn settings(data: &Path, listen: &str) -> Settings {
    let flags = ConfigFile {
        data_dir: Some(FilePath(data.to_owned())),
        listen: Some(Addresses(vec![listen.to_owned()])),
        metrics_listen: Some(Address(ANY_PORT.to_owned())),
        admin_listen: Some(Address(ANY_PORT.to_owned())),
        ..ConfigFile::default()
    };
    Settings::resolve(Overrides { flags, ..Overrides::default() }, &RabbitmqDefaults::default())
        .unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// What a client that speaks something else is sent before the socket is closed.
async fn answer_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_serves_until_it_is_stopped_and_can_be_started_again() {
    let data = TempDir::new().unwrap();
    for _ in 0..2 {
        let broker = Broker::start(settings(data.path(), ANY_PORT)).await.unwrap();
        let amqp = broker.amqp_addresses()[0];
        let metrics = broker.metrics_address();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(broker.run(async move { drop(stopped.await) }));

        assert_eq!(answer_to(amqp, b"GET / HTTP/1.1\r\n\r\n").await, b"AMQP\x00\x00\x09\x01");
        assert!(get(metrics, "/health/ready").await.starts_with("HTTP/1.0 200"));
        let scrape = get(metrics, "/metrics").await;
        assert!(scrape.contains("forebay_connections_opened_total 1"), "{scrape}");

        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
        assert!(TcpStream::connect(amqp).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_catalogue_is_there_from_the_first_scrape() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(settings(data.path(), ANY_PORT)).await.unwrap();
    let scrape = get(broker.metrics_address(), "/metrics").await;
    for metric in forebay_server::metrics::catalogue::all() {
        let head = format!("# TYPE {} {}\n", metric.name, metric.kind.name());
        assert!(scrape.contains(&head), "no {head} in:\n{scrape}");
    }
    broker.run(async {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_a_used_directory_are_told_apart() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(settings(data.path(), ANY_PORT)).await.unwrap();
    let taken = broker.amqp_addresses()[0].to_string();

    let elsewhere = TempDir::new().unwrap();
    let error = Broker::start(settings(elsewhere.path(), &taken)).await.err().unwrap();
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
    assert!(error.to_string().contains(&taken), "{error}");

    let error = Broker::start(settings(data.path(), ANY_PORT)).await.err().unwrap();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    broker.run(async {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_does_not_hold_the_stop_up() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(settings(data.path(), ANY_PORT)).await.unwrap();
    let mut silent = TcpStream::connect(broker.amqp_addresses()[0]).await.unwrap();
    broker.run(async {}).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
}
