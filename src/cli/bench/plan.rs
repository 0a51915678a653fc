//! What to load the broker with.

use super::stamp::STAMP_SIZE;
use crate::cli::argument::{self, Argument};
use crate::cli::duration::{duration, rate};
use crate::cli::output::Output;
use crate::cli::target::Target;
use clap::Args;
use forebay_client::QueueOptions;
use forebay_client::limits::BODY_SIZE_MAX;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const EXAMPLES: &str = "Examples:
  forebay bench --duration 10s
  forebay bench --producers 4 --consumers 4 --size 1024 --count 1000000 --json
  forebay bench --rate 5000 --duration 60s --prefetch 100 --queue-argument x-queue-type=quorum
  forebay bench --url amqp://other-broker --transient --no-confirms";

/// Load a broker (any AMQP 0-9-1 broker) and count what became of every message
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(super) target: Target,
    /// Connections that publish
    #[arg(long, short, default_value_t = 1)]
    pub(super) producers: u16,
    /// Connections that consume
    #[arg(long, short, default_value_t = 1)]
    pub(super) consumers: u16,
    /// Bytes of a body, 24 at least
    #[arg(long, short, default_value_t = 256)]
    pub(super) size: usize,
    /// Messages to publish, by all producers together
    #[arg(long, short = 'n')]
    pub(super) count: Option<u64>,
    /// How long to publish, for example 30s; 10s when there is no count either
    #[arg(long, short, value_parser = duration)]
    pub(super) duration: Option<Duration>,
    /// Messages per second, by all producers together; without it as many as possible
    #[arg(long, short, value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// Messages that a producer may have unconfirmed
    #[arg(long, short, default_value_t = 2_048)]
    pub(super) window: usize,
    /// Publish without confirms
    #[arg(long)]
    pub(super) no_confirms: bool,
    /// Publish transient messages (delivery mode 1)
    #[arg(long)]
    pub(super) transient: bool,
    /// Deliveries that a consumer may have unacknowledged; 0 means no limit
    #[arg(long, default_value_t = 512)]
    pub(super) prefetch: u16,
    /// Acknowledge after so many deliveries at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) ack_batch: u16,
    /// Consume without acknowledgements
    #[arg(long, conflicts_with = "ack_batch")]
    pub(super) no_ack: bool,
    /// Use this existing queue; without it a durable one is made and deleted afterwards
    #[arg(long)]
    queue: Option<String>,
    /// Argument of the queue that is made, NAME=VALUE; may be repeated
    #[arg(long, conflicts_with = "queue")]
    queue_argument: Vec<Argument>,
    /// Leave the queue that was made
    #[arg(long)]
    pub(super) keep: bool,
    /// How long to wait for messages still missing when none comes any more
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(super) idle: Duration,
    #[command(flatten)]
    pub(super) output: Output,
}

impl Bench {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.size < STAMP_SIZE {
            return Err(format!(
                "a body needs {STAMP_SIZE} bytes for its number and its time; --size is {}",
                self.size
            ));
        }
        if self.size as u64 > BODY_SIZE_MAX {
            return Err(format!("a body has {BODY_SIZE_MAX} bytes at most"));
        }
        if self.producers == 0 && self.consumers == 0 {
            return Err("without --producers and --consumers there is nothing to do".into());
        }
        if self.ack_batch > self.prefetch && self.prefetch > 0 {
            return Err(
                "--ack-batch above --prefetch would wait for deliveries that can't come".into()
            );
        }
        Ok(())
    }

    pub(super) fn queue_name(&self) -> String {
        self.queue.clone().unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("forebay.bench.{:x}", since.as_micros())
        })
    }

    pub(super) fn is_using_existing_queue(&self) -> bool {
        self.queue.is_some()
    }

    pub(super) fn queue_options(&self) -> QueueOptions {
        QueueOptions::durable().arguments(argument::table(&self.queue_argument))
    }

    /// The share of one producer of the messages to publish.
    pub(super) fn share(&self, producer: u16) -> u64 {
        let Some(count) = self.count else { return u64::MAX };
        let (producers, producer) = (u64::from(self.producers), u64::from(producer));
        count / producers + u64::from(producer < count % producers)
    }

    /// How long to publish when no count ends it.
    pub(super) fn limit(&self) -> Option<Duration> {
        match (self.duration, self.count) {
            (None, None) => Some(Duration::from_secs(10)),
            (duration, _) => duration,
        }
    }

    /// Time between two messages of one producer, when there is a rate.
    pub(super) fn gap(&self) -> Option<Duration> {
        let rate = self.rate?;
        Some(Duration::from_secs(1).mul_f64(f64::from(self.producers) / rate))
    }
}
