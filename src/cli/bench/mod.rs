//! `forebay bench`: loads any AMQP 0-9-1 broker, and counts what became of every message.
//!
//! Every body carries its producer, its number and the time when it was to be sent, so the report
//! can tell what was lost, what came twice, and how long each message took.

mod consumer;
mod plan;
mod producer;
mod report;
mod seen;
mod stamp;

use super::interrupt::Interrupt;
use super::table;
use super::target::{self, FAILED, Fault, Interrupted};
use forebay_client::{CancellationToken, Connection};
use indicatif::{ProgressBar, ProgressStyle};
pub(crate) use plan::Bench;
use report::Report;
use stamp::Clock;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};

/// How long the broker may take to delete the queue.
const DELETE_DURATION_MAX: Duration = Duration::from_secs(10);

/// Time between two looks at the counters.
const LOOK: Duration = Duration::from_millis(200);

/// What producers and consumers count while they run.
#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    confirmed: AtomicU64,
    received: AtomicU64,
    /// Received, of this run, and surely for the first time.
    arrived: AtomicU64,
}

/// What a run is about, shared by its tasks.
#[derive(Debug)]
struct Run {
    id: u32,
    bench: Bench,
    queue: String,
    counters: Counters,
    clock: Clock,
}

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
        let is_json = self.json;
        let report = self.measure(queue.clone()).await;
        let deleted = if is_kept { Ok(()) } else { delete(&admin, &queue).await };
        admin.close().await?;
        let report = report?;
        target::print(if is_json { report.json() } else { report.text(table::terminal_width()) })?;
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

    /// The next producer that ends, or `Some(Ok(None))` when none does within a look; `None` when all have ended.
    async fn step<T: 'static>(
        &self,
        tasks: &mut JoinSet<T>,
        progress: &mut Progress,
    ) -> Option<Result<Option<T>, tokio::task::JoinError>> {
        let joined = tokio::time::timeout(LOOK, tasks.join_next()).await;
        progress.look(self);
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
            tokio::time::sleep(LOOK / 10).await;
            progress.look(self);
        }
    }
}

/// How the run is ended before its time.
#[derive(Clone, Debug, Default)]
struct Stop {
    sending: CancellationToken,
    receiving: CancellationToken,
    interrupted: CancellationToken,
}

impl Stop {
    /// The first interrupt ends the sending, and what was sent is still received; the second ends
    /// all.
    fn when_interrupted(self, mut interrupt: Interrupt) -> JoinHandle<()> {
        tokio::spawn(async move {
            for stop in [self.sending, self.receiving] {
                interrupt.next().await;
                self.interrupted.cancel();
                stop.cancel();
            }
        })
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

/// The line that moves while the run lasts; invisible when standard error is no terminal.
struct Progress {
    bar: ProgressBar,
    last: (Instant, u64, u64),
    /// When a message was last received.
    last_change: Instant,
    received: u64,
}

impl Progress {
    /// Its length is the messages to come, or else the milliseconds.
    fn new(run: &Run) -> Self {
        let millis = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let bar = match (run.bench.count, run.bench.limit().map(millis)) {
            (Some(length), _) | (None, Some(length)) => ProgressBar::new(length),
            (None, None) => ProgressBar::no_length(),
        };
        // The message is cut where the terminal ends; a line that wraps would be drawn over and over.
        let template = "{elapsed_precise} {bar:16} {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let begin = run.clock.begin();
        Self { bar, last: (begin, 0, 0), last_change: begin, received: 0 }
    }

    fn look(&mut self, run: &Run) {
        let now = Instant::now();
        let sent = run.counters.sent.load(Ordering::Relaxed);
        let confirmed = run.counters.confirmed.load(Ordering::Relaxed);
        let received = run.counters.received.load(Ordering::Relaxed);
        if received != self.received {
            (self.received, self.last_change) = (received, now);
        }
        let (since, sent_then, received_then) = self.last;
        let seconds = (now - since).as_secs_f64();
        if seconds >= LOOK.as_secs_f64() {
            let rate = |now: u64, then: u64| (now - then) as f64 / seconds;
            self.bar.set_position(match run.bench.count {
                Some(_) if run.bench.consumers > 0 => received,
                Some(_) => sent,
                None => {
                    let elapsed = run.clock.begin().elapsed().as_millis();
                    u64::try_from(elapsed).unwrap_or(u64::MAX)
                }
            });
            let text = format!(
                "sent {sent} ({:.0}/s), confirmed {confirmed}, received {received} ({:.0}/s)",
                rate(sent, sent_then),
                rate(received, received_then),
            );
            self.bar.set_message(text);
            self.last = (now, sent, received);
        }
    }
}
