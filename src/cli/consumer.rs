//! `forebay consumer`: who takes messages from which queue.

use super::admin::{AdminTarget, within};
use super::listing::{self, Column, json, milliseconds, number, text, truth};
use super::output::Output;
use super::target::{self, Fault};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay consumer list
  forebay consumer list --vhost shop --queue orders";

/// List consumers; asks the admin listener
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Consumer {
    /// List consumers with what they hold, and for how long without settling one
    ///
    /// RabbitMQ does not tell what consumers hold.
    #[command(after_help = "Example:\n  forebay consumer list --queue orders --json")]
    List(List),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    /// Only those in this virtual host
    #[arg(long)]
    vhost: Option<String>,
    /// Only those of queues with this name
    #[arg(long)]
    queue: Option<String>,
    #[command(flatten)]
    output: Output,
}

const COLUMNS: [Column; 13] = [
    text("queue", "/queue/name"),
    text("vhost", "/queue/vhost"),
    text("tag", "/consumer_tag"),
    text("channel", "/channel_details/name"),
    text("user", "/channel_details/user").detail(),
    text("status", "/activity_status"),
    number("prefetch", "/prefetch_count"),
    number("unacked", "/unacknowledged"),
    milliseconds("holding_ms", "/holding_ms"),
    truth("acks", "/ack_required").detail(),
    truth("exclusive", "/exclusive").detail(),
    truth("active", "/active").detail(),
    json("arguments", "/arguments").detail(),
];

impl Consumer {
    pub(crate) fn run(self) -> ExitCode {
        let Self::List(list) = self;
        target::end(list.print())
    }
}

impl List {
    fn print(&self) -> Result<ExitCode, Fault> {
        let path = within("/api/consumers", self.vhost.as_deref());
        let mut consumers = self.admin.list(&path)?;
        if let Some(queue) = &self.queue {
            let is_of =
                |it: &Value| it.pointer("/queue/name").and_then(Value::as_str) == Some(queue);
            consumers.retain(is_of);
        }
        listing::print_list(&COLUMNS, &consumers, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}
