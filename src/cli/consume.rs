//! `forebay consume`: prints messages, or runs a command for each.

use super::deliveries::{Deliveries, Until};
use super::message_output::{MessageFormat, MessageOutput};
use super::shell_command::{Handled, ShellCommand};
use super::target::{self, Fault, Target};
use clap::Args;
use std::process::ExitCode;

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
    #[command(flatten)]
    until: Until,
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
        let (prefetch, count) = match self.until.count {
            count if is_settling => (self.prefetch, count),
            Some(count) => {
                let prefetch = u16::try_from(count).map_err(|_| {
                    format!("at most {} messages can be looked at without --ack", u16::MAX)
                })?;
                (prefetch, Some(count))
            }
            None => (self.prefetch, Some(self.prefetch.into())),
        };
        let consumer = connection.consume(&self.queue).prefetch(prefetch).start().await?;
        let mut deliveries = Deliveries::of(consumer, Until { count, ..self.until })?;
        let mut printer = self.output.printer(MessageFormat::Body);
        let mut command = self.exec.as_ref().map(|command| ShellCommand::new(command, self.reject));
        let mut held = Vec::new();
        while let Some(delivery) = deliveries.next().await? {
            let Some(command) = &mut command else {
                printer.print(&delivery)?;
                match self.ack {
                    true => delivery.ack()?,
                    false => held.push(delivery),
                }
                continue;
            };
            let (handled, is_interrupted) =
                command.handle(delivery, &mut deliveries.interrupt).await?;
            match handled {
                Handled::Succeeded(delivery, _) => delivery.ack()?,
                Handled::Failed => {}
                Handled::Impossible(delivery) => {
                    held.push(delivery);
                    break;
                }
            }
            if is_interrupted {
                deliveries.stop();
            }
        }
        printer.finish()?;
        let ended = deliveries.close(held).await?;
        connection.close().await?;
        command.map_or(Ok(()), |command| command.result())?;
        ended.result()
    }
}
