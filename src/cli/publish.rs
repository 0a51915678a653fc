//! `forebay publish`: messages from arguments, a file, or the lines of standard input.

use super::argument::{self, Argument};
use super::duration::{duration, rate};
use super::interrupt::Interrupt;
use super::target::{self, Answer, FAILED, Fault, Interrupted, Target};
use clap::{ArgGroup, Args};
use forebay_client::limits::BODY_SIZE_MAX;
use forebay_client::{Bytes, Confirm, Message, Properties, Publisher, ShortStr};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader, stdin};
use tokio::time::Instant;

const EXAMPLES: &str = "Examples:
  forebay publish --queue orders '{\"id\": 1}' --content-type application/json
  seq 1000 | forebay publish --exchange events --routing-key order.placed --rate 100
  forebay publish --queue images --file picture.png --header camera=front";

/// Confirms awaited behind the message published last.
const CONFIRMS_AWAITED_MAX: usize = 1_024;

/// Different reasons for failed messages that are told; the others are only counted.
const REASONS_TOLD_MAX: usize = 8;

/// Publish messages, and wait until each is confirmed
///
/// Bodies come from the arguments, from a file, or from the lines of standard input. A message that
/// no queue takes is a failure.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "forebay publish [OPTIONS] <--queue QUEUE|--exchange EXCHANGE> [BODY]..."
)]
#[command(group = ArgGroup::new("destination").args(["queue", "exchange"]).required(true))]
pub(crate) struct Publish {
    #[command(flatten)]
    target: Target,
    /// Publish to this queue
    #[arg(long, short, conflicts_with = "routing_key")]
    queue: Option<String>,
    /// Publish to this exchange
    #[arg(long, short)]
    exchange: Option<String>,
    /// With this routing key
    #[arg(long, short = 'k')]
    routing_key: Option<String>,
    /// The whole file as one body
    #[arg(long, short, conflicts_with = "body")]
    file: Option<PathBuf>,
    /// A header, NAME=VALUE; may be repeated
    #[arg(long, short = 'H')]
    header: Vec<Argument>,
    /// MIME type of the body
    #[arg(long)]
    content_type: Option<ShortStrArgument>,
    /// How the body is packed, for example gzip
    #[arg(long)]
    content_encoding: Option<ShortStrArgument>,
    /// Name of the message
    #[arg(long)]
    message_id: Option<ShortStrArgument>,
    /// What the message refers to
    #[arg(long)]
    correlation_id: Option<ShortStrArgument>,
    /// The queue for an answer
    #[arg(long)]
    reply_to: Option<ShortStrArgument>,
    /// The application's type of the message
    #[arg(long = "type")]
    kind: Option<ShortStrArgument>,
    /// Name of the publishing application
    #[arg(long)]
    app_id: Option<ShortStrArgument>,
    /// Name of the user; the broker checks that it is the one who is logged in
    #[arg(long)]
    user_id: Option<ShortStrArgument>,
    /// Priority
    #[arg(long)]
    priority: Option<u8>,
    /// Time to live in the queue, for example 30s
    #[arg(long, value_parser = duration)]
    expires: Option<Duration>,
    /// Transient (delivery mode 1) instead of persistent
    #[arg(long)]
    transient: bool,
    /// Publish each body so many times
    #[arg(long, short = 'n', default_value_t = 1)]
    count: u64,
    /// Messages per second; without it as many as possible
    #[arg(long, short, value_parser = rate)]
    rate: Option<f64>,
    /// Do not call it a failure when no queue takes a message
    #[arg(long)]
    allow_unroutable: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// The bodies; without any, and without --file, the lines of standard input
    body: Vec<String>,
}

/// A short string as an argument.
#[derive(Clone, Debug)]
struct ShortStrArgument(ShortStr);

impl std::str::FromStr for ShortStrArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ShortStr::try_from(text).map(Self).map_err(|error| error.to_string())
    }
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
        Answer { text, json }.print(self.json)?;
        sent.and(settled)?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    async fn send_all(&self, progress: &mut Progress) -> Result<(), Fault> {
        if let Some(path) = &self.file {
            let body = tokio::fs::read(path)
                .await
                .map_err(|error| format!("{}: {error}", path.display()))?;
            return self.send(body.into(), progress).await;
        }
        if !self.body.is_empty() {
            for body in &self.body {
                self.send(body.clone().into(), progress).await?;
            }
            return Ok(());
        }
        let mut input = BufReader::new(stdin());
        while let Some(line) = next_line(&mut input).await? {
            self.send(line.into(), progress).await?;
        }
        Ok(())
    }

    async fn send(&self, body: Bytes, progress: &mut Progress) -> Result<(), Fault> {
        for _ in 0..self.count {
            if let Some(rate) = self.rate {
                let due = Duration::from_secs_f64(progress.sent as f64 / rate);
                tokio::time::sleep_until(progress.begin + due).await;
            }
            let confirm = progress.publisher.publish(self.message(body.clone())).await?;
            progress.awaited.push_back(confirm);
            progress.sent += 1;
            progress.await_confirms(CONFIRMS_AWAITED_MAX).await;
        }
        Ok(())
    }

    fn message(&self, body: Bytes) -> Message {
        let value = |argument: &Option<ShortStrArgument>| {
            argument.as_ref().map(|argument| argument.0.clone())
        };
        let properties = Properties {
            headers: (!self.header.is_empty()).then(|| argument::table(&self.header)),
            content_type: value(&self.content_type),
            content_encoding: value(&self.content_encoding),
            app_id: value(&self.app_id),
            user_id: value(&self.user_id),
            message_id: value(&self.message_id),
            correlation_id: value(&self.correlation_id),
            reply_to: value(&self.reply_to),
            kind: value(&self.kind),
            priority: self.priority,
            delivery_mode: Some(if self.transient { 1 } else { 2 }),
            ..Properties::default()
        };
        let message = match (&self.queue, &self.exchange) {
            (Some(queue), _) => Message::to_queue(queue, body),
            (None, exchange) => {
                let routing_key = self.routing_key.as_deref().unwrap_or_default();
                Message::to_exchange(exchange.as_deref().unwrap_or_default(), routing_key, body)
            }
        };
        let message = message.properties(properties);
        let message = match self.expires {
            Some(expires) => message.expires_after(expires),
            None => message,
        };
        if self.allow_unroutable { message } else { message.mandatory() }
    }
}

/// The bytes up to the next line feed, or to the end. They need not be text.
async fn next_line(input: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Vec<u8>>, Fault> {
    let mut line = Vec::new();
    if input.take(BODY_SIZE_MAX + 1).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 > BODY_SIZE_MAX {
        return Err(format!("a line of standard input has more than {BODY_SIZE_MAX} bytes").into());
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
