//! `forebay queue`: declare, look at, empty and delete queues over AMQP.

use super::admin::{AdminTarget, segment};
use super::argument::{self, Argument};
use super::confirmation;
use super::output::Output;
use super::queue_parked::Parked;
use super::queue_pause::Pausing;
use super::queue_report::{QueueReport, age_text};
use super::queue_show::Show;
use super::table;
use super::target::{self, Answer, Fault, Target};
use clap::{Args, Subcommand};
use forebay_client::{Connection, DeleteOptions, QueueOptions, QueueState};
use serde_json::json;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay queue declare orders --argument x-max-length=100000 --argument x-overflow=reject-publish
  forebay queue list
  forebay queue show orders
  forebay queue bind orders --exchange events --routing-key 'order.*'";

/// Declare, list, show, empty, delete and bind queues
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Queue {
    /// Declare a durable queue, or check that it exists with these arguments
    #[command(
        after_help = "Example:\n  forebay queue declare orders --argument x-max-length=100000"
    )]
    Declare(Declare),
    /// List queues with their messages, consumers and ages; asks the admin listener
    #[command(after_help = "Example:\n  forebay queue list --vhost shop --json")]
    List(List),
    Show(Show),
    /// Tell how many messages are ready and how many consumers there are, over AMQP
    #[command(after_help = "Example:\n  forebay queue count orders --json")]
    Count(Named),
    /// Show the messages that came back and wait for a retry: how often, why, and when they are due; asks
    /// the admin listener
    #[command(after_help = "Example:\n  forebay queue parked orders --count 50")]
    Parked(Parked),
    /// Drop all messages that are ready or wait for a retry; asks first in a terminal
    #[command(after_help = "Example:\n  forebay queue purge orders")]
    Purge(Drop),
    /// Delete a queue with its messages; asks first in a terminal when there are any
    #[command(after_help = "Examples:\n  forebay queue delete orders\n  \
         forebay queue delete orders --if-empty --if-unused")]
    Delete(Delete),
    /// Call the present lag of a queue normal, so that it is no alert any more; asks the admin listener
    #[command(after_help = "Example:\n  forebay queue accept-normal orders")]
    AcceptNormal(AcceptNormal),
    /// Stop the deliveries of a queue until it is resumed, also over a restart; messages still come in, and what is
    /// delivered can be settled; asks the admin listener
    #[command(after_help = "Example:\n  forebay queue pause orders")]
    Pause(Pausing),
    /// Let a queue that was paused deliver again; asks the admin listener
    #[command(after_help = "Example:\n  forebay queue resume orders")]
    Resume(Pausing),
    /// Bind a queue to an exchange
    #[command(
        after_help = "Example:\n  forebay queue bind orders --exchange events --routing-key 'order.*'"
    )]
    Bind(Bind),
    /// Take a binding away
    #[command(
        after_help = "Example:\n  forebay queue unbind orders --exchange events --routing-key 'order.*'"
    )]
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
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    /// Only queues of this virtual host
    #[arg(long)]
    vhost: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AcceptNormal {
    #[command(flatten)]
    admin: AdminTarget,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the queue
    queue: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    target: Target,
    /// Name of the queue
    queue: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Drop {
    #[command(flatten)]
    named: Named,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    drop: Drop,
    /// Fail, and leave the queue as it is, when a message is ready in it
    #[arg(long)]
    if_empty: bool,
    /// Fail, and leave the queue as it is, when it has consumers
    #[arg(long)]
    if_unused: bool,
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
        match &self {
            Self::List(list) => target::end(list.print()),
            Self::Show(show) => target::end(show.show()),
            Self::AcceptNormal(accept) => target::end(accept.carry_out()),
            Self::Parked(parked) => target::end(parked.print()),
            Self::Pause(pausing) => target::end(pausing.pause()),
            Self::Resume(pausing) => target::end(pausing.resume()),
            Self::Declare(Declare { named, .. })
            | Self::Count(named)
            | Self::Purge(Drop { named, .. })
            | Self::Delete(Delete { drop: Drop { named, .. }, .. })
            | Self::Bind(Bind { named, .. })
            | Self::Unbind(Bind { named, .. }) => target::run(self.ask(named)),
        }
    }

    async fn ask(&self, named: &Named) -> Result<ExitCode, Fault> {
        let connection = named.target.connect().await?;
        let answer = self.answer(&connection, &named.queue).await?;
        connection.close().await?;
        answer.print(&named.output)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn answer(&self, connection: &Connection, queue: &str) -> Result<Answer, Fault> {
        Ok(match self {
            Self::List(_)
            | Self::AcceptNormal(_)
            | Self::Parked(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Show(_)
            | Self::Count(_) => shown(&connection.inspect_queue(queue).await?),
            Self::Declare(Declare { argument, .. }) => {
                let options = QueueOptions::durable().arguments(argument::table(argument));
                shown(&connection.declare_queue(queue, options).await?)
            }
            Self::Purge(drop) => {
                drop.ask(connection, queue).await?;
                let count = connection.purge_queue(queue).await?;
                let text = format!("{queue}: {count} messages dropped");
                Answer { text, json: json!({ "name": queue, "messages_dropped": count }) }
            }
            Self::Delete(delete) => {
                let count = delete.carry_out(connection, queue).await?;
                let text = format!("{queue}: deleted with {count} messages");
                Answer { text, json: json!({ "name": queue, "messages_deleted": count }) }
            }
            Self::Bind(bind) => {
                let arguments = argument::table(&bind.argument);
                connection.bind_queue(queue, &bind.exchange, &bind.routing_key, arguments).await?;
                bind.answer(true)
            }
            Self::Unbind(bind) => {
                let arguments = argument::table(&bind.argument);
                connection
                    .unbind_queue(queue, &bind.exchange, &bind.routing_key, arguments)
                    .await?;
                bind.answer(false)
            }
        })
    }
}

impl Drop {
    /// A queue that does not exist is an error: brokers answer its deletion as if it had been there, and a
    /// slip in the name would go unnoticed.
    async fn ask(&self, connection: &Connection, queue: &str) -> Result<(), Fault> {
        let messages: u64 = connection.inspect_queue(queue).await?.messages.into();
        if messages == 0 || self.yes || !confirmation::can_ask() {
            return Ok(());
        }
        let queue = queue.to_owned();
        let loss = format!("{messages} messages of {queue} will be dropped");
        let ask = move || confirmation::confirmed(&loss, "queue", &queue);
        match tokio::task::spawn_blocking(ask).await?? {
            true => Ok(()),
            false => Err("no message was dropped".into()),
        }
    }
}

impl Delete {
    /// The number of messages that were ready in it.
    async fn carry_out(&self, connection: &Connection, queue: &str) -> Result<u32, Fault> {
        let mut options = DeleteOptions::default();
        if self.if_unused {
            options = options.if_unused();
        }
        if self.if_empty {
            options = options.if_empty();
            // No message can be dropped, but the queue must be there.
            connection.inspect_queue(queue).await?;
        } else {
            self.drop.ask(connection, queue).await?;
        }
        let deleted = connection.delete_queue_with(queue, options).await;
        deleted.map_err(|error| target::not_deleted("queue", queue, error))
    }
}

impl Bind {
    fn answer(&self, is_bound: bool) -> Answer {
        target::binding(&self.exchange, &self.routing_key, &self.named.queue, is_bound)
    }
}

fn shown(state: &QueueState) -> Answer {
    let QueueState { name, messages, consumers, .. } = state;
    Answer {
        text: format!("{name}: {messages} messages ready, {consumers} consumers"),
        json: json!({ "name": name.to_string(), "ready": messages, "consumers": consumers }),
    }
}

impl AcceptNormal {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let path = format!("/api/queues/{}/{}", segment(&self.vhost), segment(&self.queue));
        self.admin.request("POST", &format!("{path}/accept-normal"), b"{}")?;
        let text = format!("{}: its lag of the last day is normal from now on", self.queue);
        let json = json!({ "vhost": self.vhost, "name": self.queue, "accepted": true });
        Answer { text, json }.print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn print(&self) -> Result<ExitCode, Fault> {
        let queues = QueueReport::list(&self.admin, self.vhost.as_deref())?;
        let json: Vec<_> = queues
            .iter()
            .map(|queue| {
                json!({
                    "vhost": queue.vhost,
                    "name": queue.name,
                    "ready": queue.ready,
                    "unacked": queue.unacked,
                    "parked": queue.parked,
                    "next_retry_seconds": queue.next_retry,
                    "consumers": queue.consumers,
                    "state": queue.state,
                    "paused": queue.pause.is_some(),
                    "oldest_age_seconds": queue.oldest_age,
                    "normal_peak": queue.normal_peak,
                    "symptoms": queue.symptoms,
                })
            })
            .collect();
        let rows = queues.iter().map(|queue| {
            [
                queue.title(),
                queue.ready.to_string(),
                queue.unacked.to_string(),
                queue.parked.to_string(),
                queue.consumers.to_string(),
                age_text(queue.oldest_age),
                queue.normal_text(),
                queue.state_text(),
            ]
        });
        let headings =
            ["QUEUE", "READY", "UNACKED", "PARKED", "CONSUMERS", "OLDEST", "NORMAL", "STATE"];
        let text = table::list(headings, rows, table::terminal_width());
        Answer { text, json: json.into() }.print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}
