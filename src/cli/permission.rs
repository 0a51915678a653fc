//! `forebay permission`: what users may do in virtual hosts.

use super::admin::{AdminTarget, segment};
use super::confirmation::Deletion;
use super::listing::{self, Column, text};
use super::output::Output;
use super::subject::Subject;
use super::target::{self, Fault};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay permission list --vhost shop
  forebay permission set app --vhost shop --configure '^shop\\.' --write '^shop\\.' --read '^shop\\.'
  forebay permission clear app --vhost shop";

/// Show and set what users may do in virtual hosts
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Permission {
    /// List permissions, all or those of a virtual host or a user
    #[command(after_help = "Example:\n  forebay permission list --of-user app --json")]
    List(List),
    /// Show what a user may do in a virtual host
    #[command(after_help = "Example:\n  forebay permission show app --vhost shop")]
    Show(Named),
    /// Say what a user may do in a virtual host, in place of what it might until now
    ///
    /// Each pattern is a regular expression over the names of queues and exchanges: `.*` is all of them, `^$` (the
    /// default) none. The default exchange counts as `amq.default`.
    #[command(after_help = "Examples:\n  forebay permission set app --all\n  \
        forebay permission set reader --vhost shop --read '^shop\\.'")]
    Set(Set),
    /// Take a user's permissions in a virtual host away: it can't enter it any more; asks first in a terminal
    #[command(after_help = "Example:\n  forebay permission clear app --vhost shop")]
    Clear(Clear),
    /// Permissions by routing key, where the broker has them (RabbitMQ; Forebay has none)
    #[command(subcommand, after_help = TOPIC_EXAMPLES)]
    Topic(Topic),
}

const TOPIC_EXAMPLES: &str = "Examples:
  forebay permission topic list
  forebay permission topic set app --exchange events --write '^orders\\.' --read '.*'
  forebay permission topic clear app";

/// Permissions by routing key
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Topic {
    /// List topic permissions, all or those of a virtual host or a user
    #[command(after_help = "Example:\n  forebay permission topic list --vhost shop")]
    List(List),
    /// Show a user's topic permissions in a virtual host
    #[command(after_help = "Example:\n  forebay permission topic show app")]
    Show(Named),
    /// Say which routing keys of a topic exchange a user may publish with and bind to
    #[command(after_help = "Example:\n  \
        forebay permission topic set app --exchange events --write '^orders\\.' --read '.*'")]
    Set(SetTopic),
    /// Take a user's topic permissions in a virtual host away; asks first in a terminal
    #[command(after_help = "Example:\n  forebay permission topic clear app --vhost shop")]
    Clear(Clear),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    /// Only those in this virtual host
    #[arg(long)]
    vhost: Option<String>,
    /// Only those of this user
    #[arg(long, value_name = "USER", conflicts_with = "vhost")]
    of_user: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    admin: AdminTarget,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the user
    #[arg(value_name = "USER")]
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    named: Named,
    /// What it may declare, delete and bind [default: ^$]
    #[arg(long, value_name = "PATTERN")]
    configure: Option<String>,
    /// What it may publish to [default: ^$]
    #[arg(long, value_name = "PATTERN")]
    write: Option<String>,
    /// What it may consume from [default: ^$]
    #[arg(long, value_name = "PATTERN")]
    read: Option<String>,
    /// Everything: `.*` for all three
    #[arg(long, conflicts_with_all = ["configure", "write", "read"], required_unless_present_any = ["configure", "write", "read"])]
    all: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SetTopic {
    #[command(flatten)]
    named: Named,
    /// The topic exchange
    #[arg(long)]
    exchange: String,
    /// Routing keys that it may publish with
    #[arg(long, value_name = "PATTERN")]
    write: String,
    /// Routing keys that it may bind queues to
    #[arg(long, value_name = "PATTERN")]
    read: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Clear {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    deletion: Deletion,
}

const COLUMNS: [Column; 5] = [
    text("user", "/user"),
    text("vhost", "/vhost"),
    text("configure", "/configure"),
    text("write", "/write"),
    text("read", "/read"),
];

const TOPIC_COLUMNS: [Column; 5] = [
    text("user", "/user"),
    text("vhost", "/vhost"),
    text("exchange", "/exchange"),
    text("write", "/write"),
    text("read", "/read"),
];

/// The kinds of permissions.
#[derive(Clone, Copy)]
enum Kind {
    Objects,
    Topics,
}

impl Kind {
    /// The last part of the paths of its lists.
    fn segment(self) -> &'static str {
        match self {
            Self::Objects => "permissions",
            Self::Topics => "topic-permissions",
        }
    }

    fn columns(self) -> &'static [Column] {
        match self {
            Self::Objects => &COLUMNS,
            Self::Topics => &TOPIC_COLUMNS,
        }
    }
}

impl Permission {
    pub(crate) fn run(self) -> ExitCode {
        target::end(match self {
            Self::List(list) => list.print(Kind::Objects),
            Self::Show(named) => named.print(Kind::Objects),
            Self::Set(set) => set.carry_out(),
            Self::Clear(clear) => clear.carry_out(Kind::Objects),
            Self::Topic(Topic::List(list)) => list.print(Kind::Topics),
            Self::Topic(Topic::Show(named)) => named.print(Kind::Topics),
            Self::Topic(Topic::Set(set)) => set.carry_out(),
            Self::Topic(Topic::Clear(clear)) => clear.carry_out(Kind::Topics),
        })
    }
}

impl List {
    fn print(&self, kind: Kind) -> Result<ExitCode, Fault> {
        let what = kind.segment();
        let path = match (&self.vhost, &self.of_user) {
            (Some(vhost), _) => format!("/api/vhosts/{}/{what}", segment(vhost)),
            (None, Some(user)) => format!("/api/users/{}/{what}", segment(user)),
            (None, None) => format!("/api/{what}"),
        };
        listing::print_list(kind.columns(), &self.admin.list(&path)?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Named {
    fn subject(&self, kind: Kind) -> Subject {
        let (called, list) = match kind {
            Kind::Objects => ("permission of user", "forebay permission list"),
            Kind::Topics => ("topic permission of user", "forebay permission topic list"),
        };
        let path =
            format!("/api/{}/{}/{}", kind.segment(), segment(&self.vhost), segment(&self.name));
        Subject {
            kind: called,
            name: self.name.clone(),
            vhost: Some(self.vhost.clone()),
            path,
            list,
        }
    }

    fn print(&self, kind: Kind) -> Result<ExitCode, Fault> {
        let subject = self.subject(kind);
        match subject.get(&self.admin)? {
            // One for each exchange.
            Value::Array(permissions) if permissions.is_empty() => return Err(subject.missing()),
            Value::Array(permissions) => {
                listing::print_list(kind.columns(), &permissions, &self.output)?;
            }
            permission => listing::print_object(kind.columns(), &permission, &self.output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let none = if self.all { ".*" } else { "^$" };
        let pattern = |given: &Option<String>| given.clone().unwrap_or_else(|| none.to_owned());
        let (configure, write, read) =
            (pattern(&self.configure), pattern(&self.write), pattern(&self.read));
        let subject = self.named.subject(Kind::Objects);
        let body = json!({ "configure": configure, "write": write, "read": read });
        self.named.admin.put(&subject.path, &body)?;
        let done = format!("configure {configure}, write {write}, read {read}");
        subject.answer(&done, true).print(&self.named.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl SetTopic {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let Self { named, exchange, write, read } = self;
        let subject = named.subject(Kind::Topics);
        let body = json!({ "exchange": exchange, "write": write, "read": read });
        named.admin.put(&subject.path, &body)?;
        let done = format!("exchange {exchange}, write {write}, read {read}");
        subject.answer(&done, true).print(&named.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Clear {
    fn carry_out(&self, kind: Kind) -> Result<ExitCode, Fault> {
        let Named { admin, vhost, output, .. } = &self.named;
        let loss = match kind {
            Kind::Objects => format!("the user will not be let into vhost {vhost} any more"),
            Kind::Topics => format!(
                "the user's topic permissions in vhost {vhost} will be gone: all keys are allowed"
            ),
        };
        self.named.subject(kind).delete(admin, &self.deletion, &loss)?.print(output)?;
        Ok(ExitCode::SUCCESS)
    }
}
