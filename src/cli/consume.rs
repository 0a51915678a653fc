//! `forebay consume`: prints messages, or runs a command for each.

use super::duration::duration;
use super::interrupt::Interrupt;
use super::printable::json_line;
use super::target::{self, Fault, Interrupted, Target};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use forebay_client::{Delivery, FieldValue, Incoming};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::pin::pin;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const EXAMPLES: &str = "Examples:
  forebay consume orders                                 # look, and leave all where it is
  forebay consume orders --ack
  forebay consume orders --ack --count 10 --json | jq .body
  forebay consume images --exec 'convert - out-$AMQP_MESSAGE_ID.png'";

/// Print the messages of a queue, or run a command for each
///
/// Without --ack and --exec it only looks: it ends after --count messages (--prefetch when there is
/// no --count), and all return to the queue when it ends. Forebay does not count that as a failed
/// delivery. Interrupt it to end it earlier.
///
/// With --exec it fails when a command failed; it ends at once, and gives the message back, when the
/// shell can't find or run the command.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Consume {
    #[command(flatten)]
    target: Target,
    /// Name of the queue
    queue: String,
    /// Acknowledge what was printed
    #[arg(long)]
    ack: bool,
    /// Run this shell command for each message, its body on standard input; acknowledge when it
    /// succeeds, otherwise give the message back. AMQP_EXCHANGE, AMQP_ROUTING_KEY, AMQP_MESSAGE_ID,
    /// AMQP_REDELIVERED and AMQP_DELIVERY_COUNT are in its environment
    #[arg(long, conflicts_with = "ack")]
    exec: Option<String>,
    /// With --exec: dead-letter a message whose command fails
    #[arg(long, requires = "exec")]
    reject: bool,
    /// End after so many messages
    #[arg(long, short = 'n')]
    count: Option<u64>,
    /// End when no message came for this long, for example 5s
    #[arg(long, value_parser = duration)]
    idle: Option<Duration>,
    /// Messages that are fetched ahead of the one being handled
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    prefetch: u16,
    /// Print each message as a line of JSON, with its properties
    #[arg(long)]
    json: bool,
}

impl Consume {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.consume())
    }

    async fn consume(self) -> Result<ExitCode, Fault> {
        let connection = self.target.connect().await?;
        let is_settling = self.ack || self.exec.is_some();
        // Without acks as many must be let out as are to be seen.
        let (prefetch, count) = match self.count {
            count if is_settling => (self.prefetch, count),
            Some(count) => {
                let prefetch = u16::try_from(count).map_err(|_| {
                    format!("at most {} messages can be looked at without --ack", u16::MAX)
                })?;
                (prefetch, Some(count))
            }
            None => (self.prefetch, Some(self.prefetch.into())),
        };
        let mut consumer = connection.consume(&self.queue).prefetch(prefetch).start().await?;
        // Before the first message: from now on an interrupt ends it in good order, and one that
        // comes while a message is handled is not lost.
        let mut interrupt = Interrupt::listen()?;
        let mut held = Vec::new();
        let mut seen = 0;
        let mut failures = Failures::default();
        let mut is_interrupted = false;
        while count.is_none_or(|count| seen < count) {
            let delivery = tokio::select! {
                delivery = consumer.next() => delivery,
                () = idle(self.idle) => None,
                () = interrupt.next() => {
                    is_interrupted = true;
                    None
                }
            };
            let Some(delivery) = delivery else { break };
            seen += 1;
            match self.handle(delivery?, &mut interrupt, &mut failures).await? {
                Next::Hold(delivery) => held.push(delivery),
                Next::GoOn => {}
                Next::GiveUp(delivery) => {
                    held.push(delivery);
                    break;
                }
                Next::Interrupted => {
                    is_interrupted = true;
                    break;
                }
            }
        }
        consumer.close_releasing(held).await?;
        connection.close().await?;
        failures.result()?;
        match count {
            Some(count) if is_interrupted && seen < count => {
                Err(Interrupted(format!("{seen} of {count} messages came")).into())
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    async fn handle(
        &self,
        delivery: Delivery,
        interrupt: &mut Interrupt,
        failures: &mut Failures,
    ) -> Result<Next, Fault> {
        let Some(command) = &self.exec else {
            print(&delivery, self.json)?;
            if self.ack {
                delivery.ack()?;
                return Ok(Next::GoOn);
            }
            return Ok(Next::Hold(delivery));
        };
        let (end, next) = execute(command, &delivery, interrupt).await?;
        match end {
            End::Success => delivery.ack()?,
            End::Failure(status) if is_no_command(status) => {
                failures.add(status, "it is given back, and nothing more is tried");
                return Ok(Next::GiveUp(delivery));
            }
            End::Failure(status) if self.reject => {
                delivery.reject()?;
                failures.add(status, "it is dead-lettered, as are others whose command fails");
            }
            End::Failure(status) => {
                delivery.nack()?;
                failures.add(
                    status,
                    "it goes back to the queue, as do others whose command fails, until the \
                     queue's delivery limit dead-letters them",
                );
            }
            End::Killed => delivery.nack()?,
        }
        Ok(next)
    }
}

/// How to go on after a message.
enum Next {
    /// The delivery is to be held to the end.
    Hold(Delivery),
    GoOn,
    /// The delivery is to be given back without having been tried, and the command ends.
    GiveUp(Delivery),
    Interrupted,
}

/// How a command ended.
enum End {
    Success,
    Failure(ExitStatus),
    /// We ended it.
    Killed,
}

/// What the commands of `--exec` made of their messages.
#[derive(Debug, Default)]
struct Failures {
    count: u64,
}

impl Failures {
    /// The first one is told, with what becomes of its message; the others are counted.
    fn add(&mut self, status: ExitStatus, fate: &str) {
        self.count += 1;
        if self.count == 1 {
            target::tell(format_args!("the command failed for a message ({status}); {fate}"));
        }
    }

    fn result(&self) -> Result<(), Fault> {
        match self.count {
            0 => Ok(()),
            1 => Err("the command failed for 1 delivery".into()),
            count => Err(format!("the command failed for {count} deliveries").into()),
        }
    }
}

/// The shell's codes for a command that it can't run or can't find: no message is to blame.
fn is_no_command(status: ExitStatus) -> bool {
    matches!(status.code(), Some(126 | 127))
}

async fn idle(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

fn print(message: &Incoming, is_json: bool) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    if is_json {
        writeln!(output, "{}", json_line(&json_of(message)))
    } else {
        output.write_all(message.body())?;
        output.write_all(b"\n")
    }
}

/// An interrupt lets the command finish, a second one kills it. The command's process group is its
/// own, so that the terminal's Ctrl-C leaves it alone.
async fn execute(
    command: &str,
    message: &Incoming,
    interrupt: &mut Interrupt,
) -> Result<(End, Next), Fault> {
    let id = message.message_id().map(|id| id.to_string()).unwrap_or_default();
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("AMQP_EXCHANGE", message.exchange().to_string())
        .env("AMQP_ROUTING_KEY", message.routing_key().to_string())
        .env("AMQP_MESSAGE_ID", id)
        .env("AMQP_REDELIVERED", message.is_redelivered().to_string())
        .env("AMQP_DELIVERY_COUNT", message.delivery_count().to_string())
        .stdin(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let input = child.stdin.take();
    let feed = async {
        if let Some(mut input) = input {
            // A command need not read its input.
            let _ = input.write_all(message.body()).await;
        }
    };
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let run = async { tokio::join!(feed, child.wait()).1 };
    let mut run = pin!(run);
    let mut next = Next::GoOn;
    loop {
        tokio::select! {
            status = &mut run => {
                let status = status?;
                let end = if status.success() { End::Success } else { End::Failure(status) };
                return Ok((end, next));
            }
            () = interrupt.next() => match (&next, group) {
                (Next::Interrupted, Some(group)) => {
                    // It may have ended just now.
                    let _ = kill_process_group(group, Signal::KILL);
                    run.await?;
                    return Ok((End::Killed, Next::Interrupted));
                }
                _ => next = Next::Interrupted,
            },
        }
    }
}

fn json_of(message: &Incoming) -> Value {
    let properties = message.properties();
    let short = |value: Option<forebay_client::ShortStr>| value.map(|value| value.to_string());
    let headers: Map<String, Value> =
        message.headers().iter().map(|(name, value)| (name.to_string(), value_of(value))).collect();
    let (body, encoding) = match message.text() {
        Some(text) => (text.to_owned(), "string"),
        None => (STANDARD.encode(message.body()), "base64"),
    };
    json!({
        "body": body,
        "body_encoding": encoding,
        "exchange": message.exchange().to_string(),
        "routing_key": message.routing_key().to_string(),
        "redelivered": message.is_redelivered(),
        "content_type": short(properties.content_type),
        "content_encoding": short(properties.content_encoding),
        "app_id": short(properties.app_id),
        "user_id": short(properties.user_id),
        "message_id": short(properties.message_id),
        "correlation_id": short(properties.correlation_id),
        "reply_to": short(properties.reply_to),
        "type": short(properties.kind),
        "priority": properties.priority,
        "delivery_mode": properties.delivery_mode,
        "expiration": short(properties.expiration),
        "timestamp": properties.timestamp,
        "headers": headers,
    })
}

fn value_of(value: &FieldValue) -> Value {
    if let Some(number) = value.as_integer().and_then(|number| i64::try_from(number).ok()) {
        return number.into();
    }
    match value {
        FieldValue::Bool(truth) => (*truth).into(),
        FieldValue::F32(number) => f64::from(*number).into(),
        FieldValue::F64(number) => (*number).into(),
        FieldValue::U64(number) | FieldValue::Timestamp(number) => (*number).into(),
        FieldValue::LongStr(text) | FieldValue::ByteArray(text) => {
            String::from_utf8_lossy(text).into()
        }
        FieldValue::Array(values) => values.iter().map(value_of).collect(),
        FieldValue::Table(table) => {
            let fields = table.iter().map(|(name, value)| (name.to_string(), value_of(value)));
            fields.collect::<Map<_, _>>().into()
        }
        _ => Value::Null,
    }
}
