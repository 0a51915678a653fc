//! `forebay connection`: who is connected.

use super::admin::{AdminTarget, segment};
use super::confirmation::Deletion;
use super::http::HttpRequest;
use super::listing::{self, Column, bytes, json, number, since, text, truth};
use super::output::Output;
use super::subject::Subject;
use super::target::{self, Answer, Fault};
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay connection list
  forebay connection show '127.0.0.1:40312 -> 7'
  forebay connection close --of-user app --reason 'moving to another broker'";

/// List, show and close connections; asks the admin listener
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Connection {
    /// List connections with what they have passed
    #[command(after_help = "Example:\n  forebay connection list --vhost shop --output csv")]
    List(List),
    /// Show one connection: the client, its address, TLS, traffic
    #[command(after_help = "Example:\n  forebay connection show '127.0.0.1:40312 -> 7'")]
    Show(Named),
    /// Close a connection, or all of a user; asks first in a terminal
    ///
    /// The client is told the reason. Most clients connect again: to keep one out, take its permissions away first.
    #[command(
        after_help = "Examples:\n  forebay connection close '127.0.0.1:40312 -> 7' --reason 'too many channels'\n  \
        forebay connection close --of-user app --yes"
    )]
    Close(Close),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    /// Only those to this virtual host
    #[arg(long, conflicts_with = "of_user")]
    vhost: Option<String>,
    /// Only those of this user
    #[arg(long, value_name = "USER")]
    of_user: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    admin: AdminTarget,
    /// Name of the connection, as the list shows it
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Close {
    #[command(flatten)]
    admin: AdminTarget,
    /// Name of the connection, as the list shows it
    #[arg(required_unless_present = "of_user")]
    name: Option<String>,
    /// All connections of this user
    #[arg(long, value_name = "USER", conflicts_with = "name")]
    of_user: Option<String>,
    /// What the client is told
    #[arg(long, default_value = "Closed by an operator", value_parser = header_text)]
    reason: String,
    #[command(flatten)]
    deletion: Deletion,
    #[command(flatten)]
    output: Output,
}

const COLUMNS: [Column; 19] = [
    text("name", "/name"),
    text("user", "/user"),
    text("vhost", "/vhost"),
    text("state", "/state"),
    text("client_name", "/user_provided_name"),
    number("channels", "/channels"),
    bytes("received_bytes", "/recv_oct"),
    bytes("sent_bytes", "/send_oct"),
    since("connected_at_ms", "/connected_at"),
    truth("tls", "/ssl"),
    text("tls_version", "/ssl_protocol").detail(),
    text("tls_subject", "/peer_cert_subject").detail(),
    text("protocol", "/protocol").detail(),
    text("mechanism", "/auth_mechanism").detail(),
    text("peer_host", "/peer_host").detail(),
    number("peer_port", "/peer_port").detail(),
    number("frame_max", "/frame_max").detail(),
    number("heartbeat_seconds", "/timeout").detail(),
    json("client_properties", "/client_properties").detail(),
];

fn header_text(text: &str) -> Result<String, String> {
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() || c == ' ') && !text.is_empty();
    if is_plain {
        Ok(text.to_owned())
    } else {
        Err("it is told as ASCII: letters, digits and marks".into())
    }
}

impl Connection {
    pub(crate) fn run(self) -> ExitCode {
        target::end(match self {
            Self::List(list) => list.print(),
            Self::Show(named) => named.print(),
            Self::Close(close) => close.carry_out(),
        })
    }
}

impl List {
    fn print(&self) -> Result<ExitCode, Fault> {
        let path = match (&self.vhost, &self.of_user) {
            (Some(vhost), _) => format!("/api/vhosts/{}/connections", segment(vhost)),
            (None, Some(user)) => format!("/api/connections/username/{}", segment(user)),
            (None, None) => "/api/connections".to_owned(),
        };
        listing::print_list(&COLUMNS, &self.admin.list(&path)?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn subject(name: &str) -> Subject {
    Subject {
        kind: "connection",
        name: name.to_owned(),
        vhost: None,
        path: format!("/api/connections/{}", segment(name)),
        list: "forebay connection list",
    }
}

impl Named {
    fn print(&self) -> Result<ExitCode, Fault> {
        listing::print_object(&COLUMNS, &subject(&self.name).get(&self.admin)?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Close {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let answer = match (&self.name, &self.of_user) {
            (Some(name), _) => self.close_one(&subject(name))?,
            (None, user) => self.close_of_user(user.as_deref().unwrap_or_default())?,
        };
        answer.print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }

    fn close_one(&self, subject: &Subject) -> Result<Answer, Fault> {
        let is_there = self.admin.find(&subject.path)?.is_some();
        subject.end(&self.deletion, is_there, "closed", || {
            let loss =
                "the connection will be closed, and what it holds unacked returns to its queues";
            self.deletion.ask(loss, subject.kind, &subject.name)?;
            self.close(&subject.path)
        })
    }

    /// One by one: RabbitMQ 3.10 has no call for all of them.
    fn close_of_user(&self, user: &str) -> Result<Answer, Fault> {
        let path = format!("/api/connections/username/{}", segment(user));
        let connections = self.admin.list(&path)?;
        if connections.is_empty() && !self.deletion.if_exists {
            return Err(format!(
                "user `{user}` has no connections; `forebay connection list` shows which there are"
            )
            .into());
        }
        if !connections.is_empty() {
            let loss = format!("{} connections will be closed", connections.len());
            self.deletion.ask(&loss, "user", user)?;
        }
        let mut closed = 0_u64;
        for connection in &connections {
            let Some(name) = connection.get("name").and_then(|name| name.as_str()) else {
                continue;
            };
            let there = subject(name);
            if self.admin.find(&there.path)?.is_some() {
                self.close(&there.path)?;
                closed += 1;
            }
        }
        Ok(Answer {
            text: format!("user {user}: {closed} connections closed"),
            json: json!({ "user": user, "connections_closed": closed }),
        })
    }

    fn close(&self, path: &str) -> Result<(), Fault> {
        let headers = [("x-reason", self.reason.as_str())];
        let request = HttpRequest { method: "DELETE", path, headers: &headers, body: &[] };
        self.admin.request_with(request)?;
        Ok(())
    }
}
