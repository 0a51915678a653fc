//! `forebay dlq`: what died and why, and the way back.

mod list;
mod peek;
mod purge;
mod redrive;

use super::admin::{AdminTarget, segment};
use super::target;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::error::Error;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay dlq list
  forebay dlq peek orders.dlq --count 3
  forebay dlq redrive orders.dlq --dry-run
  forebay dlq redrive orders.dlq --reason delivery_limit --rate 50
  forebay dlq purge orders.dlq";

/// Look at dead letters, send them back to where they died, or drop them
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Dlq {
    /// Show the dead-letter queues: how many messages, since when, from where and why
    #[command(after_help = "Example:\n  forebay dlq list --json")]
    List(list::List),
    /// Show messages without consuming them
    #[command(after_help = "Example:\n  forebay dlq peek orders.dlq --reason delivery_limit")]
    Peek(peek::Peek),
    /// Send messages back to the queues that they died in; may be stopped at any time and run again
    #[command(
        after_help = "Example:\n  forebay dlq redrive orders.dlq --reason delivery_limit --rate 50"
    )]
    Redrive(redrive::Redrive),
    /// Drop all messages of a queue that are ready
    #[command(after_help = "Example:\n  forebay dlq purge orders.dlq")]
    Purge(purge::Purge),
}

/// Which queue.
#[derive(Clone, Debug, Args)]
struct Named {
    #[command(flatten)]
    target: AdminTarget,
    /// Virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the queue
    queue: String,
}

/// Which of its messages.
#[derive(Clone, Debug, Args)]
struct Filter {
    /// Only those that died in this queue
    #[arg(long, value_name = "QUEUE")]
    from: Option<String>,
    /// Only those that died of this
    #[arg(long, value_parser = ["rejected", "expired", "maxlen", "delivery_limit"])]
    reason: Option<String>,
    /// Only those that had this routing key when they died
    #[arg(long, short = 'k', value_name = "KEY")]
    routing_key: Option<String>,
    /// Only those with this header
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Option<(String, String)>,
    /// Only the messages at these positions, as `peek` shows them; may be repeated
    #[arg(long, value_name = "PRIORITY:OFFSET", value_parser = position)]
    position: Vec<(u8, u64)>,
}

impl Dlq {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self {
            Self::List(list) => list.run(),
            Self::Peek(peek) => peek.run(),
            Self::Redrive(redrive) => redrive.run(),
            Self::Purge(purge) => purge.run(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                target::tell(&error);
                ExitCode::FAILURE
            }
        }
    }
}

impl Named {
    /// Asks for one step of a walk over the queue.
    fn step(&self, action: &str, body: &Map<String, Value>) -> Result<Value, Box<dyn Error>> {
        let (vhost, queue) = (segment(&self.vhost), segment(&self.queue));
        let path = format!("/api/forebay/dead-letters/{vhost}/{queue}/{action}");
        let body = Value::Object(body.clone()).to_string();
        let answer = self.target.request("POST", &path, body.as_bytes())?;
        serde_json::from_slice(&answer).map_err(|_| self.target.nonsense(&path).into())
    }
}

impl Filter {
    /// What was asked for, for a message that says that it is not there; `None` when all are.
    fn text(&self) -> Option<String> {
        let option = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("--{name} {value}"))
        };
        let header = self.header.as_ref().map(|(name, value)| format!("--header {name}={value}"));
        let options = [
            option("from", &self.from),
            option("reason", &self.reason),
            option("routing-key", &self.routing_key),
            header,
        ];
        let positions =
            self.position.iter().map(|(priority, at)| format!("--position {priority}:{at}"));
        let all: Vec<_> = options.into_iter().flatten().chain(positions).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    /// The body of a first step.
    fn body(&self) -> Map<String, Value> {
        let header = self.header.as_ref().map(|(name, value)| json!({ (name): value }));
        let mut body = Map::new();
        for (key, value) in [
            ("queue", self.from.as_ref().map(|queue| json!(queue))),
            ("reason", self.reason.as_ref().map(|reason| json!(reason))),
            ("routing_key", self.routing_key.as_ref().map(|key| json!(key))),
            ("header", header),
        ] {
            body.extend(value.map(|value| (key.to_owned(), value)));
        }
        if !self.position.is_empty() {
            let runs = self.position.iter().map(|(level, offset)| json!([level, offset, offset]));
            body.insert("runs".to_owned(), runs.collect());
        }
        body
    }
}

/// What a step left over; `None` when the walk is over.
fn rest(step: &Value) -> Option<Value> {
    let rest = step.get("rest")?;
    rest.as_array().filter(|runs| !runs.is_empty()).map(|_| rest.clone())
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn position(text: &str) -> Result<(u8, u64), String> {
    let parse = |(level, offset): (&str, &str)| Some((level.parse().ok()?, offset.parse().ok()?));
    let position = text.split_once(':').and_then(parse);
    position.ok_or_else(|| "expected PRIORITY:OFFSET, as 0:17".to_owned())
}
