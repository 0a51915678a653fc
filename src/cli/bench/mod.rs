//! `forebay bench`: loads any AMQP 0-9-1 broker, and counts what became of every message.
//!
//! Every body carries its producer, its number and the time when it was to be sent, so the report
//! can tell what was lost, what came twice, and how long each message took.

mod consumer;
mod plan;
mod producer;
mod progress;
mod report;
mod run;
mod seen;
mod stamp;

use super::interrupt::Interrupt;
use super::table;
use super::target::{self, Answer, FAILED, Fault, Interrupted};
use forebay_client::{CancellationToken, Connection};
pub(crate) use plan::Bench;
use progress::{PROGRESS_INTERVAL, Progress};
use report::Report;
use run::{Counters, Run, Stop};
use stamp::Clock;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};

/// How long the broker may take to delete the queue.
const DELETE_DURATION_MAX: Duration = Duration::from_secs(10);

impl Bench {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.load())
    }

    async fn load(self) -> Result<ExitCode, Fault> {
        self.check()?;
        let admin = self.target.connect().await?;
        let queue = self.queue_name();
        if !self.is_using_existing_queue() {
            admin.declare_queue(&queue, self.queue_options()).await?;
        }
        let is_kept = self.keep || self.is_using_existing_queue();
        let output = self.output.clone();
        let report = self.measure(queue.clone()).await;
        let deleted = if is_kept { Ok(()) } else { delete(&admin, &queue).await };
        admin.close().await?;
        let report = report?;
        let text = report.text(table::terminal_width());
        Answer { text, json: report.json() }.print(&output)?;
        for fault in &report.faults {
            target::tell(fault);
        }
        deleted?;
        match report.is_clean() {
            false => Ok(ExitCode::from(FAILED)),
            true if report.is_interrupted => {
                Err(Interrupted("the report is of what was done until then".to_owned()).into())
            }
            true => Ok(ExitCode::SUCCESS),
        }
    }

    /// Connects all producers and consumers first, so that the clock does not count it.
    async fn measure(self, queue: String) -> Result<Report, Fault> {
        let mut connections = Vec::new();
        for _ in 0..u32::from(self.consumers) + u32::from(self.producers) {
            connections.push(self.target.connect_quietly().await?);
        }
        let producing = connections.split_off(self.consumers.into());
        let clock = Clock::start();
        let id = process::id().rotate_left(16) ^ clock.unix_ns(clock.begin()) as u32;
        let run = Arc::new(Run { id, queue, bench: self, counters: Counters::default(), clock });
        run.measure(connections, producing).await
    }
}

impl Run {
    async fn measure(
        self: &Arc<Self>,
        consuming: Vec<Connection>,
        producing: Vec<Connection>,
    ) -> Result<Report, Fault> {
        let stop = Stop::default();
        let mut consumers = JoinSet::new();
        for connection in consuming {
            let stop = stop.receiving.clone();
            consumers.spawn(consumer::start(connection, Arc::clone(self), stop).await?);
        }
        let mut producers = JoinSet::new();
        for (number, connection) in (0..).zip(producing) {
            producers.spawn(producer::run(connection, number, Arc::clone(self), stop.clone()));
        }
        let interrupted = stop.clone().when_interrupted(Interrupt::listen()?);
        let mut report = Report::new(self.bench.producers);
        let mut progress = Progress::new(self);
        let limit = self.bench.limit().map(|limit| self.clock.begin() + limit);
        let timer = limit.map(|limit| {
            let stop = stop.sending.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(limit.into()).await;
                stop.cancel();
            })
        });
        while let Some(joined) = self.step(&mut producers, &mut progress).await {
            if let Some(produced) = joined? {
                report.add_produced(produced?);
            }
        }
        report.publish_time = self.clock.begin().elapsed();
        self.drain(limit, &stop.receiving, &mut progress).await;
        report.total_time = progress
            .last_change
            .saturating_duration_since(self.clock.begin())
            .max(report.publish_time);
        // Without a limit an interrupt is how it ends.
        let has_limit = limit.is_some() || self.bench.count.is_some();
        report.is_interrupted = has_limit && stop.interrupted.is_cancelled();
        stop.receiving.cancel();
        while let Some(joined) = consumers.join_next().await {
            report.add_consumed(joined?);
        }
        progress.bar.finish_and_clear();
        interrupted.abort();
        timer.inspect(JoinHandle::abort);
        Ok(report)
    }

    /// The next producer that ends, or `Some(Ok(None))` when none does within that time; `None` when all have ended.
    async fn step<T: 'static>(
        &self,
        tasks: &mut JoinSet<T>,
        progress: &mut Progress,
    ) -> Option<Result<Option<T>, tokio::task::JoinError>> {
        let joined = tokio::time::timeout(PROGRESS_INTERVAL, tasks.join_next()).await;
        progress.update(self);
        match joined {
            Err(_) => Some(Ok(None)),
            Ok(Some(joined)) => Some(joined.map(Some)),
            Ok(None) => None,
        }
    }

    /// Waits until every message sent was received, or none comes any more.
    async fn drain(
        &self,
        limit: Option<Instant>,
        stop: &CancellationToken,
        progress: &mut Progress,
    ) {
        if self.bench.consumers == 0 {
            return;
        }
        progress.last_change = Instant::now().max(progress.last_change);
        while !stop.is_cancelled() {
            let Counters { sent, received, arrived, .. } = &self.counters;
            let is_done = match (self.bench.producers, self.bench.count, limit) {
                (0, Some(count), _) => received.load(Ordering::Relaxed) >= count,
                (0, None, Some(limit)) => Instant::now() >= limit,
                _ => arrived.load(Ordering::Relaxed) >= sent.load(Ordering::Relaxed),
            };
            if is_done || progress.last_change.elapsed() > self.bench.idle {
                return;
            }
            tokio::time::sleep(PROGRESS_INTERVAL / 10).await;
            progress.update(self);
        }
    }
}

/// A broker that is away is not waited for.
async fn delete(admin: &Connection, queue: &str) -> Result<(), Fault> {
    let is_up = admin.state().borrow().is_connected();
    let limit = if is_up { DELETE_DURATION_MAX } else { Duration::ZERO };
    match tokio::time::timeout(limit, admin.delete_queue(queue)).await {
        Ok(deleted) => Ok(deleted.map(drop)?),
        Err(_) => Err(format!("the queue {queue} is left: the broker does not answer").into()),
    }
}
