//! `forebay vhost`: virtual hosts.

use super::admin::{AdminTarget, segment};
use super::confirmation::Deletion;
use super::listing::{self, Column, number, text, words};
use super::output::Output;
use super::subject::Subject;
use super::target::{self, Fault};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay vhost list
  forebay vhost add shop --description 'orders and payments'
  forebay vhost delete shop";

/// List, make, describe and delete virtual hosts; asks the admin listener
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Vhost {
    /// List the virtual hosts with their messages
    #[command(after_help = "Example:\n  forebay vhost list --json")]
    List(List),
    /// Show one virtual host
    #[command(after_help = "Example:\n  forebay vhost show shop")]
    Show(Named),
    /// Make a virtual host; who makes it may do everything in it
    #[command(
        after_help = "Example:\n  forebay vhost add shop --description 'orders and payments' --tag prod"
    )]
    Add(Settings),
    /// Change what is given of a virtual host's description, tags and default queue type
    #[command(after_help = "Example:\n  forebay vhost set shop --description 'orders only'")]
    Set(Settings),
    /// Delete a virtual host with its queues and their messages, and close its connections
    ///
    /// Asks first in a terminal; a script says --yes.
    #[command(after_help = "Example:\n  forebay vhost delete shop --yes")]
    Delete(Delete),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    admin: AdminTarget,
    /// Name of the virtual host
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    named: Named,
    /// A text for people
    #[arg(long)]
    description: Option<String>,
    /// A tag; may be repeated
    #[arg(long)]
    tag: Vec<String>,
    /// The type of queues that are declared without one: classic or quorum
    #[arg(long, value_name = "TYPE")]
    default_queue_type: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    deletion: Deletion,
}

const COLUMNS: [Column; 6] = [
    text("name", "/name"),
    number("ready", "/messages_ready"),
    number("unacked", "/messages_unacknowledged"),
    text("default_queue_type", "/default_queue_type").detail(),
    words("tags", "/tags"),
    text("description", "/description"),
];

impl Vhost {
    pub(crate) fn run(self) -> ExitCode {
        target::end(match self {
            Self::List(list) => list.print(),
            Self::Show(named) => named.print(),
            Self::Add(settings) => settings.add(),
            Self::Set(settings) => settings.change(),
            Self::Delete(delete) => delete.carry_out(),
        })
    }
}

impl List {
    fn print(&self) -> Result<ExitCode, Fault> {
        listing::print_list(&COLUMNS, &self.admin.list("/api/vhosts")?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Named {
    fn subject(&self) -> Subject {
        Subject {
            kind: "vhost",
            name: self.name.clone(),
            vhost: None,
            path: format!("/api/vhosts/{}", segment(&self.name)),
            list: "forebay vhost list",
        }
    }

    fn print(&self) -> Result<ExitCode, Fault> {
        listing::print_object(&COLUMNS, &self.subject().get(&self.admin)?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Settings {
    fn add(&self) -> Result<ExitCode, Fault> {
        let subject = self.named.subject();
        if self.named.admin.find(&subject.path)?.is_some() {
            return Err(
                format!("{subject} exists already; change it with `forebay vhost set`").into()
            );
        }
        self.put(&subject, Map::new(), "made")
    }

    fn change(&self) -> Result<ExitCode, Fault> {
        let subject = self.named.subject();
        let there = subject.get(&self.named.admin)?;
        // RabbitMQ takes the place of all three; and says `undefined` for a type that is not set.
        let mut kept = Map::new();
        for member in ["description", "tags", "default_queue_type"] {
            let value =
                there.get(member).filter(|value| !value.is_null() && **value != json!("undefined"));
            kept.extend(value.map(|value| (member.to_owned(), value.clone())));
        }
        self.put(&subject, kept, "changed")
    }

    fn put(
        &self,
        subject: &Subject,
        mut body: Map<String, Value>,
        done: &str,
    ) -> Result<ExitCode, Fault> {
        let Self { named, description, tag, default_queue_type } = self;
        let given = [
            ("description", description.as_ref().map(|text| json!(text))),
            // RabbitMQ 3 takes them as one text, and Forebay either way.
            ("tags", (!tag.is_empty()).then(|| json!(tag.join(",")))),
            ("default_queue_type", default_queue_type.as_ref().map(|kind| json!(kind))),
        ];
        for (member, value) in given {
            body.extend(value.map(|value| (member.to_owned(), value)));
        }
        if let Some(Value::Array(tags)) = body.get("tags") {
            let tags: Vec<_> = tags.iter().filter_map(Value::as_str).collect();
            let tags = json!(tags.join(","));
            body.insert("tags".to_owned(), tags);
        }
        named.admin.put(&subject.path, &body.into())?;
        if let Some(kind) = default_queue_type {
            let kept = subject.get(&named.admin)?;
            // RabbitMQ 3.10 passes over it.
            if kept.get("default_queue_type").and_then(Value::as_str) != Some(kind) {
                let text = format!(
                    "{subject}: {done}, but the broker keeps no default queue type `{kind}`"
                );
                return Err(text.into());
            }
        }
        subject.answer(done, true).print(&named.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Delete {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let Named { admin, output, .. } = &self.named;
        let subject = self.named.subject();
        let vhost = admin.find(&subject.path)?;
        let messages =
            vhost.as_ref().and_then(|vhost| vhost.get("messages")?.as_u64()).unwrap_or(0);
        let answer = subject.end(&self.deletion, vhost.is_some(), "deleted", || {
            let loss = format!("the vhost's queues with {messages} messages will be gone");
            self.deletion.insist(&loss, "vhost", &subject.name)?;
            Ok(admin.request("DELETE", &subject.path, &[]).map(drop)?)
        });
        answer?.print(output)?;
        Ok(ExitCode::SUCCESS)
    }
}
