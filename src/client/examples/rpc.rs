//! Requests and their replies: a server that adds, and a client that waits for its answers, at most two
//! seconds each. `cargo run -p forebay-client --example rpc -- amqp://localhost`

use forebay_client::{CancellationToken, Connection, Failure, Message, QueueOptions, Worker};
use std::time::Duration;

/// Answers until it is stopped.
async fn serve(
    connection: Connection,
    stop: CancellationToken,
) -> Result<(), forebay_client::WorkerError> {
    let publisher = connection.publisher().await?;
    Worker::new(connection.consume("example.add"))
        .concurrency(8)
        .run(stop, move |request| {
            let publisher = publisher.clone();
            async move {
                let sum: i64 =
                    request.text().unwrap_or_default().split('+').flat_map(str::parse::<i64>).sum();
                let answer = Message::reply(&request, sum.to_string());
                let answer =
                    answer.ok_or_else(|| Failure::dead_letter("a request without reply-to"))?;
                publisher.publish(answer).await?.await?;
                Ok(())
            }
        })
        .await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "amqp://localhost".into());
    let connection = Connection::connect(&url).await?;
    connection.declare_queue("example.add", QueueOptions::durable()).await?;
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(connection.clone(), stop.clone()));

    let requester = connection.requester().await?;
    for request in ["1+2", "20+22"] {
        let call = requester.call(Message::to_queue("example.add", request));
        let answer = call.timeout(Duration::from_secs(2)).await?;
        println!("{request} = {}", answer.text().unwrap_or_default());
    }
    stop.cancel();
    server.await??;
    connection.delete_queue("example.add").await?;
    connection.close().await?;
    Ok(())
}
