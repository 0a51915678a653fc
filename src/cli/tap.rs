//! `forebay tap`: shows what flows through an exchange, and leaves it where it goes.
//!
//! A queue of the command's own gets a copy of each message. It belongs to the connection, so that it goes with the
//! command however that ends, and it is bounded: what comes while the command can't keep up drops what is oldest.

use super::argument::{self, Argument};
use super::deliveries::{Deliveries, Until};
use super::message_output::{MessageFormat, MessageOutput};
use super::target::{self, Fault, Target};
use clap::Args;
use forebay_client::{Connection, Error, QueueOptions};
use std::io::{self, IsTerminal};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay tap events
  forebay tap events --routing-key 'order.*' --routing-key 'payment.#' --format ndjson > seen.ndjson
  forebay tap orders.direct --routing-key placed --count 10
  forebay tap notices --argument kind=mail                       # of a headers exchange";

/// Messages that wait for the command in the broker.
const BACKLOG_MESSAGES_MAX: u32 = 10_000;
/// Bytes of their bodies.
const BACKLOG_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Deliveries under way.
const PREFETCH: u16 = 256;

/// What a topic exchange takes for every key, and fanout and headers exchanges pass over.
const EVERY_KEY: &str = "#";

/// Show what flows through an exchange, without taking it
///
/// A queue of its own is bound to the exchange, and goes with the command. Others get what they would get without it. What
/// is published to a queue by name goes through the default exchange, which can't be tapped. It ends on Ctrl-C.
///
/// When it can't keep up, the oldest of 10,000 waiting messages (64 MiB) are not shown.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Tap {
    #[command(flatten)]
    target: Target,
    /// Name of the exchange
    #[arg(value_parser = exchange)]
    exchange: String,
    /// Only messages with this routing key, or pattern of a topic exchange; may be repeated. A direct exchange
    /// needs one [default: all]
    #[arg(long, short = 'k')]
    routing_key: Vec<String>,
    /// An argument of the binding, NAME=VALUE: for a headers exchange a header, or x-match=any; may be repeated
    #[arg(long, short)]
    argument: Vec<Argument>,
    /// Name of the queue, where the user may declare only some [default: the broker chooses]
    #[arg(long, default_value = "", hide_default_value = true)]
    queue: String,
    #[command(flatten)]
    until: Until,
    #[command(flatten)]
    output: MessageOutput,
}

fn exchange(text: &str) -> Result<String, String> {
    match text {
        "" => Err("the default exchange has no bindings, so that it can't be tapped; `forebay consume QUEUE` looks into \
                   a queue".into()),
        name => Ok(name.to_owned()),
    }
}

impl Tap {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.show())
    }

    async fn show(self) -> Result<ExitCode, Fault> {
        let connection = self.target.connect().await?;
        let queue = self.bind(&connection).await?;
        let consumer = connection.consume(&queue).prefetch(PREFETCH).start().await?;
        let mut deliveries = Deliveries::of(consumer, self.until)?;
        if io::stderr().is_terminal() {
            target::tell(format_args!("tapping {}; Ctrl-C ends it", self.exchange));
        }
        let mut printer = self.output.printer(MessageFormat::Text);
        while let Some(delivery) = deliveries.next().await? {
            printer.print(&delivery)?;
            delivery.ack()?;
        }
        printer.finish()?;
        if deliveries.seen() == 0 && self.routing_key.is_empty() {
            target::tell(
                "no message came; a direct exchange passes on only what has a --routing-key that was given",
            );
        }
        let ended = deliveries.close(Vec::new()).await?;
        connection.close().await?;
        ended.result()
    }

    /// Users may often declare only what has a name of theirs.
    fn explain(&self, error: Error) -> Fault {
        match error.fault() {
            Some(fault) if fault.is_access_refused() && self.queue.is_empty() => {
                format!("{error}; name a queue that the user may declare and bind with --queue")
                    .into()
            }
            _ => error.into(),
        }
    }

    /// The name of the queue that is bound.
    async fn bind(&self, connection: &Connection) -> Result<String, Fault> {
        connection.inspect_exchange(&self.exchange).await?;
        let options = QueueOptions::exclusive()
            .auto_delete()
            .max_length(BACKLOG_MESSAGES_MAX)
            .max_length_bytes(BACKLOG_BYTES_MAX);
        let declared = connection.declare_queue(&self.queue, options).await;
        let queue = declared.map_err(|error| self.explain(error))?.name.to_string();
        let every = [EVERY_KEY.to_owned()];
        let keys = if self.routing_key.is_empty() { &every[..] } else { &self.routing_key };
        for key in keys {
            let arguments = argument::table(&self.argument);
            connection.bind_queue(&queue, &self.exchange, key, arguments).await?;
        }
        Ok(queue)
    }
}
