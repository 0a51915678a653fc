//! One consumer: counts what comes, and what comes twice.

use super::super::target::Fault;
use super::report::{Consumed, latencies};
use super::run::Run;
use super::stamp::Stamp;

use forebay_client::{CancellationToken, Connection, Consumer, Delivery};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Starts it, and returns its further course: until the stop.
pub(super) async fn start(
    connection: Connection,
    run: Arc<Run>,
    stop: CancellationToken,
) -> Result<impl Future<Output = Consumed> + Send, Fault> {
    let consume = connection.consume(&run.queue).prefetch(run.bench.prefetch);
    let consume = if run.bench.no_ack { consume.no_ack() } else { consume };
    let consumer = consume.start().await?;
    Ok(async move {
        let consumed = receive(consumer, &run, &stop).await;
        // A consumer publishes no message that could be lost.
        let _ = connection.close().await;
        consumed
    })
}

async fn receive(mut consumer: Consumer, run: &Run, stop: &CancellationToken) -> Consumed {
    let mut consumed = Consumed {
        received: 0,
        redelivered: 0,
        twice: 0,
        seen: HashMap::new(),
        latencies: latencies(),
        fault: None,
    };
    let mut held: Vec<Delivery> = Vec::with_capacity(run.bench.ack_batch.into());
    loop {
        let delivery = tokio::select! {
            biased;
            delivery = consumer.next() => delivery,
            () = stop.cancelled() => break,
        };
        let Some(delivery) = delivery else { break };
        match delivery {
            Ok(delivery) => {
                consumed.count(&delivery, run);
                held.push(delivery);
            }
            Err(error) => {
                consumed.fault = Some(error.into());
                break;
            }
        }
        if held.len() >= run.bench.ack_batch.into() {
            settle(&mut held);
        }
    }
    settle(&mut held);
    // Without its connection it has ended already.
    let _ = consumer.close().await;
    consumed
}

fn settle(held: &mut Vec<Delivery>) {
    for delivery in held.drain(..) {
        // Without its channel the message comes again, and is counted again.
        let _ = delivery.ack();
    }
}

impl Consumed {
    fn count(&mut self, delivery: &Delivery, run: &Run) {
        self.received += 1;
        run.counters.received.fetch_add(1, Ordering::Relaxed);
        self.redelivered += u64::from(delivery.is_redelivered());
        let Some(stamp) = Stamp::read(delivery.body()) else { return };
        if !self.seen.entry(stamp.source).or_default().insert(stamp.number) {
            self.twice += 1;
            return;
        }
        if stamp.source.run == run.id && !delivery.is_redelivered() {
            run.counters.arrived.fetch_add(1, Ordering::Relaxed);
        }
        let age = run.clock.unix_ns(Instant::now()).saturating_sub(stamp.time);
        self.latencies.saturating_record((age / 1_000).max(1));
    }
}
