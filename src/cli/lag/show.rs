//! `forebay lag show`: what a broker says of a queue's lag.

use crate::cli::admin::{AdminTarget, segment};
use crate::cli::lag_report::LagReport;
use crate::cli::output::Output;
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
        let Some(report) = LagReport::of(&queue) else {
            return Err(format!(
                "{} says nothing of what lag is normal for '{}': it is no Forebay, it has lag.enabled = false, or the queue was made some seconds ago",
                self.admin.address(), self.queue
            )
            .into());
        };
        let messages = queue.get("messages").and_then(Value::as_u64).unwrap_or(0);
        let messages_now = ("messages", format!("{messages} ready and unacked"));
        let rows = std::iter::once(messages_now).chain(report.fields());
        let text = table::fields(rows, table::terminal_width());
        let json = serde_json::json!({ "vhost": self.vhost, "name": self.queue, "messages": messages, "lag": queue.get("lag") });
        Answer { text, json }.print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}
