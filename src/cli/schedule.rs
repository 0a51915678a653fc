//! `forebay schedule`: messages that the broker publishes again and again.

use super::admin::{AdminTarget, segment, within};
use super::confirmation::Deletion;
use super::duration::short;
use super::listing::{self, Column, date, date_text, json as json_column, number, text};
use super::message_flags::MessageFlags;
use super::message_json;
use super::output::Output;
use super::subject::Subject;
use super::target::{self, Answer, FAILED, Fault};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use forebay_client::Properties;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const EXAMPLES: &str = "Examples:
  forebay schedule set nightly '0 2 * * *' --time-zone Europe/Berlin --queue reports 'all shops'
  forebay schedule list
  forebay schedule run nightly
  forebay schedule pause nightly";

/// List, set, run and delete recurring schedules; asks the admin listener
///
/// When a schedule is due the broker publishes its message. A cron expression in a time zone says when.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Schedule {
    /// List schedules, with when each is due next and what became of its last message
    #[command(after_help = "Example:\n  forebay schedule list --vhost shop --output csv")]
    List(List),
    /// Show one schedule
    #[command(after_help = "Example:\n  forebay schedule show nightly --json")]
    Show(Named),
    /// Set a schedule, in place of one of the same name
    #[command(after_help = "Examples:\n  \
        forebay schedule set nightly '0 2 * * *' --time-zone Europe/Berlin --queue reports 'all shops'\n  \
        forebay schedule set prices '*/15 8-18 * * MON-FRI' --exchange jobs --routing-key prices --header shop=7\n  \
        forebay schedule set month-end '0 6 L * *' --queue bills --file bill.json --catch-up all")]
    Set(Box<Set>),
    /// Publish the message of a schedule now, beside its due times
    #[command(after_help = "Example:\n  forebay schedule run nightly")]
    Run(Named),
    /// Let a schedule stand still
    #[command(after_help = "Example:\n  forebay schedule pause nightly --vhost shop")]
    Pause(Named),
    /// Let a schedule that stood still go on from now
    #[command(after_help = "Example:\n  forebay schedule resume nightly")]
    Resume(Named),
    /// Delete a schedule; asks first in a terminal
    #[command(after_help = "Example:\n  forebay schedule delete nightly --yes")]
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
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    admin: AdminTarget,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the schedule
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
#[command(
    override_usage = "forebay schedule set [OPTIONS] <--queue QUEUE|--exchange EXCHANGE> <NAME> <CRON> [BODY]"
)]
pub(crate) struct Set {
    #[command(flatten)]
    named: Named,
    /// When: minute, hour, day of month, month, day of week; with seconds in front when there are six; or @hourly,
    /// @daily, @weekly, @monthly, @yearly
    cron: String,
    /// By the clocks of this time zone, as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// Publish to this queue
    #[arg(long, short, conflicts_with_all = ["routing_key", "exchange"], required_unless_present = "exchange")]
    queue: Option<String>,
    /// Publish to this exchange
    #[arg(long, short)]
    exchange: Option<String>,
    /// With this routing key
    #[arg(long, short = 'k')]
    routing_key: Option<String>,
    /// What to make good of due times that passed while the broker was down
    #[arg(long, value_enum, default_value_t = CatchUp::Last)]
    catch_up: CatchUp,
    /// It stands still until it is resumed; without this flag one that is there stays as it is
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    properties: MessageFlags,
    /// The whole file as the body
    #[arg(long, short, conflicts_with = "body")]
    file: Option<PathBuf>,
    /// The body; empty without one
    body: Option<String>,
}

/// What to make good of due times that were missed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CatchUp {
    /// No due time that is more than a minute ago
    None,
    /// The latest one
    Last,
    /// Each, the latest 100 of them
    All,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    deletion: Deletion,
}

const COLUMNS: [Column; 19] = [
    text("vhost", "/vhost"),
    text("name", "/name"),
    text("cron", "/cron"),
    text("time_zone", "/time_zone"),
    text("exchange", "/exchange").detail(),
    text("routing_key", "/routing_key").detail(),
    text("payload", "/payload").detail(),
    text("payload_encoding", "/payload_encoding").detail(),
    json_column("properties", "/properties").detail(),
    text("catch_up", "/catch_up").detail(),
    text("state", "/state"),
    text("problem", "/problem").detail(),
    date("next_due_at_ms", "/next_due_at"),
    date("last_due_at_ms", "/last_due_at").detail(),
    date("last_fired_at_ms", "/last_fired_at"),
    text("last_result", "/last_result"),
    number("fired", "/fired"),
    number("missed", "/missed"),
    number("failed", "/failed"),
];

impl Schedule {
    pub(crate) fn run(self) -> ExitCode {
        target::end(match self {
            Self::List(list) => list.print(),
            Self::Show(named) => named.print(),
            Self::Set(set) => set.carry_out(),
            Self::Run(named) => named.run(),
            Self::Pause(named) => named.act("pause", "paused"),
            Self::Resume(named) => named.act("resume", "resumed"),
            Self::Delete(delete) => delete.carry_out(),
        })
    }
}

impl List {
    fn print(&self) -> Result<ExitCode, Fault> {
        let path = within("/api/schedules", self.vhost.as_deref());
        listing::print_list(&COLUMNS, &self.admin.list(&path)?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Named {
    fn subject(&self) -> Subject {
        let path = format!("/api/schedules/{}/{}", segment(&self.vhost), segment(&self.name));
        let (name, vhost) = (self.name.clone(), Some(self.vhost.clone()));
        Subject { kind: "schedule", name, vhost, path, list: "forebay schedule list" }
    }

    fn print(&self) -> Result<ExitCode, Fault> {
        listing::print_object(&COLUMNS, &self.subject().get(&self.admin)?, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }

    /// A message that reaches no queue is a failure, as for `publish`.
    fn run(&self) -> Result<ExitCode, Fault> {
        let subject = self.subject();
        let path = format!("{}/run", subject.path);
        let answer = self.admin.request("POST", &path, &[])?;
        let answer: Value =
            serde_json::from_slice(&answer).map_err(|_| self.admin.nonsense(&path))?;
        let queues = answer.get("queues").and_then(Value::as_u64).unwrap_or(0);
        let result = answer.get("result").and_then(Value::as_str).unwrap_or_default();
        let text = match queues {
            0 => format!("{subject}: its message reached no queue ({result})"),
            1 => format!("{subject}: published to 1 queue"),
            queues => format!("{subject}: published to {queues} queues"),
        };
        Answer { text, json: answer }.print(&self.output)?;
        Ok(if queues > 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn act(&self, action: &str, done: &str) -> Result<ExitCode, Fault> {
        let subject = self.subject();
        self.admin.request("POST", &format!("{}/{action}", subject.path), &[])?;
        subject.answer(done, true).print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let Named { admin, output, .. } = &self.named;
        let subject = self.named.subject();
        admin.put(&subject.path, &self.object()?)?;
        let set = subject.get(admin)?;
        let next = set.get("next_due_at").and_then(Value::as_u64);
        let next = next.map_or_else(|| "it is paused".to_owned(), next_text);
        let Answer { text, json } = subject.answer("set", true);
        Answer { text: format!("{text}; {next}"), json }.print(output)?;
        Ok(ExitCode::SUCCESS)
    }

    fn object(&self) -> Result<Value, Fault> {
        let body = match (&self.file, &self.body) {
            (Some(path), _) => {
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?
            }
            (None, body) => body.clone().unwrap_or_default().into_bytes(),
        };
        let (payload, encoding) = match String::from_utf8(body) {
            Ok(text) => (text, "string"),
            Err(error) => (STANDARD.encode(error.as_bytes()), "base64"),
        };
        let mut properties = self.properties.over(Properties::default());
        let headers = properties.headers.take().unwrap_or_default();
        let mut properties = message_json::of_properties(properties, &headers);
        properties.retain(|_, value| !value.is_null());
        let catch_up = self.catch_up.to_possible_value();
        let mut object = json!({
            "cron": self.cron,
            "time_zone": self.time_zone,
            "exchange": self.exchange.as_deref().unwrap_or_default(),
            "routing_key": self.queue.as_ref().or(self.routing_key.as_ref()),
            "catch_up": catch_up.as_ref().map(|value| value.get_name()),
            "properties": properties,
            "payload": payload,
            "payload_encoding": encoding,
        });
        if let Value::Object(object) = &mut object {
            object.extend(self.paused.then(|| ("paused".to_owned(), json!(true))));
        }
        Ok(object)
    }
}

impl Delete {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let Named { admin, output, .. } = &self.named;
        let loss = "its message will not be published any more";
        self.named.subject().delete(admin, &self.deletion, loss)?.print(output)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// When it is due, and how long that is from now.
fn next_text(due: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wait = Duration::from_millis(due).saturating_sub(now);
    format!("due next {} (in {})", date_text(due), short(wait))
}
