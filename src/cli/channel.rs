//! `forebay channel`: what clients do at present.

use super::admin::{AdminTarget, segment};
use super::listing::{self, Column, number, text, truth};
use super::output::Output;
use super::subject::Subject;
use super::target::{self, Fault};
use clap::{Args, Subcommand};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay channel list
  forebay channel list --connection '127.0.0.1:40312 -> 7'
  forebay channel show '127.0.0.1:40312 -> 7 (1)'";

/// List and show channels; asks the admin listener
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Channel {
    /// List channels with what they hold
    #[command(after_help = "Example:\n  forebay channel list --vhost shop --json")]
    List(List),
    /// Show one channel
    #[command(after_help = "Example:\n  forebay channel show '127.0.0.1:40312 -> 7 (1)'")]
    Show(Named),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    /// Only those in this virtual host
    #[arg(long, conflicts_with = "connection")]
    vhost: Option<String>,
    /// Only those of this connection
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    admin: AdminTarget,
    /// Name of the channel, as the list shows it
    name: String,
    #[command(flatten)]
    output: Output,
}

const COLUMNS: [Column; 15] = [
    text("name", "/name"),
    text("user", "/user"),
    text("vhost", "/vhost"),
    text("state", "/state"),
    number("consumers", "/consumer_count"),
    number("prefetch", "/prefetch_count"),
    number("unacked", "/messages_unacknowledged"),
    number("unconfirmed", "/messages_unconfirmed"),
    number("global_prefetch", "/global_prefetch_count").detail(),
    number("uncommitted", "/messages_uncommitted").detail(),
    number("acks_uncommitted", "/acks_uncommitted").detail(),
    truth("confirms", "/confirm").detail(),
    truth("transactional", "/transactional").detail(),
    number("number", "/number").detail(),
    text("connection", "/connection_details/name").detail(),
];

impl Channel {
    pub(crate) fn run(self) -> ExitCode {
        target::end(match self {
            Self::List(list) => list.print(),
            Self::Show(named) => named.print(),
        })
    }
}

impl List {
    fn print(&self) -> Result<ExitCode, Fault> {
        let channels = match (&self.vhost, &self.connection) {
            (Some(vhost), _) => {
                self.admin.list(&format!("/api/vhosts/{}/channels", segment(vhost)))?
            }
            (None, Some(connection)) => {
                let path = format!("/api/connections/{}/channels", segment(connection));
                self.admin.list(&path)?
            }
            (None, None) => self.admin.list("/api/channels")?,
        };
        listing::print_list(&COLUMNS, &channels, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Named {
    fn print(&self) -> Result<ExitCode, Fault> {
        let subject = Subject {
            kind: "channel",
            name: self.name.clone(),
            vhost: None,
            path: format!("/api/channels/{}", segment(&self.name)),
            list: "forebay channel list",
        };
        listing::print_object(&COLUMNS, &subject.get(&self.admin)?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}
