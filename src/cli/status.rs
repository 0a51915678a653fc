//! `forebay status`: what runs at an address, and whether it is well.

use super::admin::{AdminError, AdminTarget};
use super::output::Output;
use super::table;
use super::target::{self, Answer, FAILED, Fault};
use clap::Args;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay status
  forebay status --admin broker-1:15672 --user monitor --password-file monitor.password --json
  forebay status > /dev/null || echo unwell";

/// Show what a broker has to do, and whether an alarm is on
///
/// Asks the admin listener. Succeeds when the broker answers and no alarm is on.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Status {
    #[command(flatten)]
    admin: AdminTarget,
    #[command(flatten)]
    output: Output,
}

/// What is asked for; also the names in the JSON.
#[derive(Debug, Default)]
struct Report {
    product: String,
    version: String,
    connections: u64,
    channels: u64,
    queues: u64,
    consumers: u64,
    ready: u64,
    unacked: u64,
    /// Symptoms of lag, and how many queues have each; `None` where the broker does not tell.
    lag: Option<Map<String, Value>>,
    /// `None` when the user may not ask.
    alarms: Option<Vec<&'static str>>,
}

impl Status {
    pub(crate) fn run(self) -> ExitCode {
        target::end(self.show())
    }

    fn show(&self) -> Result<ExitCode, Fault> {
        let report = self.ask()?;
        let text = report.text(&self.admin, table::terminal_width());
        Answer { text, json: report.json() }.print(&self.output)?;
        let is_well = report.alarms.is_none_or(|alarms| alarms.is_empty());
        Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn ask(&self) -> Result<Report, AdminError> {
        let overview = self.admin.get("/api/overview")?;
        let text = |field| overview.get(field).and_then(Value::as_str).map(str::to_owned);
        let number = |path| overview.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let product = text("product_name").ok_or_else(|| self.admin.nonsense("/api/overview"))?;
        let alarms = match self.admin.get("/api/nodes") {
            Ok(nodes) => Some(alarms(&nodes)),
            // It takes the tag monitoring or administrator.
            Err(AdminError::Refused { status: 401, .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Report {
            product,
            version: text("product_version").unwrap_or_default(),
            connections: number("/object_totals/connections"),
            channels: number("/object_totals/channels"),
            queues: number("/object_totals/queues"),
            consumers: number("/object_totals/consumers"),
            ready: number("/queue_totals/messages_ready"),
            unacked: number("/queue_totals/messages_unacknowledged"),
            lag: overview.pointer("/lag/symptoms").and_then(Value::as_object).cloned(),
            alarms,
        })
    }
}

fn alarms(nodes: &Value) -> Vec<&'static str> {
    let nodes = nodes.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_on = |field: &str| {
        nodes.iter().any(|node| node.get(field).and_then(Value::as_bool).unwrap_or(false))
    };
    let all = [("mem_alarm", "memory"), ("disk_free_alarm", "disk")];
    all.into_iter().filter(|(field, _)| is_on(field)).map(|(_, alarm)| alarm).collect()
}

impl Report {
    fn text(&self, admin: &AdminTarget, width: Option<u16>) -> String {
        let alarms = match self.alarms.as_deref() {
            None => "not known: the user needs the tag monitoring".to_owned(),
            Some([]) => "none".to_owned(),
            Some(alarms) => alarms.join(", "),
        };
        let Self { product, version, connections, channels, queues, .. } = self;
        let rows = [
            ("broker", format!("{product} {version}, admin listener {}", admin.address())),
            ("connections", format!("{connections} with {channels} channels")),
            ("queues", format!("{queues} with {} consumers", self.consumers)),
            ("messages", format!("{} ready, {} unacked", self.ready, self.unacked)),
            ("alarms", alarms),
        ];
        let lag = self.lag.as_ref().map(|symptoms| ("lag", lag_text(symptoms)));
        table::fields(rows.into_iter().chain(lag), width)
    }

    fn json(&self) -> Value {
        json!({
            "product": self.product,
            "version": self.version,
            "connections": self.connections,
            "channels": self.channels,
            "queues": self.queues,
            "consumers": self.consumers,
            "ready": self.ready,
            "unacked": self.unacked,
            "alarms": self.alarms,
            "lag_symptoms": self.lag,
        })
    }
}

fn lag_text(symptoms: &Map<String, Value>) -> String {
    if symptoms.is_empty() {
        return "of no queue is anything wrong".to_owned();
    }
    let counts = symptoms.iter().map(|(symptom, count)| format!("{symptom}: {count}"));
    format!("queues with symptoms: {}", counts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symptoms_are_counted() {
        assert_eq!(lag_text(&Map::new()), "of no queue is anything wrong");
        let symptoms = json!({ "above-line": 2, "stalled": 1 });
        let text = lag_text(symptoms.as_object().unwrap());
        assert_eq!(text, "queues with symptoms: above-line: 2, stalled: 1");
    }

    #[test]
    fn an_alarm_of_any_node_counts() {
        let nodes = json!([{ "mem_alarm": false, "disk_free_alarm": true }, { "mem_alarm": true }]);
        assert_eq!(alarms(&nodes), ["memory", "disk"]);
        assert!(alarms(&json!([{ "mem_alarm": false }])).is_empty());
    }
}
