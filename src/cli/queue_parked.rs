//! `forebay queue parked`: what waits for a retry.

use super::admin::{AdminTarget, segment};
use super::printable::json_line;
use super::queue_report::age_text;
use super::table;
use super::target::{self, Fault};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Messages that one step may hand out.
const STEP_MESSAGES_MAX: u64 = 1_000;

/// Bytes of a body that are shown.
const SHOWN_BYTES: u64 = 60;

#[derive(Clone, Debug, Args)]
pub(crate) struct Parked {
    #[command(flatten)]
    admin: AdminTarget,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the queue
    queue: String,
    /// Messages at most
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Parked {
    pub(crate) fn print(&self) -> Result<ExitCode, Fault> {
        let messages = self.messages()?;
        if self.json {
            for message in &messages {
                target::print(json_line(message))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        target::print(self.summary()?)?;
        if messages.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let headings = ["POSITION", "ATTEMPTS", "LAST", "WAIT", "DUE IN", "BODY"];
        let rows = messages.iter().map(row);
        target::print(table::list(headings, rows, table::terminal_width()))?;
        Ok(ExitCode::SUCCESS)
    }

    /// How many wait, and until when.
    fn summary(&self) -> Result<String, Fault> {
        let path = format!("/api/queues/{}/{}", segment(&self.vhost), segment(&self.queue));
        let queue = self.admin.get(&path)?;
        let parked = queue.get("messages_parked").and_then(Value::as_u64).unwrap_or(0);
        let next = queue.get("next_retry_in_ms").and_then(Value::as_f64);
        let next = next.map(|ms| format!(", the next one in {}", age_text(Some(ms / 1_000.0))));
        Ok(format!("{}: {parked} waiting for a retry{}", self.queue, next.unwrap_or_default()))
    }

    fn messages(&self) -> Result<Vec<Value>, Fault> {
        let (vhost, queue) = (segment(&self.vhost), segment(&self.queue));
        let path = format!("/api/forebay/parked/{vhost}/{queue}/peek");
        let mut found = Vec::new();
        let mut runs = Value::Null;
        loop {
            let left = self.count - found.len() as u64;
            let mut body = json!({ "count": left.min(STEP_MESSAGES_MAX), "truncate": SHOWN_BYTES });
            if let (Value::Array(_), Some(body)) = (&runs, body.as_object_mut()) {
                body.insert("runs".to_owned(), runs);
            }
            let answer = self.admin.request("POST", &path, body.to_string().as_bytes())?;
            let step: Value =
                serde_json::from_slice(&answer).map_err(|_| self.admin.nonsense(&path))?;
            let messages = step.get("messages").and_then(Value::as_array);
            found.extend(messages.into_iter().flatten().cloned());
            runs = step.get("rest").cloned().unwrap_or_default();
            let is_over = runs.as_array().is_none_or(Vec::is_empty);
            if is_over || found.len() as u64 >= self.count {
                return Ok(found);
            }
        }
    }
}

fn row(message: &Value) -> [String; 6] {
    let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let seconds = |name: &str| {
        let ms = message.get(name).and_then(Value::as_f64);
        age_text(ms.map(|ms| ms / 1_000.0))
    };
    let position = message.get("position").and_then(Value::as_array);
    let position: Vec<String> = position.into_iter().flatten().map(ToString::to_string).collect();
    [
        position.join(":"),
        message.get("attempts").map(ToString::to_string).unwrap_or_default(),
        text("last_reason"),
        seconds("delay_ms"),
        seconds("due_in_ms"),
        text("payload").replace('\n', " "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_how_often_why_and_until_when() {
        let message = json!({
            "attempts": 2,
            "last_reason": "nacked",
            "delay_ms": 2_000,
            "due_in_ms": 1_500,
            "position": [3, 17],
            "payload": "one\ntwo",
        });
        assert_eq!(row(&message), ["3:17", "2", "nacked", "2.0s", "1.5s", "one two"]);
    }
}
