//! A consumer of the demo: a process, so that it can be killed as processes are.

use crate::cli::target::{self, Fault};
use clap::Args;
use forebay_client::Connection;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// Deliveries in hand.
const PREFETCH: u16 = 100;

/// What the poison order begins with, instead of `order`.
pub(super) const POISON: &str = "poison";

/// Handle orders at a steady rate, and write the number of each to standard output
#[derive(Clone, Debug, Args)]
pub(crate) struct Consumer {
    /// The broker
    #[arg(long)]
    pub(super) url: String,
    /// The queue
    #[arg(long)]
    pub(super) queue: String,
    /// Orders per second
    #[arg(long)]
    pub(super) rate: f64,
}

impl Consumer {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.work())
    }

    async fn work(self) -> Result<ExitCode, Fault> {
        let connection = Connection::connect(&self.url).await?;
        let mut consumer = connection.consume(&self.queue).prefetch(PREFETCH).start().await?;
        let gap = Duration::from_secs_f64(1.0 / self.rate.max(0.1));
        let mut due = Instant::now();
        while let Some(delivery) = consumer.next().await {
            let delivery = delivery?;
            // A late timer is made up for, a long pause is not.
            due = (due + gap).max(Instant::now() - gap * PREFETCH.into());
            tokio::time::sleep_until(due).await;
            let text = delivery.text().unwrap_or_default();
            match text.strip_prefix("order ") {
                // Done first, acknowledged then: after a death between the two it is done twice.
                Some(order) => {
                    writeln!(stdout().lock(), "{order}")?;
                    delivery.ack()?;
                }
                None => delivery.nack()?,
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
