//! `forebay policy`: settings for all queues and exchanges whose names match a pattern.

use super::admin::{AdminTarget, segment, within};
use super::argument::{self, Argument};
use super::confirmation::Deletion;
use super::field_json;
use super::listing::{self, Column, json as json_column, number, text};
use super::output::Output;
use super::subject::Subject;
use super::target::{self, Fault};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay policy list
  forebay policy set bounded max-length=100000 overflow=reject-publish --pattern '^orders\\.' --apply-to queues
  forebay policy delete bounded";

/// List, set and delete policies; asks the admin listener
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Policy {
    /// List policies
    #[command(after_help = "Example:\n  forebay policy list --vhost shop --operator")]
    List(List),
    /// Show one policy
    #[command(after_help = "Example:\n  forebay policy show bounded --json")]
    Show(Named),
    /// Set a policy, in place of one of the same name
    #[command(after_help = "Examples:\n  \
        forebay policy set bounded max-length=100000 --pattern '^orders\\.' --apply-to queues --priority 5\n  \
        forebay policy set shovelled --pattern '^in\\.' --definition '{\"federation-upstream-set\": \"all\"}'\n  \
        forebay policy set ceiling max-length=1000000 --pattern '.*' --operator")]
    Set(Set),
    /// Delete a policy; asks first in a terminal
    #[command(after_help = "Example:\n  forebay policy delete bounded --yes")]
    Delete(Delete),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    /// Only those of this virtual host
    #[arg(long)]
    vhost: Option<String>,
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    output: Output,
}

/// Whose policies.
#[derive(Clone, Debug, Args)]
pub(crate) struct Owner {
    /// Operators' policies: limits that other policies and queues' own arguments can't exceed
    #[arg(long)]
    operator: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    admin: AdminTarget,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the policy
    name: String,
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    named: Named,
    /// Settings, NAME=VALUE, as in max-length=1000
    #[arg(value_name = "SETTING", required_unless_present = "definition")]
    settings: Vec<Argument>,
    /// A regular expression over the names that it is for
    #[arg(long)]
    pattern: String,
    /// What it is for: queues, exchanges, all, or another that the broker knows [default: all, for --operator queues]
    #[arg(long, value_name = "KIND")]
    apply_to: Option<String>,
    /// Of several policies that match, the one with the highest priority counts
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i64,
    /// The settings as a JSON object
    #[arg(long, value_name = "JSON", value_parser = object, conflicts_with = "settings")]
    definition: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    deletion: Deletion,
}

const COLUMNS: [Column; 6] = [
    text("vhost", "/vhost"),
    text("name", "/name"),
    text("pattern", "/pattern"),
    text("apply_to", "/apply-to"),
    number("priority", "/priority"),
    json_column("definition", "/definition"),
];

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("{error}; expected a JSON object"))
}

impl Owner {
    fn segment(&self) -> &'static str {
        if self.operator { "operator-policies" } else { "policies" }
    }
}

impl Policy {
    pub(crate) fn run(self) -> ExitCode {
        target::end(match self {
            Self::List(list) => list.print(),
            Self::Show(named) => named.print(),
            Self::Set(set) => set.carry_out(),
            Self::Delete(delete) => delete.carry_out(),
        })
    }
}

impl List {
    fn print(&self) -> Result<ExitCode, Fault> {
        let path = within(&format!("/api/{}", self.owner.segment()), self.vhost.as_deref());
        listing::print_list(&COLUMNS, &self.admin.list(&path)?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Named {
    fn subject(&self) -> Subject {
        let (kind, list) = match self.owner.operator {
            true => ("operator policy", "forebay policy list --operator"),
            false => ("policy", "forebay policy list"),
        };
        let what = self.owner.segment();
        let path = format!("/api/{what}/{}/{}", segment(&self.vhost), segment(&self.name));
        Subject { kind, name: self.name.clone(), vhost: Some(self.vhost.clone()), path, list }
    }

    fn print(&self) -> Result<ExitCode, Fault> {
        listing::print_object(&COLUMNS, &self.subject().get(&self.admin)?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let definition = match &self.definition {
            Some(definition) => definition.clone(),
            None => field_json::object(&argument::table(&self.settings)),
        };
        let default = if self.named.owner.operator { "queues" } else { "all" };
        let subject = self.named.subject();
        let body = json!({
            "pattern": self.pattern,
            "apply-to": self.apply_to.as_deref().unwrap_or(default),
            "priority": self.priority,
            "definition": definition,
        });
        self.named.admin.put(&subject.path, &body)?;
        subject.answer("set", true).print(&self.named.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Delete {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let Named { admin, output, .. } = &self.named;
        let loss = "its settings will not count any more";
        self.named.subject().delete(admin, &self.deletion, loss)?.print(output)?;
        Ok(ExitCode::SUCCESS)
    }
}
