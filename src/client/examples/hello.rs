//! Publish one message and receive it: `cargo run -p forebay-client --example hello -- amqp://localhost`

use forebay_client::{Connection, Message, QueueOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "amqp://localhost".into());
    let connection = Connection::connect(&url).await?;
    connection.declare_queue("greetings", QueueOptions::durable()).await?;

    let publisher = connection.publisher().await?;
    publisher.publish(Message::to_queue("greetings", "Hello!")).await?.await?;

    let mut consumer = connection.consume("greetings").start().await?;
    if let Some(delivery) = consumer.next().await.transpose()? {
        println!("{}", delivery.text().unwrap_or("no text"));
        delivery.ack()?;
    }
    connection.close().await?;
    Ok(())
}
