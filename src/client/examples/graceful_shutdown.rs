//! Stops on Ctrl-C: no message is begun any more, those in progress are finished, every ack reaches the broker.
//! `cargo run -p forebay-client --example graceful_shutdown -- amqp://localhost`

use forebay_client::{CancellationToken, Connection, Message, QueueOptions, Worker};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "amqp://localhost".into());
    // Ends by itself after so many milliseconds, for scripts that can't press Ctrl-C.
    let limit = std::env::args().nth(2).and_then(|limit| limit.parse().ok()).unwrap_or(u64::MAX);
    let connection = Connection::connect(&url).await?;
    connection.declare_queue("example.slow", QueueOptions::durable()).await?;
    let publisher = connection.publisher().await?;
    publisher
        .publish_all((0..100).map(|task| Message::to_queue("example.slow", task.to_string())))
        .await?
        .await?;

    let stop = CancellationToken::new();
    let signal = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = tokio::time::sleep(Duration::from_millis(limit)) => {}
        }
        signal.cancel();
    });
    Worker::new(connection.consume("example.slow").prefetch(8))
        .concurrency(8)
        .grace(Duration::from_secs(5))
        .run(stop, |task| async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            println!("done {}", task.text().unwrap_or_default());
            Ok(())
        })
        .await?;
    println!("{} left for the next start", connection.delete_queue("example.slow").await?);
    connection.close().await?;
    Ok(())
}
