//! One producer: publishes at its pace, and learns the fate of every message.

use super::report::{Outcomes, Produced, latencies};
use super::seen::Seen;
use super::stamp::{STAMP_SIZE, Stamp};
use super::{Fault, Run};
use forebay_client::{
    CancellationToken, Confirm, Connection, Message, PublishError, PublisherOptions, ShortStr,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What a producer sends, one after the other.
struct Source {
    run: Arc<Run>,
    producer: u32,
    queue: ShortStr,
    filler: Vec<u8>,
    next: u64,
    share: u64,
    pace: Option<Duration>,
    begin: Instant,
    stop: CancellationToken,
}

impl Source {
    /// The next message, its number and the time when it is to be sent; `None` when there are no
    /// more. With a rate that time is what the rate says, so a broker that lets a producer wait
    /// can't hide it; without one it is now.
    async fn next(&mut self) -> Option<(u64, Instant, Message)> {
        let number = self.next;
        if number >= self.share {
            return None;
        }
        self.next += 1;
        if self.stop.is_cancelled() {
            return None;
        }
        let now = Instant::now();
        let due = match self.pace {
            None => now,
            Some(pace) => {
                let due = self.begin + pace.mul_f64(number as f64);
                if due > now {
                    tokio::select! {
                        () = tokio::time::sleep_until(due.into()) => {}
                        () = self.stop.cancelled() => return None,
                    }
                }
                due
            }
        };
        let time = u64::try_from((due - self.run.begin).as_nanos()).unwrap_or(u64::MAX);
        let body = Stamp { producer: self.producer, number, time }.body(&self.filler);
        let message = Message::to_queue(&self.queue, body);
        let message = if self.run.bench.transient { message.transient() } else { message };
        Some((number, due, message))
    }
}

pub(super) async fn run(
    connection: Connection,
    producer: u32,
    run: Arc<Run>,
    stop: CancellationToken,
) -> Result<Produced, Fault> {
    let bench = &run.bench;
    let mut source = Source {
        producer,
        queue: ShortStr::try_from(run.queue.as_str())?,
        filler: vec![b'x'; bench.size - STAMP_SIZE],
        next: 0,
        share: bench.share(producer),
        pace: bench.pace(),
        begin: Instant::now(),
        stop,
        run: Arc::clone(&run),
    };
    let produced = if bench.no_confirms {
        unconfirmed(&connection, &mut source).await?
    } else {
        confirmed(&connection, source).await?
    };
    connection.close().await;
    Ok(produced)
}

async fn unconfirmed(connection: &Connection, source: &mut Source) -> Result<Produced, Fault> {
    let publisher = connection.unconfirmed_publisher().await?;
    let mut expected = Seen::default();
    let mut sent = 0;
    while let Some((number, _, message)) = source.next().await {
        publisher.publish(message).await?;
        expected.insert(number);
        sent += 1;
        source.run.counters.sent.fetch_add(1, Ordering::Relaxed);
    }
    let producer = source.producer;
    Ok(Produced { producer, sent, outcomes: Outcomes::default(), expected, latencies: latencies() })
}

async fn confirmed(connection: &Connection, mut source: Source) -> Result<Produced, Fault> {
    let options = PublisherOptions::default().window(source.run.bench.window);
    let publisher = connection.publisher_with(options).await?;
    let (sender, receiver) = mpsc::unbounded_channel();
    let collecting = tokio::spawn(collect(Arc::clone(&source.run), source.producer, receiver));
    let mut fault = None;
    loop {
        if let (None, Err(error)) = (source.pace, publisher.ready().await) {
            fault = Some(error);
            break;
        }
        let Some((number, due, message)) = source.next().await else { break };
        match publisher.publish(message).await {
            Ok(confirm) => {
                source.run.counters.sent.fetch_add(1, Ordering::Relaxed);
                if sender.send((number, due, confirm)).is_err() {
                    break;
                }
            }
            Err(error) => {
                fault = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let produced = collecting.await?;
    fault.map_or(Ok(produced), |fault| Err(fault.into()))
}

/// Awaits confirms in their order, beside the publishing, so that the times are those of arrival.
async fn collect(
    run: Arc<Run>,
    producer: u32,
    mut receiver: mpsc::UnboundedReceiver<(u64, Instant, Confirm)>,
) -> Produced {
    let mut produced = Produced {
        producer,
        sent: 0,
        outcomes: Outcomes::default(),
        expected: Seen::default(),
        latencies: latencies(),
    };
    while let Some((number, due, confirm)) = receiver.recv().await {
        produced.sent += 1;
        match confirm.await {
            Ok(()) => {
                produced.outcomes.confirmed += 1;
                produced.expected.insert(number);
                let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
                produced.latencies.saturating_record(micros.max(1));
                run.counters.confirmed.fetch_add(1, Ordering::Relaxed);
            }
            Err(PublishError::Returned(_)) => produced.outcomes.returned += 1,
            Err(PublishError::Nacked) => produced.outcomes.nacked += 1,
            Err(_) => produced.outcomes.unknown += 1,
        }
    }
    produced
}
