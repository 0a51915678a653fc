//! `forebay lag show`: what a broker says of a queue's lag.

use crate::cli::admin::{AdminTarget, segment};
use crate::cli::output::Output;
use crate::cli::queue_report::age_text;
use crate::cli::table;
use crate::cli::target::{self, Answer, Fault};
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;

/// Show what lag is normal for a queue, and what is wrong with it
///
/// Asks the admin listener.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  forebay lag show orders\n  forebay lag show orders --json | jq .lag.alert_line"
)]
pub(crate) struct Show {
    #[command(flatten)]
    admin: AdminTarget,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the queue
    queue: String,
    #[command(flatten)]
    output: Output,
}

impl Show {
    pub(crate) fn run(self) -> ExitCode {
        target::end(self.show())
    }

    fn show(&self) -> Result<ExitCode, Fault> {
        let path = format!("/api/queues/{}/{}", segment(&self.vhost), segment(&self.queue));
        let queue = self.admin.get(&path)?;
        let Some(lag) = queue.get("lag").filter(|lag| !lag.is_null()).cloned() else {
            return Err(format!(
                "{} says nothing of what lag is normal for '{}': it is no Forebay, or the queue was made some seconds ago",
                self.admin.address(), self.queue
            )
            .into());
        };
        let messages = queue.get("messages").and_then(Value::as_u64).unwrap_or(0);
        let text = text(&lag, messages);
        let json = serde_json::json!({ "vhost": self.vhost, "name": self.queue, "messages": messages, "lag": lag });
        Answer { text, json }.print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(lag: &Value, messages: u64) -> String {
    let number = |field: &str| lag.get(field).and_then(Value::as_f64);
    let word = |field: &str| lag.get(field).and_then(Value::as_str).unwrap_or("-").to_owned();
    let shown = |value: Option<f64>| {
        value.map_or("not known yet".to_owned(), |value| format!("{value:.0}"))
    };
    let age = |field: &str| age_text(number(field));
    let symptoms: Vec<&str> = lag
        .get("symptoms")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let symptoms = if symptoms.is_empty() { "none".to_owned() } else { symptoms.join(", ") };
    let rows = [
        ("lag", messages.to_string()),
        ("normal peak", shown(number("normal_peak"))),
        ("alert line", shown(number("alert_line"))),
        ("above it for", age("above_line_seconds")),
        (
            "time to drain",
            format!("{}, too long above {}", age("drain_seconds"), age("drain_line_seconds")),
        ),
        ("oldest message", format!("too old above {}", age("oldest_age_line_seconds"))),
        ("symptoms", symptoms),
        ("role", word("role")),
        (
            "history",
            format!(
                "{} days, confidence: {}",
                number("history_days").unwrap_or(0.0),
                word("confidence")
            ),
        ),
    ];
    table::fields(rows, table::terminal_width())
}
