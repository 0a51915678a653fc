//! `forebay consume`: prints messages, or runs a command for each.

use super::duration::duration;
use super::idle::idle;
use super::interrupt::Interrupt;
use super::message_output::{MessageFormat, MessageOutput, MessagePrinter};
use super::shell_command::{CommandOutput, End, Ended, Failures, execute, is_no_command};
use super::target::{self, Fault, Interrupted, Target};
use clap::Args;
use forebay_client::Delivery;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "Examples:
  forebay consume orders                                 # look, and leave all where it is
  forebay consume orders --ack
  forebay consume orders --ack --count 10 --json | jq .body
  forebay consume orders --ack --idle 5s --format ndjson > orders.ndjson
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
    #[arg(long, conflicts_with_all = ["ack", "format", "json"])]
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
    #[command(flatten)]
    output: MessageOutput,
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
        let mut printer = self.output.printer(MessageFormat::Body);
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
            match self.handle(delivery?, &mut printer, &mut interrupt, &mut failures).await? {
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
        printer.finish()?;
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
        printer: &mut MessagePrinter,
        interrupt: &mut Interrupt,
        failures: &mut Failures,
    ) -> Result<Next, Fault> {
        let Some(command) = &self.exec else {
            printer.print(&delivery)?;
            if self.ack {
                delivery.ack()?;
                return Ok(Next::GoOn);
            }
            return Ok(Next::Hold(delivery));
        };
        let output = CommandOutput::Inherited;
        let Ended { end, is_interrupted } = execute(command, &delivery, output, interrupt).await?;
        match end {
            End::Success(_) => delivery.ack()?,
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
        Ok(if is_interrupted { Next::Interrupted } else { Next::GoOn })
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
