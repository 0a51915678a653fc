//! The deliveries of a queue, until the end that a command was given.

use super::duration::duration;
use super::interrupt::Interrupt;
use super::target::{Fault, Interrupted};
use clap::Args;
use forebay_client::{Consumer, Delivery};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// Flags that say when it is enough.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Until {
    /// End after so many messages
    #[arg(long, short = 'n')]
    pub(crate) count: Option<u64>,
    /// End when no message came for this long, for example 5s
    #[arg(long, value_parser = duration)]
    pub(crate) idle: Option<Duration>,
}

/// A consumer that is watched for its end, and for signals.
pub(crate) struct Deliveries {
    consumer: Consumer,
    until: Until,
    /// Also for whatever handles a delivery.
    pub(crate) interrupt: Interrupt,
    seen: u64,
    is_interrupted: bool,
}

impl Deliveries {
    /// From now on a signal ends it in good order, and one that comes while a message is handled is not lost.
    ///
    /// # Errors
    /// When signals can't be listened to.
    pub(crate) fn of(consumer: Consumer, until: Until) -> io::Result<Self> {
        Ok(Self {
            consumer,
            until,
            interrupt: Interrupt::listen()?,
            seen: 0,
            is_interrupted: false,
        })
    }

    /// The next one; `None` when it is enough, when none came for too long, and after a signal.
    ///
    /// # Errors
    /// When the broker cancelled the consumer, or the connection is lost for good.
    pub(crate) async fn next(&mut self) -> Result<Option<Delivery>, Fault> {
        if self.is_interrupted || self.until.count.is_some_and(|count| self.seen >= count) {
            return Ok(None);
        }
        let delivery = tokio::select! {
            delivery = self.consumer.next() => delivery,
            () = idle(self.until.idle) => None,
            () = self.interrupt.next() => {
                self.is_interrupted = true;
                None
            }
        };
        self.seen += u64::from(delivery.is_some());
        Ok(delivery.transpose()?)
    }

    /// A signal came while a delivery was handled: there is no next one.
    pub(crate) fn stop(&mut self) {
        self.is_interrupted = true;
    }

    /// How many there were.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Ends the consumer. Deliveries that are held, and those that were not looked at, return to the queue as if they
    /// had not been delivered.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(crate) async fn close(self, held: Vec<Delivery>) -> Result<Ended, Fault> {
        let Self { consumer, until, seen, is_interrupted, .. } = self;
        consumer.close_releasing(held).await?;
        Ok(Ended { count: until.count.filter(|count| is_interrupted && seen < *count), seen })
    }
}

/// Deliveries that are over.
pub(crate) struct Ended {
    /// How many there should have been, when a signal came before.
    count: Option<u64>,
    seen: u64,
}

impl Ended {
    /// # Errors
    /// When a signal came before the number of messages that was asked for.
    pub(crate) fn result(&self) -> Result<ExitCode, Fault> {
        match self.count {
            Some(count) => {
                Err(Interrupted(format!("{} of {count} messages came", self.seen)).into())
            }
            None => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Ends after this long; never without a limit.
async fn idle(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
