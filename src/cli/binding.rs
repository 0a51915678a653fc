//! `forebay binding`: what is bound to what.

use super::admin::{AdminTarget, within};
use super::listing::{self, Column, json, text};
use super::output::Output;
use super::target::{self, Fault};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay binding list --source events
  forebay binding list --destination orders --json";

/// List bindings; asks the admin listener
///
/// They are made and taken away with `forebay queue bind` and `unbind`, and between exchanges with `forebay exchange bind`
/// and `unbind`.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Binding {
    /// List bindings, without those that every queue has to the default exchange
    #[command(after_help = "Example:\n  forebay binding list --vhost shop --source events")]
    List(List),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    /// Only those in this virtual host
    #[arg(long)]
    vhost: Option<String>,
    /// Only those from this exchange
    #[arg(long)]
    source: Option<String>,
    /// Only those to queues and exchanges of this name
    #[arg(long)]
    destination: Option<String>,
    #[command(flatten)]
    output: Output,
}

const COLUMNS: [Column; 6] = [
    text("vhost", "/vhost"),
    text("source", "/source"),
    text("destination", "/destination"),
    text("type", "/destination_type"),
    text("routing_key", "/routing_key"),
    json("arguments", "/arguments"),
];

impl Binding {
    pub(crate) fn run(self) -> ExitCode {
        let Self::List(list) = self;
        target::end(list.print())
    }
}

impl List {
    fn print(&self) -> Result<ExitCode, Fault> {
        let mut bindings = self.admin.list(&within("/api/bindings", self.vhost.as_deref()))?;
        let has = |binding: &Value, end: &str, name: &Option<String>| {
            name.as_ref().is_none_or(|name| binding.get(end).and_then(Value::as_str) == Some(name))
        };
        let is_default =
            |binding: &Value| binding.get("source").and_then(Value::as_str) == Some("");
        bindings.retain(|binding| {
            !is_default(binding)
                && has(binding, "source", &self.source)
                && has(binding, "destination", &self.destination)
        });
        listing::print_list(&COLUMNS, &bindings, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}
