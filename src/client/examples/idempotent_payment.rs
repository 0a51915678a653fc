//! A payment that is published twice and charged once.
//! `cargo run -p forebay-client --example idempotent_payment -- amqp://localhost`
//!
//! With several consumers the store must be shared: `RedisSeen` (feature `redis`); over restarts of
//! one process it must last: `FjallSeen` (feature `fjall`).

use forebay_client::seen::MemorySeen;
use forebay_client::{CancellationToken, Connection, Message, QueueOptions, Worker};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "amqp://localhost".into());
    let connection = Connection::connect(&url).await?;
    connection.declare_queue("example.payments", QueueOptions::durable()).await?;

    let publisher = connection.publisher().await?;
    for id in ["payment-1", "payment-1", "payment-2"] {
        let payment = Message::to_queue("example.payments", "42 EUR").message_id(id);
        publisher.publish(payment).await?.await?;
    }

    let stop = CancellationToken::new();
    let done = stop.clone();
    Worker::new(connection.consume("example.payments"))
        .idempotent(MemorySeen::new())
        .run(stop, move |payment| {
            let done = done.clone();
            async move {
                let id = payment.message_id().map(|id| id.to_string()).unwrap_or_default();
                // A payment service takes the same id as its idempotency key: that covers a crash
                // between the charge and the note that it was made.
                println!("charging {id}");
                if id == "payment-2" {
                    done.cancel();
                }
                Ok(())
            }
        })
        .await?;
    connection.delete_queue("example.payments").await?;
    connection.close().await?;
    Ok(())
}
