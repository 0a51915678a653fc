//! `forebay queue`: declare, look at, empty and delete queues over AMQP.

use super::argument::{self, Argument};
use super::target::{self, Target};
use clap::{Args, Subcommand};
use forebay_client::{Connection, Error, QueueOptions, QueueState};
use serde_json::json;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay queue declare orders --argument x-max-length=100000 --argument x-overflow=reject-publish
  forebay queue show orders --json
  forebay queue bind orders --exchange events --routing-key 'order.*'";

/// Declare, show, empty, delete and bind queues
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Queue {
    /// Declare a durable queue, or check that it exists with these arguments
    Declare(Declare),
    /// Show how many messages are ready and how many consumers there are
    Show(Show),
    /// Drop all messages that are ready
    Purge(Named),
    /// Delete a queue with its messages
    Delete(Named),
    /// Bind a queue to an exchange
    Bind(Bind),
    /// Take a binding away
    Unbind(Bind),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Declare {
    #[command(flatten)]
    named: Named,
    /// An argument, NAME=VALUE; may be repeated
    #[arg(long, short)]
    argument: Vec<Argument>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    named: Named,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    target: Target,
    /// Name of the queue
    queue: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Bind {
    #[command(flatten)]
    named: Named,
    /// The exchange
    #[arg(long, short)]
    exchange: String,
    /// The routing key
    #[arg(long, short = 'k', default_value = "")]
    routing_key: String,
    /// An argument of the binding, NAME=VALUE; may be repeated
    #[arg(long, short)]
    argument: Vec<Argument>,
}

impl Queue {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.ask())
    }

    fn target(&self) -> &Target {
        match self {
            Self::Declare(declare) => &declare.named.target,
            Self::Show(show) => &show.named.target,
            Self::Purge(named) | Self::Delete(named) => &named.target,
            Self::Bind(bind) | Self::Unbind(bind) => &bind.named.target,
        }
    }

    async fn ask(self) -> Result<ExitCode, Error> {
        let connection = self.target().connect().await?;
        println!("{}", self.answer(&connection).await?);
        connection.close().await;
        Ok(ExitCode::SUCCESS)
    }

    async fn answer(self, connection: &Connection) -> Result<String, Error> {
        Ok(match self {
            Self::Declare(Declare { named, argument }) => {
                let options = QueueOptions::durable().arguments(argument::table(&argument));
                text(&connection.declare_queue(&named.queue, options).await?)
            }
            Self::Show(Show { named, json }) => {
                let state = connection.inspect_queue(&named.queue).await?;
                if json { json_of(&state) } else { text(&state) }
            }
            Self::Purge(named) => {
                let count = connection.purge_queue(&named.queue).await?;
                format!("{}: {count} messages dropped", named.queue)
            }
            Self::Delete(named) => {
                let count = connection.delete_queue(&named.queue).await?;
                format!("{}: deleted with {count} messages", named.queue)
            }
            Self::Bind(Bind { named, exchange, routing_key, argument }) => {
                let arguments = argument::table(&argument);
                connection.bind_queue(&named.queue, &exchange, &routing_key, arguments).await?;
                format!("{exchange} --{routing_key}--> {}", named.queue)
            }
            Self::Unbind(Bind { named, exchange, routing_key, argument }) => {
                let arguments = argument::table(&argument);
                connection.unbind_queue(&named.queue, &exchange, &routing_key, arguments).await?;
                format!("{exchange} --{routing_key}--> {}: taken away", named.queue)
            }
        })
    }
}

fn text(state: &QueueState) -> String {
    format!("{}: {} messages ready, {} consumers", state.name, state.messages, state.consumers)
}

fn json_of(state: &QueueState) -> String {
    let name = state.name.to_string();
    json!({ "name": name, "messages": state.messages, "consumers": state.consumers }).to_string()
}
