//! `forebay dlq list`.

use super::super::admin::{AdminTarget, within};
use super::super::duration::short;
use super::super::output::Output;
use super::super::printable::printable;
use super::super::target::Answer;
use super::answer::{number, text};
use clap::Args;
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    target: AdminTarget,
    /// Only this virtual host
    #[arg(long)]
    vhost: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl List {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let path = within("/api/forebay/dead-letters", self.vhost.as_deref());
        let queues: Value = serde_json::from_slice(&self.target.request("GET", &path, &[])?)?;
        let mut lines = Vec::new();
        for queue in queues.as_array().into_iter().flatten() {
            lines.push(printable(&line(queue)));
            let deaths = queue.get("deaths").and_then(Value::as_array);
            lines.extend(
                deaths
                    .into_iter()
                    .flatten()
                    .map(|death| format!("    {}", printable(&cause(death)))),
            );
            let (examined, messages) = (number(queue, "examined"), number(queue, "messages"));
            if examined < messages {
                lines.push(format!("    (of the first {examined})"));
            }
        }
        if lines.is_empty() {
            lines.push("no dead-letter queues".to_owned());
        }
        Answer { text: lines.join("\n"), json: queues }.print(&self.output)?;
        Ok(())
    }
}

fn line(queue: &Value) -> String {
    let name = text(queue, "name").unwrap_or_default();
    let vhost = match text(queue, "vhost") {
        Some("/") | None => String::new(),
        Some(vhost) => format!(" in {vhost}"),
    };
    let messages = number(queue, "messages");
    let oldest = queue.get("oldest_age_ms").and_then(Value::as_u64);
    let oldest =
        oldest.map(|age| format!(", the oldest {} ago", short(Duration::from_millis(age))));
    format!("{name}{vhost}: {messages} messages{}", oldest.unwrap_or_default())
}

/// Where messages come from, and what is in their way back.
pub(super) fn cause(death: &Value) -> String {
    let messages = number(death, "messages");
    let Some(queue) = text(death, "queue") else {
        return format!("{messages} that tell of no death");
    };
    let way_back = match text(death, "way_back") {
        Some("queue_gone") => ", which is gone",
        Some("queue_full") => ", which has no room",
        Some("unproven") => ", says an x-death that this broker did not write",
        _ => "",
    };
    let reason = text(death, "reason").unwrap_or_default();
    format!("{messages} {reason} in {queue}{way_back}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_says_since_when() {
        let queue =
            json!({ "name": "q.dlq", "vhost": "/", "messages": 2, "oldest_age_ms": 61_000 });
        assert_eq!(line(&queue), "q.dlq: 2 messages, the oldest 1m 1s ago");
        let queue = json!({ "name": "q.dlq", "vhost": "v", "messages": 0, "oldest_age_ms": null });
        assert_eq!(line(&queue), "q.dlq in v: 0 messages");
    }
}
