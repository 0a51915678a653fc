//! `forebay queue show`: all that a broker says of a queue. RabbitMQ says the same but for what is normal and where settings
//! come from.

use super::admin::{AdminTarget, segment};
use super::lag_report::LagReport;
use super::output::Output;
use super::queue_report::{Pause, QueueReport, age_text};
use super::table;
use super::target::{Answer, Fault};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

/// Show all that is known of a queue: messages, lag against normal, rates, settings and where each comes from, consumers,
/// bindings
///
/// Asks the admin listener. `forebay queue count` tells ready messages and consumers over AMQP alone.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  forebay queue show orders\n  forebay queue show orders --vhost shop --json | jq .lag.alert_line"
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
    pub(crate) fn show(&self) -> Result<ExitCode, Fault> {
        let path = format!("/api/queues/{}/{}", segment(&self.vhost), segment(&self.queue));
        let queue = self.admin.get(&path)?;
        let bindings = self.admin.get(&format!("{path}/bindings"))?;
        let report = QueueReport::read(&queue).ok_or_else(|| self.admin.nonsense(&path))?;
        let shown = Shown { queue: &queue, report: &report, bindings: items(Some(&bindings)) };
        let answer = Answer { text: shown.text(table::terminal_width()), json: shown.json() };
        answer.print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What was answered.
struct Shown<'a> {
    queue: &'a Value,
    report: &'a QueueReport,
    bindings: &'a [Value],
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text_of(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A number of messages a second for people.
fn rate_text(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}/s") } else { format!("{rate:.0}/s") }
}

impl Shown<'_> {
    fn consumers(&self) -> &[Value] {
        items(self.queue.get("consumer_details"))
    }

    fn settings(&self) -> &[Value] {
        items(self.queue.get("settings"))
    }

    fn rate(&self, counter: &str) -> f64 {
        let path = format!("/message_stats/{counter}_details/rate");
        self.queue.pointer(&path).and_then(Value::as_f64).unwrap_or(0.0)
    }

    /// What was set, or what a name with this setting says; `None` when it is left out.
    fn setting(&self, name: &str) -> Option<String> {
        let named = |setting: &&Value| setting.get("name").and_then(Value::as_str) == Some(name);
        let setting = self.settings().iter().find(named)?;
        Some(text_of(setting.get("value")))
    }

    /// Where dead letters go.
    fn dead_letters(&self) -> String {
        match (self.setting("dead-letter-queue"), self.setting("dead-letter-exchange")) {
            (Some(queue), _) => format!("to the queue '{queue}'"),
            (None, Some(exchange)) => {
                let exchange = match exchange.as_str() {
                    "" => "the default exchange".to_owned(),
                    named => format!("the exchange '{named}'"),
                };
                match self.setting("dead-letter-routing-key") {
                    Some(key) => format!("to {exchange} with the routing key '{key}'"),
                    None => format!("to {exchange}"),
                }
            }
            (None, None) => "are dropped".to_owned(),
        }
    }

    fn text(&self, width: Option<u16>) -> String {
        let report = self.report;
        let mut parts = vec![table::fields(self.fields(), width)];
        if let Some(lag) = LagReport::of(self.queue) {
            parts.push(table::fields(lag.fields(), width));
        }
        let settings = self.settings().iter().map(|setting| {
            let said = |field| setting.get(field);
            let source = text_of(said("source")).replace('_', " ");
            let source = match said("policy").and_then(Value::as_str) {
                Some(policy) => format!("{source} '{policy}'"),
                None => source,
            };
            [text_of(said("name")), text_of(said("value")), source]
        });
        if !self.settings().is_empty() {
            parts.push(table::list(["SETTING", "VALUE", "FROM"], settings, width));
        }
        let consumers = self.consumers().iter().map(|consumer| {
            let said = |field| consumer.get(field);
            let holding = said("holding_ms").and_then(Value::as_f64).map(|ms| ms / 1000.0);
            [
                text_of(said("consumer_tag")),
                text_of(consumer.pointer("/channel_details/name")),
                text_of(said("prefetch_count")),
                text_of(said("unacknowledged")),
                age_text(holding),
            ]
        });
        if report.consumers > 0 {
            let headings = ["CONSUMER", "CHANNEL", "PREFETCH", "HOLDS", "NONE DONE FOR"];
            parts.push(table::list(headings, consumers, width));
        }
        let bindings = self.bindings.iter().map(|binding| {
            let exchange = match text_of(binding.get("source")).as_str() {
                "" => "(default)".to_owned(),
                named => named.to_owned(),
            };
            let arguments = binding.get("arguments").filter(|arguments| !is_empty(arguments));
            [exchange, text_of(binding.get("routing_key")), text_of(arguments)]
        });
        parts.push(table::list(["EXCHANGE", "ROUTING KEY", "ARGUMENTS"], bindings, width));
        parts.join("\n\n")
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let (report, queue) = (self.report, self.queue);
        let is = |field: &str| queue.get(field).and_then(Value::as_bool).unwrap_or(false);
        let kinds =
            [("durable", "durable"), ("exclusive", "exclusive"), ("auto_delete", "auto-delete")];
        let kinds: Vec<&str> =
            kinds.into_iter().filter(|(field, _)| is(field)).map(|(_, word)| word).collect();
        let bytes = queue.get("message_bytes").and_then(Value::as_u64).unwrap_or(0);
        let come = self.rate("publish");
        let done = self.rate("ack") + self.rate("deliver_no_ack");
        let mut fields = vec![
            ("queue", format!("{}, {}, {}", report.title(), kinds.join(" "), report.state)),
            (
                "messages",
                format!("{} ready, {} unacked, {bytes} bytes", report.ready, report.unacked),
            ),
            ("oldest", age_text(report.oldest_age)),
            (
                "rates",
                format!(
                    "{} come, {} are done, {} are redelivered",
                    rate_text(come),
                    rate_text(done),
                    rate_text(self.rate("redeliver"))
                ),
            ),
            ("consumers", report.consumers.to_string()),
        ];
        if let Some(Pause { since, by }) = &report.pause {
            let since = UNIX_EPOCH.checked_add(Duration::from_millis(*since));
            let since = since.map(|since| humantime::format_rfc3339_seconds(since).to_string());
            let since = since.unwrap_or_default();
            let text = format!("since {since} by {by}; `forebay queue resume` ends it");
            fields.push(("paused", text));
        }
        if !self.settings().is_empty() {
            fields.push(("dead letters", self.dead_letters()));
        }
        let policies = ["policy", "operator_policy"].map(|field| queue.get(field));
        let policies: Vec<&str> =
            policies.into_iter().flatten().filter_map(Value::as_str).collect();
        if !policies.is_empty() {
            fields.push(("policies", policies.join(", ")));
        }
        if let Some(damage) = queue.get("damage").and_then(Value::as_str) {
            fields.push(("damage", damage.to_owned()));
        }
        fields
    }

    fn json(&self) -> Value {
        let report = self.report;
        let said = |field: &str| self.queue.get(field).cloned().unwrap_or(Value::Null);
        json!({
            "vhost": report.vhost,
            "name": report.name,
            "state": report.state,
            "paused": report.pause.is_some(),
            "paused_by": report.pause.as_ref().map(|pause| &pause.by),
            "paused_since_ms": report.pause.as_ref().map(|pause| pause.since),
            "ready": report.ready,
            "unacked": report.unacked,
            "bytes": said("message_bytes"),
            "consumers": report.consumers,
            "oldest_age_seconds": report.oldest_age,
            "published_per_second": self.rate("publish"),
            "settled_per_second": self.rate("ack") + self.rate("deliver_no_ack"),
            "redelivered_per_second": self.rate("redeliver"),
            "lag": said("lag"),
            "settings": self.settings(),
            "dead_letters": self.dead_letters(),
            "policy": said("policy"),
            "operator_policy": said("operator_policy"),
            "consumer_details": self.consumers(),
            "bindings": self.bindings,
        })
    }
}

fn is_empty(arguments: &Value) -> bool {
    arguments.as_object().is_none_or(|arguments| arguments.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(queue: &Value, bindings: &[Value]) -> String {
        let report = QueueReport::read(queue).unwrap();
        Shown { queue, report: &report, bindings }.text(None)
    }

    #[test]
    fn all_that_is_said_of_a_queue_is_shown() {
        let queue = json!({
            "vhost": "/", "name": "orders", "state": "running", "durable": true,
            "messages_ready": 9, "messages_unacknowledged": 1, "message_bytes": 40, "consumers": 1,
            "oldest_message_age_ms": 1500, "policy": "limits",
            "paused_since": 1_764_518_400_250_u64, "paused_by": "ops",
            "message_stats": { "publish_details": { "rate": 2.5 }, "ack_details": { "rate": 12.0 } },
            "lag": { "role": "work", "symptoms": ["above-line"], "normal_peak": 4.0, "alert_line": 15.0,
                     "ratio": 2.5, "confidence": "trusted", "history_days": 9, "drain_seconds": 3.0,
                     "service_seconds": 0.25, "stall_line_seconds": 60.0 },
            "settings": [
                { "name": "dead-letter-queue", "value": "orders.dlq", "source": "default" },
                { "name": "max-length", "value": 100, "source": "policy", "policy": "limits" },
            ],
            "consumer_details": [{ "consumer_tag": "worker-1", "prefetch_count": 10, "unacknowledged": 1,
                                   "holding_ms": 250, "channel_details": { "name": "10.0.0.1:5 (1)" } }],
        });
        let bindings = [
            json!({ "source": "", "routing_key": "orders", "arguments": {} }),
            json!({ "source": "events", "routing_key": "order.*", "arguments": { "x": 1 } }),
        ];
        let text = text(&queue, &bindings);
        for part in [
            "orders, durable, running",
            "9 ready, 1 unacked, 40 bytes",
            "2.5/s come, 12/s are done",
            "since 2025-11-30T16:00:00Z by ops",
            "to the queue 'orders.dlq'",
            "policy 'limits'",
            "2.5 times its normal peak",
            "above-line",
            "99 of 100 are settled within 0.2s",
            "worker-1",
            "10.0.0.1:5 (1)",
            "(default)",
            "order.*",
            "{\"x\":1}",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn rabbitmqs_queue_is_shown_without_what_it_does_not_say() {
        let queue = json!({ "vhost": "/", "name": "q", "state": "running", "durable": true });
        let text = text(&queue, &[]);
        assert!(text.contains("0 ready") && !text.contains("normal"), "{text}");
    }
}
