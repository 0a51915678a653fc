//! `forebay dlq peek`.

use super::super::printable::{json_line, printable_lines};
use super::answer::{rest, text};
use super::dead_letter_queue::DeadLetterQueue;
use super::filter::Filter;
use clap::Args;
use serde_json::{Map, Value};
use std::error::Error;

/// Messages that one step may hand out.
const STEP_MESSAGES_MAX: u64 = 1_000;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Peek {
    #[command(flatten)]
    queue: DeadLetterQueue,
    #[command(flatten)]
    filter: Filter,
    /// Messages at most
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Bytes of each body at most
    #[arg(long, default_value_t = 1_000)]
    truncate: u32,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Peek {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let mut body = self.filter.body();
        body.insert("truncate".to_owned(), self.truncate.into());
        let mut left = self.count;
        while left > 0 {
            body.insert("count".to_owned(), left.min(STEP_MESSAGES_MAX).into());
            let step = self.queue.step("peek", &body)?;
            let messages = step.get("messages").and_then(Value::as_array);
            for message in messages.into_iter().flatten() {
                left = left.saturating_sub(1);
                if self.json {
                    println!("{}", json_line(message));
                } else {
                    println!("{}", printable_lines(&shown(message)));
                }
            }
            match rest(&step) {
                Some(rest) => body.insert("runs".to_owned(), rest),
                None => break,
            };
        }
        Ok(())
    }
}

fn shown(message: &Value) -> String {
    let position = message.get("position").and_then(Value::as_array);
    let position: Vec<String> = position.into_iter().flatten().map(ToString::to_string).collect();
    let properties = message.get("properties").and_then(Value::as_object);
    let headers = properties.and_then(|properties| properties.get("headers")?.as_object());
    let claimed = last_death(headers);
    // The broker's own record goes before what the message says of itself.
    let said = match message.get("death").filter(|death| death.is_object()) {
        Some(death) if claimed.is_none() => Some(cause(death)),
        Some(_) => claimed,
        None => claimed.map(|claimed| format!("says itself: {claimed}")),
    };
    let said = said.unwrap_or_else(|| "tells of no death".to_owned());
    let mut lines = vec![format!("{}  {said}", position.join(":"))];
    for (name, value) in properties.into_iter().flatten().filter(|(name, _)| *name != "headers") {
        lines.push(format!("    {name}: {}", plain(value)));
    }
    let is_history =
        |name: &str| ["x-first-", "x-last-"].iter().any(|start| name.starts_with(start));
    for (name, value) in headers.into_iter().flatten().filter(|(name, _)| !is_history(name)) {
        if name != "x-death" {
            lines.push(format!("    {name}: {}", plain(value)));
        }
    }
    let encoding = match text(message, "payload_encoding") {
        Some("base64") => " (base64)",
        _ => "",
    };
    let bytes = message.get("payload_bytes").map(ToString::to_string).unwrap_or_default();
    let payload = text(message, "payload").unwrap_or_default();
    lines.push(format!("    {bytes} bytes{encoding}: {payload}"));
    lines.join("\n")
}

/// Where and why it died last.
fn last_death(headers: Option<&Map<String, Value>>) -> Option<String> {
    let death = headers?.get("x-death")?.as_array()?.first()?;
    let count = death.get("count").map(ToString::to_string).unwrap_or_default();
    let times = if count == "1" { String::new() } else { format!(", {count} times") };
    Some(format!("{}{times}", cause(death)))
}

fn cause(death: &Value) -> String {
    let of = |key: &str| text(death, key).unwrap_or_default();
    format!("{} in {}", of("reason"), of("queue"))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
