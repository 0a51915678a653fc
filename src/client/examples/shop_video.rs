//! Makes the videos of `examples/shop`: jobs that take longer than their lease, which the worker extends by itself. It
//! dies at random, as the machine of a worker does.
//! `cargo run -p forebay-client --features json --example shop_video -- amqp://localhost FILE LEASE_MS SEED`

use forebay_client::{Connection, Worker, json_with, stop_signal};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(serde::Deserialize)]
struct Video {
    job: u64,
    seconds: f64,
}

/// A line of JSON for what happens, written before anything else does.
fn note(file: &Mutex<std::fs::File>, event: &str, job: u64) -> std::io::Result<()> {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let process = std::process::id();
    let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    writeln!(file, r#"{{"event": "{event}", "job": {job}, "at": {at}, "process": {process}}}"#)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, path, lease, seed] = arguments.as_slice() else {
        return Err("usage: shop_video URL FILE LEASE_MS SEED".into());
    };
    let (lease, seed) = (Duration::from_millis(lease.parse()?), seed.parse::<u64>()?);
    let file = std::fs::File::options().create(true).append(true).open(path)?;
    let file = Arc::new(Mutex::new(file));
    let connection = Connection::connect(url).await?;
    Worker::new(connection.consume("shop.video"))
        .concurrency(4)
        .lease(lease)
        .run(
            stop_signal()?,
            json_with(move |video: Video, _| {
                let file = Arc::clone(&file);
                async move {
                    note(&file, "begin", video.job)?;
                    // One job in eight is the last one of its process.
                    let dies = (video.job / 400 + seed).is_multiple_of(8);
                    let work = Duration::from_secs_f64(video.seconds);
                    if dies {
                        tokio::time::sleep(work / 2).await;
                        std::process::abort();
                    }
                    tokio::time::sleep(work).await;
                    note(&file, "end", video.job)?;
                    Ok(())
                }
            }),
        )
        .await?;
    Ok(connection.close().await?)
}
