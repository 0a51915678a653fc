//! `forebay parameter`: what a broker keeps for its plugins and for itself.

use super::admin::{AdminTarget, segment, within};
use super::confirmation::Deletion;
use super::listing::{self, Column, json as json_column, text};
use super::output::Output;
use super::subject::Subject;
use super::target::{self, Fault};
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay parameter list
  forebay parameter set limits '{\"max-queues\": 100}' --component vhost-limits --vhost shop
  forebay parameter set cluster_tags '{\"region\": \"eu\"}' --global";

/// List, set and delete runtime parameters
///
/// Those of components are in virtual hosts, the others are global. Asks the admin listener.
/// RabbitMQ keeps the settings of its plugins here. Forebay has the components `operator_policy` and `vhost-limits`, and no
/// global parameters.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Parameter {
    /// List the parameters of components, or the global ones
    #[command(
        after_help = "Examples:\n  forebay parameter list --component shovel --vhost shop\n  \
        forebay parameter list --global"
    )]
    List(List),
    /// Show one parameter
    #[command(
        after_help = "Example:\n  forebay parameter show limits --component vhost-limits --vhost shop"
    )]
    Show(Named),
    /// Set a parameter, in place of its old value
    #[command(after_help = "Examples:\n  \
        forebay parameter set up '{\"uri\": \"amqp://other\"}' --component federation-upstream\n  \
        forebay parameter set cluster_tags '{\"region\": \"eu\"}' --global")]
    Set(Set),
    /// Delete a parameter; asks first in a terminal
    #[command(
        after_help = "Example:\n  forebay parameter delete up --component federation-upstream --yes"
    )]
    Delete(Delete),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    /// Only those of this component
    #[arg(long)]
    component: Option<String>,
    /// Only those in this virtual host
    #[arg(long)]
    vhost: Option<String>,
    /// The global ones
    #[arg(long, conflicts_with_all = ["component", "vhost"])]
    global: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("place").args(["component", "global"]).required(true))]
pub(crate) struct Named {
    #[command(flatten)]
    admin: AdminTarget,
    /// Of this component
    #[arg(long)]
    component: Option<String>,
    /// A global one
    #[arg(long, conflicts_with = "vhost")]
    global: bool,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the parameter
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    named: Named,
    /// The value as JSON
    #[arg(value_name = "JSON", value_parser = json_value)]
    value: Value,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    deletion: Deletion,
}

const COLUMNS: [Column; 4] = [
    text("component", "/component"),
    text("vhost", "/vhost"),
    text("name", "/name"),
    json_column("value", "/value"),
];

const GLOBAL_COLUMNS: [Column; 2] = [text("name", "/name"), json_column("value", "/value")];

fn json_value(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{error}; expected JSON, a text in quotes"))
}

impl Parameter {
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
        if self.global {
            let parameters = self.admin.list("/api/global-parameters")?;
            listing::print_list(&GLOBAL_COLUMNS, &parameters, &self.output)?;
            return Ok(ExitCode::SUCCESS);
        }
        let path = within("/api/parameters", self.component.as_deref());
        let mut parameters = self.admin.list(&path)?;
        if let Some(vhost) = &self.vhost {
            parameters
                .retain(|parameter| parameter.get("vhost").and_then(Value::as_str) == Some(vhost));
        }
        listing::print_list(&COLUMNS, &parameters, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Named {
    fn subject(&self) -> Subject {
        let name = segment(&self.name);
        match &self.component {
            Some(component) => Subject {
                kind: "parameter",
                name: self.name.clone(),
                vhost: Some(self.vhost.clone()),
                path: format!(
                    "/api/parameters/{}/{}/{name}",
                    segment(component),
                    segment(&self.vhost)
                ),
                list: "forebay parameter list",
            },
            None => Subject {
                kind: "global parameter",
                name: self.name.clone(),
                vhost: None,
                path: format!("/api/global-parameters/{name}"),
                list: "forebay parameter list --global",
            },
        }
    }

    fn print(&self) -> Result<ExitCode, Fault> {
        let columns: &[Column] = if self.global { &GLOBAL_COLUMNS } else { &COLUMNS };
        listing::print_object(columns, &self.subject().get(&self.admin)?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let Self { named, value } = self;
        let subject = named.subject();
        let body = json!({
            "component": named.component,
            "vhost": named.component.as_ref().map(|_| &named.vhost),
            "name": named.name,
            "value": value,
        });
        named.admin.put(&subject.path, &body)?;
        subject.answer("set", true).print(&named.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Delete {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let Named { admin, output, .. } = &self.named;
        let loss = "its value will be gone";
        self.named.subject().delete(admin, &self.deletion, loss)?.print(output)?;
        Ok(ExitCode::SUCCESS)
    }
}
