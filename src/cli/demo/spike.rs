//! `forebay demo spike`: a burst, its draining, a death, a poison message, and the proof.

use super::broker::Broker;
use crate::cli::target::{self, FAILED};
use clap::Args;
use forebay_client::{Connection, Message, QueueOptions};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashSet;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::{AbortHandle, JoinSet};

type Fault = Box<dyn Error + Send + Sync>;

const QUEUE: &str = "orders";
const DEAD_LETTER_QUEUE: &str = "orders.dlq";
/// Consumers at the start.
const CONSUMERS: u64 = 4;
const PREFETCH: u16 = 100;
/// Messages handed to the client at once.
const BATCH: u64 = 1_000;
/// Time between two redraws.
const REDRAW: Duration = Duration::from_millis(250);
/// The demo gives up when nothing moves for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Publish a burst of orders, drain it at a steady rate, kill a consumer half-way, send one poison
/// order, and prove that nothing is lost and the poison lies in the dead-letter queue
#[derive(Clone, Debug, Args)]
pub(crate) struct Spike {
    /// Orders in the burst
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Orders per second that all consumers together handle
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
}

/// What consumers have done.
#[derive(Default)]
struct Progress {
    handled: Mutex<HashSet<u64>>,
}

impl Progress {
    fn handled(&self) -> u64 {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn note(&self, order: u64) {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner).insert(order);
    }
}

impl Spike {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.show())
    }

    async fn show(self) -> Result<ExitCode, Fault> {
        let broker = Broker::start().await?;
        println!("broker     {} on a temporary directory", broker.url);
        let connection = Connection::connect(&broker.url).await?;
        connection.declare_queue(QUEUE, QueueOptions::durable()).await?;
        let begin = Instant::now();
        self.burst(&connection).await?;
        let seconds = begin.elapsed().as_secs_f64();
        println!("burst      {} orders confirmed, each on disk, in {seconds:.1} s", self.events);
        let begin = Instant::now();
        let progress = Arc::new(Progress::default());
        let mut consumers = JoinSet::new();
        let mut start =
            || consumers.spawn(consume(broker.url.clone(), self.rate, Arc::clone(&progress)));
        let victim = start();
        for _ in 1..CONSUMERS {
            start();
        }
        let is_drained = self.watch(&connection, &progress, &victim).await?;
        println!("drained    in {:.1} s", begin.elapsed().as_secs_f64());
        consumers.shutdown().await;
        let lost = (self.events - 1).saturating_sub(progress.handled());
        println!("lost       {lost} of {} orders", self.events);
        let is_put_aside = self.is_poison_put_aside(&connection).await?;
        let found = if is_put_aside { "and nothing else" } else { "NOT FOUND ALONE" };
        println!("poison     order {} in {DEAD_LETTER_QUEUE}, {found}", self.poison());
        connection.close().await;
        Ok(if is_drained && lost == 0 && is_put_aside {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FAILED)
        })
    }

    /// The order whose handling always fails.
    fn poison(&self) -> u64 {
        self.events / 3
    }

    async fn burst(&self, connection: &Connection) -> Result<(), Fault> {
        let publisher = connection.publisher().await?;
        let mut confirms = Vec::new();
        for first in (0..self.events).step_by(BATCH as usize) {
            let orders = (first..self.events.min(first + BATCH)).map(|order| {
                let kind = if order == self.poison() { "poison" } else { "order" };
                Message::to_queue(QUEUE, format!("{kind} {order}")).mandatory()
            });
            confirms.push(publisher.publish_all(orders).await?);
        }
        for confirm in confirms {
            confirm.await?;
        }
        Ok(())
    }

    /// Shows backlog and drain time until all is handled; kills one consumer half-way.
    async fn watch(
        &self,
        connection: &Connection,
        progress: &Progress,
        victim: &AbortHandle,
    ) -> Result<bool, Fault> {
        let bar = ProgressBar::new(self.events);
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {msg}") {
            bar.set_style(style);
        }
        let (mut handled, mut changed) = (0, Instant::now());
        while handled < self.events - 1 {
            tokio::time::sleep(REDRAW).await;
            let now = progress.handled();
            let rate = (now - handled) as f64 / REDRAW.as_secs_f64();
            if now != handled {
                (handled, changed) = (now, Instant::now());
            } else if changed.elapsed() > PATIENCE {
                bar.finish_and_clear();
                return Ok(false);
            }
            let backlog = connection.inspect_queue(QUEUE).await?.messages;
            let left = f64::from(backlog) / rate.max(1.0);
            bar.set_position(handled);
            bar.set_message(format!("backlog {backlog}, {rate:.0}/s, empty in {left:.0} s"));
            if handled >= self.events / 2 && !victim.is_finished() {
                victim.abort();
                bar.suspend(|| {
                    println!("killed     one of {CONSUMERS} consumers, with orders in hand")
                });
            }
        }
        bar.finish_and_clear();
        Ok(true)
    }

    async fn is_poison_put_aside(&self, connection: &Connection) -> Result<bool, Fault> {
        let puller = connection.puller(DEAD_LETTER_QUEUE).await?;
        let Some(first) = puller.get().await? else { return Ok(false) };
        let is_poison = first.text() == Some(&format!("poison {}", self.poison()));
        Ok(is_poison && puller.get().await?.is_none())
    }
}

/// Handles its share of the rate until it is aborted.
async fn consume(url: String, rate: u64, progress: Arc<Progress>) -> Result<(), Fault> {
    let connection = Connection::connect(&url).await?;
    let mut consumer = connection.consume(QUEUE).prefetch(PREFETCH).start().await?;
    let pace = Duration::from_secs_f64(CONSUMERS as f64 / rate.max(1) as f64);
    let mut due = tokio::time::Instant::now();
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        due = (due + pace).max(tokio::time::Instant::now() - pace * 100);
        tokio::time::sleep_until(due).await;
        let text = delivery.text().unwrap_or_default().to_owned();
        match text.strip_prefix("order ").and_then(|order| order.parse().ok()) {
            Some(order) => {
                progress.note(order);
                delivery.ack()?;
            }
            None => delivery.nack()?,
        }
    }
    Ok(())
}
