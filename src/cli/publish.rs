//! `forebay publish`: messages from arguments, a file, or the lines of standard input.

use super::duration::rate;
use super::interrupt::Interrupt;
use super::message_flags::{MessageFlags, ShortStrArgument, put};
use super::message_json::MessageLine;
use super::output::Output;
use super::target::{self, Answer, FAILED, Fault, Interrupted, Target};
use clap::Args;
use forebay_client::limits::BODY_SIZE_MAX;
use forebay_client::{Confirm, Message, Publisher};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader, stdin};
use tokio::time::Instant;

const EXAMPLES: &str = "Examples:
  forebay publish --queue orders '{\"id\": 1}' --content-type application/json
  seq 1000 | forebay publish --exchange events --routing-key order.placed --rate 100
  forebay publish --queue images --file picture.png --header camera=front
  forebay publish --ndjson --file orders.ndjson";

/// Confirms awaited behind the message published last.
const CONFIRMS_AWAITED_MAX: usize = 1_024;

/// Bytes of a line of NDJSON: a body as base64 takes a third more, and text with escapes up to twice as much.
const NDJSON_LINE_BYTES_MAX: u64 = 2 * BODY_SIZE_MAX;

/// Different reasons for failed messages that are told; the others are only counted.
const REASONS_TOLD_MAX: usize = 8;

/// Publish messages, and wait until each is confirmed
///
/// Bodies come from the arguments, from a file, or from the lines of standard input. A message that
/// no queue takes is a failure.
///
/// With --ndjson each line is a message with its properties, as `consume --format ndjson` prints it. It goes where its
/// members `exchange` and `routing_key` say, unless --queue or --exchange says otherwise; flags go before members.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "forebay publish [OPTIONS] <--queue QUEUE|--exchange EXCHANGE|--ndjson> [BODY]..."
)]
pub(crate) struct Publish {
    #[command(flatten)]
    target: Target,
    /// Publish to this queue
    #[arg(long, short, conflicts_with_all = ["routing_key", "exchange"], required_unless_present_any = ["exchange", "ndjson"])]
    queue: Option<String>,
    /// Publish to this exchange
    #[arg(long, short)]
    exchange: Option<String>,
    /// With this routing key
    #[arg(long, short = 'k')]
    routing_key: Option<String>,
    /// The whole file as one body; with --ndjson its lines
    #[arg(long, short, conflicts_with = "body")]
    file: Option<PathBuf>,
    /// Lines are messages as JSON objects; `body` is needed, and every other member may be left out or null
    #[arg(long, conflicts_with = "body")]
    ndjson: bool,
    #[command(flatten)]
    properties: MessageFlags,
    /// What the message refers to
    #[arg(long)]
    correlation_id: Option<ShortStrArgument>,
    /// The queue for an answer
    #[arg(long)]
    reply_to: Option<ShortStrArgument>,
    /// Publish each body so many times
    #[arg(long, short = 'n', default_value_t = 1)]
    count: u64,
    /// Messages per second; without it as many as possible
    #[arg(long, short, value_parser = rate)]
    rate: Option<f64>,
    /// Do not call it a failure when no queue takes a message
    #[arg(long)]
    allow_unroutable: bool,
    #[command(flatten)]
    output: Output,
    /// The bodies; without any, and without --file, the lines of standard input
    body: Vec<String>,
}

/// What became of the messages so far, and the confirms that are awaited.
struct Progress {
    publisher: Publisher,
    awaited: VecDeque<Confirm>,
    begin: Instant,
    sent: u64,
    confirmed: u64,
    failed: u64,
    /// Messages by the reason for which they failed, the first [`REASONS_TOLD_MAX`] of them.
    reasons: BTreeMap<String, u64>,
}

impl Publish {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.publish())
    }

    async fn publish(self) -> Result<ExitCode, Fault> {
        let connection = self.target.connect().await?;
        let publisher = connection.publisher().await?;
        let mut interrupt = Interrupt::listen()?;
        let awaited = VecDeque::new();
        let mut progress = Progress {
            publisher,
            awaited,
            begin: Instant::now(),
            sent: 0,
            confirmed: 0,
            failed: 0,
            reasons: BTreeMap::new(),
        };
        let sent = tokio::select! {
            sent = self.send_all(&mut progress) => sent,
            () = interrupt.next() => {
                Err(Interrupted("not everything was published".to_owned()).into())
            }
        };
        // What was sent has a fate all the same; only a second interrupt does not wait for it.
        let settled = tokio::select! {
            () = progress.await_confirms(0) => Ok(()),
            () = interrupt.next() => {
                Err(Interrupted("what became of the others is not known".to_owned()).into())
            }
        };
        if settled.is_ok() {
            // What became of each message is known already.
            let _ = connection.close().await;
        }
        progress.tell_of_failures();
        let Progress { sent: count, confirmed, failed, .. } = progress;
        let sent = match sent {
            Err(error) if count == 0 => return Err(error),
            sent => sent,
        };
        let text = format!("{confirmed} of {count} messages confirmed");
        let json = json!({ "sent": count, "confirmed": confirmed, "failed": failed });
        Answer { text, json }.print(&self.output)?;
        sent.and(settled)?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    async fn send_all(&self, progress: &mut Progress) -> Result<(), Fault> {
        if let Some(path) = &self.file {
            let fault = |error| format!("{}: {error}", path.display());
            if self.ndjson {
                let file = File::open(path).await.map_err(fault)?;
                return self.send_lines(&mut BufReader::new(file), progress).await;
            }
            let body = tokio::fs::read(path).await.map_err(fault)?;
            return self.send(self.message(body), progress).await;
        }
        if !self.body.is_empty() {
            for body in &self.body {
                self.send(self.message(body.clone().into()), progress).await?;
            }
            return Ok(());
        }
        self.send_lines(&mut BufReader::new(stdin()), progress).await
    }

    async fn send_lines(
        &self,
        input: &mut (impl AsyncBufRead + Unpin),
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        let bytes_max = if self.ndjson { NDJSON_LINE_BYTES_MAX } else { BODY_SIZE_MAX };
        let mut number = 0_u64;
        while let Some(line) = next_line(input, bytes_max).await? {
            number += 1;
            let message = match self.ndjson {
                false => self.message(line),
                // A file may end with an empty line.
                true if line.iter().all(u8::is_ascii_whitespace) => continue,
                true => {
                    let line = MessageLine::parse(&line);
                    self.message_of(line.map_err(|reason| format!("line {number}: {reason}"))?)
                }
            };
            self.send(message, progress).await?;
        }
        Ok(())
    }

    async fn send(&self, message: Message, progress: &mut Progress) -> Result<(), Fault> {
        for _ in 0..self.count {
            if let Some(rate) = self.rate {
                let due = Duration::from_secs_f64(progress.sent as f64 / rate);
                tokio::time::sleep_until(progress.begin + due).await;
            }
            let confirm = progress.publisher.publish(message.clone()).await?;
            progress.awaited.push_back(confirm);
            progress.sent += 1;
            progress.await_confirms(CONFIRMS_AWAITED_MAX).await;
        }
        Ok(())
    }

    fn message(&self, body: Vec<u8>) -> Message {
        self.message_of(MessageLine { body, ..MessageLine::default() })
    }

    /// What flags say goes before what the line says.
    fn message_of(&self, line: MessageLine) -> Message {
        let mut properties = self.properties.over(line.properties);
        put(&mut properties.correlation_id, &self.correlation_id);
        put(&mut properties.reply_to, &self.reply_to);
        let message = match (&self.queue, &self.exchange) {
            (Some(queue), _) => Message::to_queue(queue, line.body),
            (None, exchange) => {
                let exchange = exchange.clone().or(line.exchange).unwrap_or_default();
                let key = self.routing_key.clone().or(line.routing_key).unwrap_or_default();
                Message::to_exchange(&exchange, &key, line.body)
            }
        };
        let message = message.properties(properties);
        if self.allow_unroutable { message } else { message.mandatory() }
    }
}

/// The bytes up to the next line feed, or to the end. They need not be text.
async fn next_line(
    input: &mut (impl AsyncBufRead + Unpin),
    bytes_max: u64,
) -> Result<Option<Vec<u8>>, Fault> {
    let mut line = Vec::new();
    if input.take(bytes_max + 1).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 > bytes_max {
        return Err(format!("a line has more than {bytes_max} bytes").into());
    }
    Ok(Some(line))
}

impl Progress {
    /// Waits for the oldest confirms until so many are left.
    async fn await_confirms(&mut self, left: usize) {
        while self.awaited.len() > left {
            // It stays there until its outcome is counted, should this future be dropped.
            let Some(confirm) = self.awaited.front_mut() else { return };
            let outcome = confirm.await;
            self.awaited.pop_front();
            match outcome {
                Ok(()) => self.confirmed += 1,
                Err(error) => {
                    self.failed += 1;
                    self.fail(error.to_string());
                }
            }
        }
    }

    /// A reason is told when it is met first, and counted from then on.
    fn fail(&mut self, reason: String) {
        if let Some(messages) = self.reasons.get_mut(&reason) {
            *messages += 1;
        } else if self.reasons.len() < REASONS_TOLD_MAX {
            target::tell(&reason);
            self.reasons.insert(reason, 1);
        }
    }

    /// How many messages failed for a reason that was told for the first of them only.
    fn tell_of_failures(&self) {
        for (reason, messages) in self.reasons.iter().filter(|(_, messages)| **messages > 1) {
            target::tell(format_args!("{} more messages failed: {reason}", messages - 1));
        }
        let counted: u64 = self.reasons.values().sum();
        if self.failed > counted {
            let others = self.failed - counted;
            target::tell(format_args!("{others} more messages failed, for other reasons"));
        }
    }
}
