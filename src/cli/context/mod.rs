//! `forebay context`: several brokers by name.

pub(crate) mod choice;
pub(crate) mod context_file;

use super::confirmation::Deletion;
use super::http::Address;
use super::listing::{self, Column, text, truth};
use super::output::Output;
use super::password;
use super::table;
use super::target::{self, Answer, Fault};
use clap::{Args, Subcommand};
use context_file::{Context as Settings, ContextFile, SETTINGS, name};
use forebay_client::ConnectOptions;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay context save prod --url amqps://broker-1 --admin https://broker-1 --user app --password-file app.password
  forebay context save staging --url amqp://staging --admin staging --user app --ask-password
  forebay context select prod
  forebay queue list --context staging";

/// Keep the addresses of several brokers by name
///
/// With `--context NAME` or FOREBAY_CONTEXT, or when it is selected, a context says which broker a command talks to and
/// as whom. An address on the command line goes before it, and so does a variable such as AMQP_URL unless `--context` is
/// given; then nothing of the context counts, so that its password goes to no other address. Contexts are kept in
/// forebay/contexts.json in XDG_CONFIG_HOME (~/.config), for its owner's eyes only (mode 0600).
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Context {
    /// Make a context, or change what is given of one that exists
    ///
    /// A password that is typed in or piped (--ask-password) is kept in the file of contexts as it is; --password-file
    /// keeps the path only. A file that is named relative to this directory is kept with its whole path.
    #[command(
        after_help = "Examples:\n  forebay context save local --url amqp://127.0.0.1 --admin 127.0.0.1\n  \
        forebay context save prod --url amqps://broker-1 --admin https://broker-1 --user app --ask-password"
    )]
    Save(Box<Save>),
    /// List the contexts
    #[command(after_help = "Example:\n  forebay context list --output csv")]
    List(List),
    /// Show one context, or the one that counts without a flag; of passwords only where they are kept
    #[command(after_help = "Example:\n  forebay context show prod")]
    Show(Show),
    /// Use a context wherever no other address is named
    #[command(
        after_help = "Examples:\n  forebay context select prod\n  forebay context select --none"
    )]
    Select(Select),
    /// Forget a context; asks first in a terminal
    #[command(after_help = "Example:\n  forebay context remove staging --yes")]
    Remove(Remove),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Save {
    /// Name of the context
    #[arg(value_parser = name)]
    name: String,
    /// A text for people
    #[arg(long)]
    description: Option<String>,
    /// The broker as an AMQP URI; one without a user gets --user and its password
    #[arg(long, value_parser = amqp)]
    url: Option<String>,
    /// For amqps: authorities to trust (PEM)
    #[arg(long, value_name = "FILE")]
    cacertfile: Option<PathBuf>,
    /// For amqps: certificate (PEM) to show
    #[arg(long, value_name = "FILE")]
    certfile: Option<PathBuf>,
    /// For amqps: private key (PEM) of --certfile
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    /// Admin listener: HOST, HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "ADDR", value_parser = listener)]
    admin: Option<String>,
    /// Authorities of the admin listener's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    admin_cacertfile: Option<PathBuf>,
    /// Certificate (PEM) to show to the admin listener
    #[arg(long, value_name = "FILE")]
    admin_certfile: Option<PathBuf>,
    /// Private key (PEM) of --admin-certfile
    #[arg(long, value_name = "FILE")]
    admin_keyfile: Option<PathBuf>,
    /// Metrics listener, for `forebay health`: HOST, HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "ADDR", value_parser = listener)]
    metrics: Option<String>,
    /// Authorities of the metrics listener's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    metrics_cacertfile: Option<PathBuf>,
    /// Certificate (PEM) to show to the metrics listener
    #[arg(long, value_name = "FILE")]
    metrics_certfile: Option<PathBuf>,
    /// Private key (PEM) of --metrics-certfile
    #[arg(long, value_name = "FILE")]
    metrics_keyfile: Option<PathBuf>,
    /// User of the broker, for AMQP and for the admin listener
    #[arg(long)]
    user: Option<String>,
    /// A file whose first line is the user's password; its path is kept
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Ask for the user's password, or read it from standard input when that is no terminal; it is kept
    #[arg(long, conflicts_with = "password_file")]
    ask_password: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Show {
    /// Name of the context [default: FOREBAY_CONTEXT, or the one that is selected]
    name: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Select {
    /// Name of the context
    #[arg(required_unless_present = "none")]
    name: Option<String>,
    /// Select none: without an address commands talk to 127.0.0.1 again
    #[arg(long, conflicts_with = "name")]
    none: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Remove {
    /// Name of the context
    name: String,
    #[command(flatten)]
    deletion: Deletion,
    #[command(flatten)]
    output: Output,
}

const LIST: [Column; 6] = [
    text("name", "/name"),
    truth("selected", "/selected"),
    text("url", "/url"),
    text("admin", "/admin"),
    text("user", "/user"),
    text("description", "/description"),
];

fn amqp(text: &str) -> Result<String, String> {
    ConnectOptions::from_uri(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn listener(text: &str) -> Result<String, String> {
    // The port that is meant when none is named depends on the listener; here it is only whether it is an address.
    Address::parse(text, 1).map(|_| text.to_owned())
}

impl Context {
    pub(crate) fn run(self) -> ExitCode {
        target::end(match self {
            Self::Save(save) => save.carry_out(),
            Self::List(list) => list.print(),
            Self::Show(show) => show.print(),
            Self::Select(select) => select.carry_out(),
            Self::Remove(remove) => remove.carry_out(),
        })
    }
}

impl Save {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let mut file = ContextFile::load()?;
        let is_new = !file.contexts.contains_key(&self.name);
        let context = file.contexts.entry(self.name.clone()).or_default();
        self.put_texts(context);
        self.put_paths(context)?;
        if self.ask_password {
            let password = String::from_utf8(password::typed_or_piped()?);
            context.set("password", password.map_err(|_| "the password is no UTF-8")?);
            context.clear("password_file");
        }
        if context.get("url").or(context.get("admin")).or(context.get("metrics")).is_none() {
            return Err("a context needs an address: --url, --admin or --metrics".into());
        }
        if context.get("user").is_none() && context.password()?.is_some() {
            return Err("a password needs --user".into());
        }
        file.save()?;
        let done = if is_new { "made" } else { "changed" };
        let text = format!("{}: {done}", self.name);
        Answer { text, json: json!({ "name": self.name, "made": is_new }) }.print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }

    fn put_texts(&self, context: &mut Settings) {
        for (setting, value) in [
            ("description", &self.description),
            ("url", &self.url),
            ("admin", &self.admin),
            ("metrics", &self.metrics),
            ("user", &self.user),
        ] {
            if let Some(value) = value {
                context.set(setting, value.clone());
            }
        }
    }

    fn put_paths(&self, context: &mut Settings) -> Result<(), Fault> {
        for (setting, path) in [
            ("cacertfile", &self.cacertfile),
            ("certfile", &self.certfile),
            ("keyfile", &self.keyfile),
            ("admin_cacertfile", &self.admin_cacertfile),
            ("admin_certfile", &self.admin_certfile),
            ("admin_keyfile", &self.admin_keyfile),
            ("metrics_cacertfile", &self.metrics_cacertfile),
            ("metrics_certfile", &self.metrics_certfile),
            ("metrics_keyfile", &self.metrics_keyfile),
            ("password_file", &self.password_file),
        ] {
            let Some(path) = path else { continue };
            let whole = std::path::absolute(path)?;
            let Some(whole) = whole.to_str() else {
                return Err(format!("{}: a path that is kept is UTF-8", path.display()).into());
            };
            context.set(setting, whole.to_owned());
            if setting == "password_file" {
                context.clear("password");
            }
        }
        Ok(())
    }
}

impl List {
    fn print(&self) -> Result<ExitCode, Fault> {
        let file = ContextFile::load()?;
        let contexts: Vec<Value> =
            file.contexts.iter().map(|(name, context)| shown(&file, name, context)).collect();
        listing::print_list(&LIST, &contexts, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn print(&self) -> Result<ExitCode, Fault> {
        let file = ContextFile::load()?;
        let none = "no context is selected; `forebay context list` shows which there are";
        let name = self.name.clone().or_else(choice::named_by_environment);
        let name = name.or_else(|| file.selected.clone()).ok_or(none)?;
        let json = shown(&file, &name, file.get(&name)?);
        let rows = ["name", "selected"].into_iter().chain(SETTINGS);
        let rows =
            rows.filter_map(|setting| Some((setting.replace('_', " "), told(json.get(setting)?))));
        let text = table::fields(rows, table::terminal_width());
        Answer { text, json: json.clone() }.print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Select {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let mut file = ContextFile::load()?;
        if let Some(name) = &self.name {
            file.get(name)?;
        }
        file.selected = self.name.clone();
        file.save()?;
        let text = match &self.name {
            Some(name) => format!("{name}: selected"),
            None => "no context is selected".to_owned(),
        };
        Answer { text, json: json!({ "selected": self.name }) }.print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Remove {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let mut file = ContextFile::load()?;
        let Self { name, deletion, output } = self;
        if !file.contexts.contains_key(name) && deletion.if_exists {
            let text = format!("{name}: there was none");
            Answer { text, json: json!({ "name": name, "removed": false }) }.print(output)?;
            return Ok(ExitCode::SUCCESS);
        }
        file.get(name)?;
        deletion.ask("what is kept of this broker will be forgotten", "context", name)?;
        file.contexts.remove(name);
        if file.selected.as_ref() == Some(name) {
            file.selected = None;
        }
        file.save()?;
        let text = format!("{name}: removed");
        Answer { text, json: json!({ "name": name, "removed": true }) }.print(output)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A context without its secrets.
fn shown(file: &ContextFile, name: &str, context: &Settings) -> Value {
    let mut members = Map::new();
    members.insert("name".to_owned(), json!(name));
    members.insert("selected".to_owned(), json!(file.selected.as_deref() == Some(name)));
    for setting in SETTINGS {
        let Some(value) = context.get(setting) else { continue };
        let value = match setting {
            "password" => "kept in the file of contexts".to_owned(),
            "url" => without_password(value),
            _ => value.to_owned(),
        };
        members.insert(setting.to_owned(), value.into());
    }
    members.into()
}

fn told(value: &Value) -> String {
    match value {
        Value::Bool(truth) => if *truth { "yes" } else { "no" }.to_owned(),
        value => value.as_str().unwrap_or_default().to_owned(),
    }
}

/// The URI with `***` for its password.
fn without_password(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let Some((login, _)) = authority.rsplit_once('@') else { return uri.to_owned() };
    match login.split_once(':') {
        Some((user, _)) => {
            format!("{scheme}://{user}:***{}", rest.get(login.len()..).unwrap_or_default())
        }
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_uri_is_not_shown() {
        for (uri, shown) in [
            (
                "amqp://app:secret@broker:5672/v?heartbeat=5",
                "amqp://app:***@broker:5672/v?heartbeat=5",
            ),
            ("amqp://app@broker", "amqp://app@broker"),
            ("amqp://broker/a@b:c", "amqp://broker/a@b:c"),
        ] {
            assert_eq!(without_password(uri), shown);
        }
    }
}
