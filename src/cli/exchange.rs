//! `forebay exchange`: declare, delete and bind exchanges over AMQP.

use super::argument::{self, Argument};
use super::target::{self, Target};
use clap::{Args, Subcommand};
use forebay_client::{Connection, Error, ExchangeOptions};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay exchange declare events --kind topic
  forebay exchange bind audit --source events --routing-key '#'";

/// Declare, delete and bind exchanges
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Exchange {
    /// Declare a durable exchange, or check that it exists like this
    Declare(Declare),
    /// Delete an exchange and its bindings
    Delete(Named),
    /// Bind an exchange to another one, the source
    Bind(Bind),
    /// Take a binding between exchanges away
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
pub(crate) struct Named {
    #[command(flatten)]
    target: Target,
    /// Name of the exchange
    exchange: String,
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
        target::run(self.ask())
    }

    fn target(&self) -> &Target {
        match self {
            Self::Declare(declare) => &declare.named.target,
            Self::Delete(named) => &named.target,
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
            Self::Declare(Declare { named, kind, auto_delete, internal, argument }) => {
                let mut options =
                    ExchangeOptions::of_kind(&kind)?.arguments(argument::table(&argument));
                if auto_delete {
                    options = options.auto_delete();
                }
                if internal {
                    options = options.internal();
                }
                connection.declare_exchange(&named.exchange, options).await?;
                format!("{}: {kind}", named.exchange)
            }
            Self::Delete(named) => {
                connection.delete_exchange(&named.exchange).await?;
                format!("{}: deleted", named.exchange)
            }
            Self::Bind(Bind { named, source, routing_key, argument }) => {
                let arguments = argument::table(&argument);
                connection.bind_exchange(&named.exchange, &source, &routing_key, arguments).await?;
                format!("{source} --{routing_key}--> {}", named.exchange)
            }
            Self::Unbind(Bind { named, source, routing_key, argument }) => {
                let arguments = argument::table(&argument);
                connection
                    .unbind_exchange(&named.exchange, &source, &routing_key, arguments)
                    .await?;
                format!("{source} --{routing_key}--> {}: taken away", named.exchange)
            }
        })
    }
}
