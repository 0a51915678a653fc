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

use super::target::{self, FAILED};
use forebay_client::{CancellationToken, Connection};
use indicatif::{ProgressBar, ProgressStyle};
pub(crate) use plan::Bench;
use report::Report;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Time between two looks at the counters.
const LOOK: Duration = Duration::from_millis(200);

/// What producers and consumers count while they run.
#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    confirmed: AtomicU64,
    received: AtomicU64,
}

/// What a run is about, shared by its tasks.
#[derive(Debug)]
struct Run {
    bench: Bench,
    queue: String,
    counters: Counters,
    begin: Instant,
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
        let run = Arc::new(Run {
            queue,
            bench: self,
            counters: Counters::default(),
            begin: Instant::now(),
        });
        let report = run.measure().await;
        if !is_kept {
            admin.delete_queue(&run.queue).await?;
        }
        admin.close().await;
        let report = report?;
        print!("{}", if is_json { report.json() } else { report.text() });
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

impl Run {
    async fn measure(self: &Arc<Self>) -> Result<Report, Fault> {
        let (stop_sending, stop_receiving) = (CancellationToken::new(), CancellationToken::new());
        let mut consumers = JoinSet::new();
        for _ in 0..self.bench.consumers {
            let connection = self.bench.target.connect().await?;
            let consumer =
                consumer::start(connection, Arc::clone(self), stop_receiving.clone()).await?;
            consumers.spawn(consumer);
        }
        let mut producers = JoinSet::new();
        for number in 0..self.bench.producers {
            let connection: Connection = self.bench.target.connect().await?;
            producers.spawn(producer::run(
                connection,
                number,
                Arc::clone(self),
                stop_sending.clone(),
            ));
        }
        let mut report = Report::new(self.bench.producers);
        let mut progress = Progress::new(self);
        let limit = self.bench.limit().map(|limit| self.begin + limit);
        while let Some(joined) = self.step(&mut producers, &mut progress).await {
            if let Some(produced) = joined? {
                report.add_produced(produced?);
            }
            if limit.is_some_and(|limit| Instant::now() >= limit) {
                stop_sending.cancel();
            }
        }
        report.publish_time = self.begin.elapsed();
        self.drain(limit, &mut progress).await;
        report.total_time =
            progress.last_change.saturating_duration_since(self.begin).max(report.publish_time);
        stop_receiving.cancel();
        while let Some(joined) = consumers.join_next().await {
            report.add_consumed(joined??);
        }
        progress.bar.finish_and_clear();
        Ok(report)
    }

    /// The next producer that ends, or nothing within a look; `None` when all have ended.
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

    /// Waits until everything sent was received, or nothing comes any more.
    async fn drain(&self, limit: Option<Instant>, progress: &mut Progress) {
        if self.bench.consumers == 0 {
            return;
        }
        progress.last_change = Instant::now().max(progress.last_change);
        loop {
            let received = self.counters.received.load(Ordering::Relaxed);
            let is_done = match (self.bench.producers, self.bench.count, limit) {
                (0, Some(count), _) => received >= count,
                (0, None, Some(limit)) => Instant::now() >= limit,
                _ => received >= self.counters.sent.load(Ordering::Relaxed),
            };
            if is_done || progress.last_change.elapsed() > self.bench.idle {
                return;
            }
            tokio::time::sleep(LOOK / 10).await;
            progress.look(self);
        }
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
    fn new(run: &Run) -> Self {
        let bar = match run.bench.count {
            Some(count) => ProgressBar::new(count),
            None => ProgressBar::no_length(),
        };
        let template = "{spinner} {elapsed_precise} {wide_bar} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, last: (run.begin, 0, 0), last_change: run.begin, received: 0 }
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
            self.bar.set_position(if run.bench.consumers > 0 { received } else { sent });
            self.bar.set_message(format!(
                "sent {sent} ({:.0}/s), confirmed {confirmed}, received {received} ({:.0}/s)",
                rate(sent, sent_then),
                rate(received, received_then),
            ));
            self.last = (now, sent, received);
        }
    }
}
