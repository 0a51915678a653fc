//! A worker in ten lines: orders in JSON, eight at a time, tried again with growing waits, until the process is told
//! to end (SIGTERM, Ctrl-C).
//! `cargo run -p forebay-client --features json --example worker -- amqp://localhost`

use forebay_client::{Connection, QueueOptions, Retry, Worker, json, stop_signal};
use std::time::Duration;

#[derive(serde::Deserialize)]
struct Order {
    number: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "amqp://localhost".into());
    let connection = Connection::connect(&url).await?;
    connection.declare_queue("example.orders", QueueOptions::durable()).await?;
    let handle = json(|order: Order| async move {
        println!("order {} is on its way", order.number);
        Ok(())
    });
    Worker::new(connection.consume("example.orders"))
        .concurrency(8)
        .retry(Retry::backoff(Duration::from_millis(200), Duration::from_secs(30)))
        .run(stop_signal()?, handle)
        .await?;
    Ok(connection.close().await?)
}
