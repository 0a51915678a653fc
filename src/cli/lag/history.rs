//! `forebay lag history`: how the lag of a queue was, and what was normal then.

use crate::cli::admin::{AdminTarget, segment};
use crate::cli::output::Output;
use crate::cli::table;
use crate::cli::target::{self, Answer, Fault};
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

/// Show how the lag of a queue was in the last days, and what was normal then
///
/// Asks the admin listener. A row is the highest lag of a quarter of an hour; of more than three days, of several of them.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  forebay lag history orders\n  forebay lag history orders --days 35 --output csv > orders.csv"
)]
pub(crate) struct History {
    #[command(flatten)]
    admin: AdminTarget,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the queue
    queue: String,
    /// Days before now
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=35))]
    days: u64,
    #[command(flatten)]
    output: Output,
}

impl History {
    pub(crate) fn run(self) -> ExitCode {
        target::end(self.show())
    }

    fn show(&self) -> Result<ExitCode, Fault> {
        let (vhost, queue) = (segment(&self.vhost), segment(&self.queue));
        let path = format!("/api/forebay/lag/{vhost}/{queue}?days={}", self.days);
        let past = self.admin.get(&path)?;
        let parts = past.get("parts").and_then(Value::as_array);
        let parts = parts.ok_or_else(|| self.admin.nonsense(&path))?;
        let text = if parts.is_empty() {
            format!("nothing is known of the lag of '{}': nobody has looked at it yet", self.queue)
        } else {
            let headings = ["FROM", "LAG", "NORMAL", "ALERT LINE"];
            table::list(headings, parts.iter().map(row), table::terminal_width())
        };
        Answer { text, json: Value::from(parts.clone()) }.print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn row(part: &Value) -> [String; 4] {
    let number = |field| {
        let number = part.get(field).and_then(Value::as_f64);
        number.map_or("-".to_owned(), |number| format!("{number:.0}"))
    };
    let at = part.get("at").and_then(Value::as_u64).unwrap_or(0);
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(at));
    let at = at.map(|at| humantime::format_rfc3339_seconds(at).to_string());
    [at.unwrap_or_default(), number("peak"), number("normal_peak"), number("alert_line")]
}

#[cfg(test)]
mod tests {
    use super::row;
    use serde_json::json;

    #[test]
    fn what_is_not_known_is_a_dash() {
        let part = json!({ "at": 1_764_518_400_000_u64, "peak": 7.0, "normal_peak": null, "alert_line": 12.4 });
        assert_eq!(row(&part), ["2025-11-30T16:00:00Z", "7", "-", "12"]);
    }
}
