//! `forebay delayed`: messages that wait for a time of their own.

use super::admin::{AdminTarget, segment};
use super::confirmation;
use super::duration::short;
use super::output::Output;
use super::printable::{json_line, printable};
use super::target::{self, Answer};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const EXAMPLES: &str = "Examples:
  forebay delayed list mails
  forebay delayed now mails after-1764518400000-7
  forebay delayed cancel mails at-1764518400000-9
  forebay delayed cancel mails --all";

/// Messages that one request shows.
const PAGE_MESSAGES_MAX: u64 = 1_000;

/// List, cancel or deliver now the messages of a queue that wait until they are due
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Delayed {
    /// Show the messages that are due next, in that order
    #[command(after_help = "Example:\n  forebay delayed list mails --count 20 --json")]
    List(List),
    /// Drop a message before it is due, or all of them
    #[command(after_help = "Examples:\n  forebay delayed cancel mails after-1764518400000-7\n  \
         forebay delayed cancel mails --all --yes")]
    Cancel(End),
    /// Deliver a message now, or all of them
    #[command(after_help = "Examples:\n  forebay delayed now mails after-1764518400000-7\n  \
         forebay delayed now mails --all")]
    Now(End),
}

/// A queue, and the broker that has it.
#[derive(Clone, Debug, Args)]
struct Queue {
    #[command(flatten)]
    target: AdminTarget,
    /// Virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the queue
    queue: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    queue: Queue,
    /// Messages at most
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Bytes of each body at most
    #[arg(long, default_value_t = 60)]
    truncate: u32,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct End {
    #[command(flatten)]
    queue: Queue,
    /// The message, as `delayed list` shows it
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// All that wait now
    #[arg(long)]
    all: bool,
    /// Don't ask before all are dropped
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

impl Delayed {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self {
            Self::List(list) => list.run(),
            Self::Cancel(end) => end.cancel(),
            Self::Now(end) => end.deliver(),
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

impl Queue {
    fn path(&self) -> String {
        format!("/api/queues/{}/{}", segment(&self.vhost), segment(&self.queue))
    }

    fn ask(&self, method: &str, path: &str) -> Result<Value, Box<dyn Error>> {
        let answer = self.target.request(method, path, &[])?;
        serde_json::from_slice(&answer).map_err(|_| self.target.nonsense(path).into())
    }
}

impl List {
    fn run(self) -> Result<(), Box<dyn Error>> {
        let (mut left, mut after) = (self.count, String::new());
        let mut has_any = false;
        while left > 0 {
            let (path, truncate) = (self.queue.path(), self.truncate);
            let count = left.min(PAGE_MESSAGES_MAX);
            let path = format!("{path}/delayed?count={count}&truncate={truncate}{after}");
            let page = self.queue.ask("GET", &path)?;
            let messages = page.get("messages").and_then(Value::as_array);
            for message in messages.into_iter().flatten() {
                left = left.saturating_sub(1);
                has_any = true;
                let line = if self.json { json_line(message) } else { printable(&line(message)) };
                println!("{line}");
            }
            match page.get("next").and_then(Value::as_str) {
                Some(next) => after = format!("&after={}", segment(next)),
                None => break,
            }
        }
        if !has_any && !self.json {
            println!("no message of {} is delayed", printable(&self.queue.queue));
        }
        Ok(())
    }
}

impl End {
    fn cancel(self) -> Result<(), Box<dyn Error>> {
        if self.all && !self.yes {
            let queue = self.queue.ask("GET", &self.queue.path())?;
            let delayed = queue.get("messages_delayed").and_then(Value::as_u64).unwrap_or(0);
            // They have no other copy: a script says that it means it.
            if !confirmation::can_ask() {
                return Err(
                    "standard input is no terminal, so no question can be asked; no message was \
                            dropped; --yes drops the messages without a question"
                        .into(),
                );
            }
            let name = &self.queue.queue;
            let loss = format!("{delayed} delayed messages of {name} will be dropped");
            if !confirmation::confirmed(&loss, "queue", name)? {
                return Err("no message was dropped".into());
            }
        }
        let path = match &self.id {
            Some(id) => format!("{}/delayed/{}", self.queue.path(), segment(id)),
            None => format!("{}/delayed", self.queue.path()),
        };
        self.tell(self.queue.ask("DELETE", &path)?, "cancelled")
    }

    fn deliver(self) -> Result<(), Box<dyn Error>> {
        let path = match &self.id {
            Some(id) => format!("{}/delayed/{}/now", self.queue.path(), segment(id)),
            None => format!("{}/delayed/now", self.queue.path()),
        };
        self.tell(self.queue.ask("POST", &path)?, "delivered")
    }

    fn tell(&self, answer: Value, counted: &str) -> Result<(), Box<dyn Error>> {
        let messages = answer.get(counted).and_then(Value::as_u64).unwrap_or(0);
        let noun = if messages == 1 { "message" } else { "messages" };
        let text = format!("{}: {counted} {messages} {noun}", self.queue.queue);
        Ok(Answer { text, json: answer }.print(&self.output)?)
    }
}

/// The message, when it is due, and what it says.
fn line(message: &Value) -> String {
    let text = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default();
    let due = message.get("due_at").and_then(Value::as_u64).unwrap_or(0);
    let bytes = message.get("payload_bytes").and_then(Value::as_u64).unwrap_or(0);
    format!("{}  {}  {bytes} bytes: {}", text("id"), due_text(due, now()), text("payload"))
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A date in UTC, and how long that is from now.
fn due_text(due: u64, now: u64) -> String {
    let date = UNIX_EPOCH.checked_add(Duration::from_millis(due));
    let date = date.map(|date| humantime::format_rfc3339_millis(date).to_string());
    let wait = Duration::from_millis(due.saturating_sub(now));
    format!("due {} (in {})", date.unwrap_or_default(), short(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_due_time_is_a_date_and_a_wait() {
        let text = due_text(1_764_518_400_250, 1_764_518_339_000);
        assert_eq!(text, "due 2025-11-30T16:00:00.250Z (in 1m 1s)");
        assert!(due_text(253_402_300_799_999, 0).starts_with("due 9999-12-31T23:59:59.999Z"));
    }
}
