use forebay_client::{Connection, Message, QueueOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let uri = std::env::var("AMQP_URL").unwrap_or("amqp://guest:guest@127.0.0.1:5672".into());
    let connection = Connection::connect(uri.as_str()).await?;
    connection.declare_queue("parcels", QueueOptions::durable()).await?;
    let publisher = connection.publisher().await?;
    publisher.publish(Message::to_queue("parcels", "a parcel")).await?.await?; // it is on disk
    let mut consumer = connection.consume("parcels").start().await?;
    let delivery = consumer.next().await.ok_or("the consumer ended")??;
    println!("got {}", delivery.text().unwrap_or("octets"));
    delivery.ack()?;
    connection.close().await?;
    Ok(())
}
