//! `forebay limit`: how much a virtual host or a user may have.

use super::admin::{AdminTarget, segment, within};
use super::confirmation::Deletion;
use super::listing::{self, Column, number, text};
use super::output::Output;
use super::subject::Subject;
use super::target::{self, Fault};
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay limit list
  forebay limit set max-connections 100 --vhost shop
  forebay limit set max-channels 50 --of-user app
  forebay limit clear max-connections --vhost shop";

/// List, set and lift limits of virtual hosts and users
///
/// Virtual hosts have max-connections and max-queues, users max-connections and max-channels. Asks the admin
/// listener.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Limit {
    /// List limits, all or those of a virtual host or a user
    #[command(after_help = "Example:\n  forebay limit list --vhost shop")]
    List(List),
    /// Set a limit
    #[command(after_help = "Examples:\n  forebay limit set max-queues 1000 --vhost shop\n  \
        forebay limit set max-connections 10 --of-user app")]
    Set(Set),
    /// Lift a limit; asks first in a terminal
    #[command(after_help = "Example:\n  forebay limit clear max-queues --vhost shop")]
    Clear(Clear),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    output: Output,
}

/// What the limit is for.
#[derive(Clone, Debug, Args)]
pub(crate) struct Owner {
    /// Limits of this virtual host
    #[arg(long, conflicts_with = "of_user")]
    vhost: Option<String>,
    /// Limits of this user
    #[arg(long, value_name = "USER")]
    of_user: Option<String>,
}

#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("owner").args(["vhost", "of_user"]).required(true))]
pub(crate) struct Named {
    #[command(flatten)]
    admin: AdminTarget,
    /// Limit of this virtual host
    #[arg(long)]
    vhost: Option<String>,
    /// Limit of this user
    #[arg(long, value_name = "USER")]
    of_user: Option<String>,
    /// Name of the limit: max-connections; of virtual hosts also max-queues, of users also max-channels
    #[arg(value_name = "LIMIT")]
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    named: Named,
    /// The most that is allowed
    value: u32,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Clear {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    deletion: Deletion,
}

const COLUMNS: [Column; 4] =
    [text("kind", "/kind"), text("of", "/of"), text("limit", "/limit"), number("value", "/value")];

impl Limit {
    pub(crate) fn run(self) -> ExitCode {
        target::end(match self {
            Self::List(list) => list.print(),
            Self::Set(set) => set.carry_out(),
            Self::Clear(clear) => clear.carry_out(),
        })
    }
}

/// The kinds of owners: the member that names one, and the path of its limits.
const KINDS: [(&str, &str); 2] = [("vhost", "/api/vhost-limits"), ("user", "/api/user-limits")];

impl List {
    fn print(&self) -> Result<ExitCode, Fault> {
        let mut limits = Vec::new();
        let [vhosts, users] = KINDS;
        match (&self.owner.vhost, &self.owner.of_user) {
            (Some(vhost), _) => limits.extend(limits_of(&self.admin, vhosts, Some(vhost))?),
            (None, Some(user)) => limits.extend(limits_of(&self.admin, users, Some(user))?),
            (None, None) => {
                limits.extend(limits_of(&self.admin, vhosts, None)?);
                limits.extend(limits_of(&self.admin, users, None)?);
            }
        }
        listing::print_list(&COLUMNS, &limits, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A row for each limit that is set.
fn limits_of(
    admin: &AdminTarget,
    (kind, path): (&str, &str),
    owner: Option<&str>,
) -> Result<Vec<Value>, Fault> {
    let mut rows = Vec::new();
    for of in admin.list(&within(path, owner))? {
        let limits = of.get("value").and_then(Value::as_object);
        rows.extend(limits.into_iter().flatten().map(|(limit, value)| {
            json!({ "kind": kind, "of": of.get(kind), "limit": limit, "value": value })
        }));
    }
    Ok(rows)
}

impl Named {
    /// The kind of owner, its limits' path, and its name.
    fn owner(&self) -> ((&'static str, &'static str), &str) {
        let [vhosts, users] = KINDS;
        match (&self.vhost, &self.of_user) {
            (Some(vhost), _) => (vhosts, vhost),
            (None, user) => (users, user.as_deref().unwrap_or_default()),
        }
    }

    fn subject(&self) -> Subject {
        let ((kind, path), owner) = self.owner();
        Subject {
            kind: if kind == "vhost" { "vhost limit" } else { "user limit" },
            name: format!("{} of {owner}", self.name),
            vhost: None,
            path: format!("{path}/{}/{}", segment(owner), segment(&self.name)),
            list: "forebay limit list",
        }
    }
}

impl Set {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let Self { named, value } = self;
        let subject = named.subject();
        named.admin.put(&subject.path, &json!({ "value": value }))?;
        subject.answer(&format!("{value} at most"), true).print(&named.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Clear {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let Named { admin, name, output, .. } = &self.named;
        let (kind, owner) = self.named.owner();
        let subject = self.named.subject();
        // The listener has no path for one limit, and lifts one that is not set.
        let is_set = limits_of(admin, kind, Some(owner))?
            .iter()
            .any(|limit| limit.get("limit").and_then(Value::as_str) == Some(name));
        let answer = subject.end(&self.deletion, is_set, "lifted", || {
            self.deletion.ask("there will be no limit", "limit", name)?;
            Ok(admin.request("DELETE", &subject.path, &[]).map(drop)?)
        });
        answer?.print(output)?;
        Ok(ExitCode::SUCCESS)
    }
}
