//! `forebay exchange`: declare, delete and bind exchanges over AMQP, and list them.

use super::admin::{AdminTarget, within};
use super::argument::{self, Argument};
use super::listing::{self, Column, json as json_column, text, truth};
use super::output::Output;
use super::target::{self, Answer, Fault, Target};
use clap::{Args, Subcommand};
use forebay_client::{Connection, ExchangeOptions};
use serde_json::json;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay exchange declare events --kind topic
  forebay exchange bind audit --source events --routing-key '#'";

/// Declare, list, delete and bind exchanges
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Exchange {
    /// List exchanges; asks the admin listener
    #[command(after_help = "Example:\n  forebay exchange list --vhost shop --json")]
    List(List),
    #[command(flatten)]
    Change(Change),
}

/// What is done over AMQP.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Change {
    /// Declare a durable exchange, or check that it exists like this
    #[command(after_help = "Example:\n  forebay exchange declare events --kind topic")]
    Declare(Declare),
    /// Delete an exchange and its bindings
    #[command(after_help = "Example:\n  forebay exchange delete events --if-unused")]
    Delete(Delete),
    /// Bind an exchange to another one, the source
    #[command(
        after_help = "Example:\n  forebay exchange bind audit --source events --routing-key '#'"
    )]
    Bind(Bind),
    /// Take a binding between exchanges away
    #[command(
        after_help = "Example:\n  forebay exchange unbind audit --source events --routing-key '#'"
    )]
    Unbind(Bind),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Declare {
    #[command(flatten)]
    named: Named,
    /// Its type: direct, fanout, topic, headers, or another that the broker knows
    #[arg(long, short, default_value = "direct")]
    kind: String,
    /// Delete it when its last binding goes
    #[arg(long)]
    auto_delete: bool,
    /// Only other exchanges publish to it
    #[arg(long)]
    internal: bool,
    /// An argument, NAME=VALUE; may be repeated
    #[arg(long, short)]
    argument: Vec<Argument>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    /// Only those of this virtual host
    #[arg(long)]
    vhost: Option<String>,
    #[command(flatten)]
    output: Output,
}

const COLUMNS: [Column; 7] = [
    text("vhost", "/vhost"),
    text("name", "/name"),
    text("type", "/type"),
    truth("durable", "/durable"),
    truth("auto_delete", "/auto_delete").detail(),
    truth("internal", "/internal"),
    json_column("arguments", "/arguments"),
];

#[derive(Clone, Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    target: Target,
    /// Name of the exchange
    exchange: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    named: Named,
    /// Fail, and leave the exchange as it is, when something is bound to it
    #[arg(long)]
    if_unused: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Bind {
    #[command(flatten)]
    named: Named,
    /// The exchange that messages come from
    #[arg(long, short)]
    source: String,
    /// The routing key
    #[arg(long, short = 'k', default_value = "")]
    routing_key: String,
    /// An argument of the binding, NAME=VALUE; may be repeated
    #[arg(long, short)]
    argument: Vec<Argument>,
}

impl Exchange {
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::List(list) => target::end(list.print()),
            Self::Change(change) => target::run(change.ask()),
        }
    }
}

impl List {
    fn print(&self) -> Result<ExitCode, Fault> {
        let path = within("/api/exchanges", self.vhost.as_deref());
        listing::print_list(&COLUMNS, &self.admin.list(&path)?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Change {
    fn named(&self) -> &Named {
        match self {
            Self::Declare(declare) => &declare.named,
            Self::Delete(delete) => &delete.named,
            Self::Bind(bind) | Self::Unbind(bind) => &bind.named,
        }
    }

    async fn ask(self) -> Result<ExitCode, Fault> {
        let named = self.named();
        let connection = named.target.connect().await?;
        let answer = self.answer(&connection, &named.exchange).await?;
        connection.close().await?;
        answer.print(&named.output)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn answer(&self, connection: &Connection, exchange: &str) -> Result<Answer, Fault> {
        Ok(match self {
            Self::Declare(Declare { kind, auto_delete, internal, argument, .. }) => {
                let mut options =
                    ExchangeOptions::of_kind(kind)?.arguments(argument::table(argument));
                if *auto_delete {
                    options = options.auto_delete();
                }
                if *internal {
                    options = options.internal();
                }
                connection.declare_exchange(exchange, options).await?;
                let text = format!("{exchange}: {kind}");
                Answer { text, json: json!({ "name": exchange, "type": kind }) }
            }
            Self::Delete(Delete { if_unused, .. }) => {
                // Brokers answer the deletion of what is not there as if it had been: a slip in the name
                // would go unnoticed.
                connection.inspect_exchange(exchange).await?;
                let deleted = match if_unused {
                    true => connection.delete_unused_exchange(exchange).await,
                    false => connection.delete_exchange(exchange).await,
                };
                deleted.map_err(|error| target::not_deleted("exchange", exchange, error))?;
                let text = format!("{exchange}: deleted");
                Answer { text, json: json!({ "name": exchange, "deleted": true }) }
            }
            Self::Bind(bind) => {
                let arguments = argument::table(&bind.argument);
                connection
                    .bind_exchange(exchange, &bind.source, &bind.routing_key, arguments)
                    .await?;
                bind.answer(true)
            }
            Self::Unbind(bind) => {
                let arguments = argument::table(&bind.argument);
                connection
                    .unbind_exchange(exchange, &bind.source, &bind.routing_key, arguments)
                    .await?;
                bind.answer(false)
            }
        })
    }
}

impl Bind {
    fn answer(&self, is_bound: bool) -> Answer {
        target::binding(&self.source, &self.routing_key, &self.named.exchange, is_bound)
    }
}
