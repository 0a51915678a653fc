//! One producer: publishes at its pace, and learns the fate of every message.

use super::super::target::Fault;
use super::report::Produced;
use super::run::{Run, Stop};
use super::stamp::{STAMP_SIZE, Source, Stamp};

use forebay_client::{
    CancellationToken, Confirm, Connection, Message, PublishError, Publisher, PublisherOptions,
    ShortStr,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What a producer sends, one message after the other.
struct Messages {
    run: Arc<Run>,
    source: Source,
    queue: ShortStr,
    filler: Vec<u8>,
    next: u64,
    share: u64,
    pace: Option<Pace>,
    stop: CancellationToken,
}

/// When each message is due at a given rate.
struct Pace {
    first: Instant,
    gap: Duration,
    woken: Instant,
}

impl Pace {
    /// The time from which a message's latency counts. A broker that lets the producer wait can't
    /// hide it, for that is the time which the rate sets; what the timer was late is not the
    /// broker's, so it is never before the last sleep's end.
    async fn due(&mut self, number: u64) -> Instant {
        let due = self.first + self.gap.mul_f64(number as f64);
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
            self.woken = Instant::now();
        }
        due.max(self.woken)
    }
}

impl Messages {
    /// The next message, its number and the time from which its latency counts; `None` when there
    /// are no more.
    async fn next(&mut self) -> Option<(u64, Instant, Message)> {
        let number = self.next;
        if number >= self.share || self.stop.is_cancelled() {
            return None;
        }
        let due = match &mut self.pace {
            None => Instant::now(),
            Some(pace) => tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                due = pace.due(number) => due,
            },
        };
        self.next += 1;
        let time = self.run.clock.unix_ns(due);
        let body = Stamp { source: self.source, number, time }.body(&self.filler);
        let message = Message::to_queue(&self.queue, body);
        let message = if self.run.bench.transient { message.transient() } else { message };
        Some((number, due, message))
    }
}

/// Publishes until its share is sent or it is told to stop.
pub(super) async fn run(
    connection: Connection,
    producer: u16,
    run: Arc<Run>,
    stop: Stop,
) -> Result<Produced, Fault> {
    let bench = &run.bench;
    let begin = run.clock.begin();
    let mut messages = Messages {
        source: Source { run: run.id, producer },
        queue: ShortStr::try_from(run.queue.as_str())?,
        filler: vec![b'x'; bench.size - STAMP_SIZE],
        next: 0,
        share: bench.share(producer),
        pace: bench.gap().map(|gap| {
            // Producers take turns.
            let first = begin + gap.mul_f64(f64::from(producer) / f64::from(bench.producers));
            Pace { first, gap, woken: begin }
        }),
        stop: stop.sending,
        run: Arc::clone(&run),
    };
    let produced = if bench.no_confirms {
        unconfirmed(&connection, &mut messages).await?
    } else {
        confirmed(&connection, messages, stop.receiving).await?
    };
    // The report counts what was lost.
    let _ = connection.close().await;
    Ok(produced)
}

/// `None` when there are no more messages to publish; an error when the connection ended.
type Published<T> = Option<Result<T, PublishError>>;

async fn unconfirmed(connection: &Connection, messages: &mut Messages) -> Result<Produced, Fault> {
    let publisher = connection.unconfirmed_publisher().await?;
    let mut produced = Produced::new(messages.source);
    while let Some((number, _, message)) = messages.next().await {
        match messages.unless_stopped(publisher.publish(message)).await {
            None => break,
            Some(Err(error)) => {
                produced.fault = Some(error.into());
                break;
            }
            Some(Ok(())) => {}
        }
        produced.expected.insert(number);
        produced.sent += 1;
        messages.run.counters.sent.fetch_add(1, Ordering::Relaxed);
    }
    Ok(produced)
}

/// `give_up` ends the waiting for confirms too.
async fn confirmed(
    connection: &Connection,
    mut messages: Messages,
    give_up: CancellationToken,
) -> Result<Produced, Fault> {
    let options = PublisherOptions::default().window(messages.run.bench.window);
    let publisher = connection.publisher_with(options).await?;
    let (sender, receiver) = mpsc::unbounded_channel();
    let produced = Produced::new(messages.source);
    let collecting = tokio::spawn(collect(Arc::clone(&messages.run), produced, receiver, give_up));
    let fault = loop {
        match messages.publish(&publisher).await {
            None => break None,
            Some(Err(error)) => break Some(error.into()),
            Some(Ok(published)) => {
                messages.run.counters.sent.fetch_add(1, Ordering::Relaxed);
                if sender.send(published).is_err() {
                    break None;
                }
            }
        }
    };
    drop(sender);
    Ok(Produced { fault, ..collecting.await? })
}

impl Messages {
    /// A broker that is away holds a publish up for as long as that lasts.
    async fn unless_stopped<T>(
        &self,
        publish: impl Future<Output = Result<T, PublishError>>,
    ) -> Published<T> {
        tokio::select! {
            biased;
            published = publish => Some(published),
            () = self.stop.cancelled() => None,
        }
    }

    /// Publishes the next message: its number, the time from which its latency counts, its confirm.
    async fn publish(&mut self, publisher: &Publisher) -> Published<(u64, Instant, Confirm)> {
        // In a closed loop the time waited for room is not the message's.
        if self.pace.is_none()
            && let Err(error) = self.unless_stopped(publisher.ready()).await?
        {
            return Some(Err(error));
        }
        let (number, due, message) = self.next().await?;
        let published = self.unless_stopped(publisher.publish(message)).await?;
        Some(published.map(|confirm| (number, due, confirm)))
    }
}

/// Awaits confirms in their order, beside the publishing, so that the times are those of arrival.
async fn collect(
    run: Arc<Run>,
    mut produced: Produced,
    mut receiver: mpsc::UnboundedReceiver<(u64, Instant, Confirm)>,
    give_up: CancellationToken,
) -> Produced {
    while let Some((number, due, confirm)) = receiver.recv().await {
        produced.sent += 1;
        let outcome = tokio::select! {
            biased;
            outcome = confirm => Some(outcome),
            () = give_up.cancelled() => None,
        };
        match outcome {
            Some(Ok(())) => {
                produced.outcomes.confirmed += 1;
                produced.expected.insert(number);
                let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
                produced.latencies.saturating_record(micros.max(1));
                run.counters.confirmed.fetch_add(1, Ordering::Relaxed);
            }
            Some(Err(PublishError::Returned(_))) => produced.outcomes.returned += 1,
            Some(Err(PublishError::Nacked)) => produced.outcomes.nacked += 1,
            Some(Err(_)) | None => produced.outcomes.unknown += 1,
        }
    }
    produced
}
