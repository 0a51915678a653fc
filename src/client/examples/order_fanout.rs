//! One order, four queues: payment, restaurant, rider and SMS each get it, and each at its own pace.
//! `cargo run -p forebay-client --example order_fanout -- amqp://localhost`

use forebay_client::{Connection, ExchangeOptions, FieldTable, Message, QueueOptions};

const SERVICES: [&str; 4] = ["payment", "restaurant", "rider", "sms"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "amqp://localhost".into());
    let connection = Connection::connect(&url).await?;
    connection.declare_exchange("example.orders", ExchangeOptions::fanout()).await?;
    for service in SERVICES {
        let queue = format!("example.orders.{service}");
        connection.declare_queue(&queue, QueueOptions::durable()).await?;
        connection.bind_queue(&queue, "example.orders", "", FieldTable::new()).await?;
    }

    let publisher = connection.publisher().await?;
    let order = Message::to_exchange("example.orders", "", r#"{"order": 4711, "total": 42}"#)
        .message_id("order-4711")
        .content_type("application/json")
        .mandatory();
    // Confirmed: all four queues hold it on disk.
    publisher.publish(order).await?.await?;

    for service in SERVICES {
        let queue = format!("example.orders.{service}");
        let mut consumer = connection.consume(&queue).start().await?;
        if let Some(order) = consumer.next().await.transpose()? {
            println!("{service}: {}", order.text().unwrap_or_default());
            order.ack()?;
        }
        consumer.close().await?;
        connection.delete_queue(&queue).await?;
    }
    connection.delete_exchange("example.orders").await?;
    connection.close().await?;
    Ok(())
}
