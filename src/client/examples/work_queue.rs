//! A work queue: tasks are handled four at a time, failures are tried again, poison is put aside.
//! `cargo run -p forebay-client --example work_queue -- amqp://localhost`

use forebay_client::{CancellationToken, Connection, Failure, Message, QueueOptions, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "amqp://localhost".into());
    let connection = Connection::connect(&url).await?;
    connection.declare_queue("example.put-aside", QueueOptions::durable()).await?;
    let options = QueueOptions::durable()
        .argument("x-dead-letter-exchange", "")
        .argument("x-dead-letter-routing-key", "example.put-aside");
    connection.declare_queue("example.tasks", options).await?;

    let publisher = connection.publisher().await?;
    let tasks = ["1", "2", "many", "3", "4"].map(|task| Message::to_queue("example.tasks", task));
    publisher.publish_all(tasks).await?.await?;

    let (stop, sum) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
    let (done, total) = (stop.clone(), Arc::clone(&sum));
    Worker::new(connection.consume("example.tasks"))
        .concurrency(4)
        .run(stop, move |task| {
            let (done, total) = (done.clone(), Arc::clone(&total));
            async move {
                // What can't be parsed now never can be.
                let number: u32 =
                    task.text().unwrap_or_default().parse().map_err(Failure::dead_letter)?;
                if total.fetch_add(number, Ordering::Relaxed) + number == 10 {
                    done.cancel();
                }
                Ok(())
            }
        })
        .await?;
    println!("sum {}", sum.load(Ordering::Relaxed));
    for queue in ["example.tasks", "example.put-aside"] {
        println!("{queue}: {} left", connection.delete_queue(queue).await?);
    }
    connection.close().await?;
    Ok(())
}
