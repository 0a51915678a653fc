//! `forebay route`: where a message would go.

mod routing_table;

use super::admin::{AdminError, AdminTarget, segment};
use super::argument::{self, Argument};
use super::field_json;
use super::listing::{self, Column, text};
use super::output::Output;
use super::target::{self, FAILED, Fault};
use clap::Args;
use routing_table::RoutingTable;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay route events --routing-key order.placed
  forebay route notices --header kind=mail --header urgent=true --vhost shop
  forebay route '' --routing-key orders                     # the default exchange";

/// Tell which queues a message would go to, without publishing one
///
/// Forebay answers from the table that it routes by. RabbitMQ has no such call: there the answer is worked out from its
/// exchanges, bindings and policies, for direct, topic, fanout and headers exchanges. Fails when no queue would
/// take the message.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Route {
    #[command(flatten)]
    admin: AdminTarget,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the exchange; an empty one is the default exchange
    exchange: String,
    /// The routing key
    #[arg(long, short = 'k', default_value = "")]
    routing_key: String,
    /// A header of the message, NAME=VALUE; may be repeated
    #[arg(long, short = 'H')]
    header: Vec<Argument>,
    #[command(flatten)]
    output: Output,
}

const COLUMNS: [Column; 2] = [text("vhost", "/vhost"), text("queue", "/queue")];

impl Route {
    pub(crate) fn run(self) -> ExitCode {
        target::end(self.show())
    }

    fn show(&self) -> Result<ExitCode, Fault> {
        let headers = field_json::object(&argument::table(&self.header));
        let queues = match self.ask(&headers)? {
            Some(queues) => queues,
            None => self.work_out(&headers)?,
        };
        let rows: Vec<_> =
            queues.iter().map(|queue| json!({ "vhost": self.vhost, "queue": queue })).collect();
        if queues.is_empty() {
            if self.output.is_for_programs() {
                listing::print_list(&COLUMNS, &rows, &self.output)?;
            }
            target::tell(
                "no queue would take it: it would be dropped, or returned when it is published as mandatory",
            );
            return Ok(ExitCode::from(FAILED));
        }
        listing::print_list(&COLUMNS, &rows, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }

    /// What the broker says; `None` when it has no such call, or no such exchange.
    fn ask(&self, headers: &Map<String, Value>) -> Result<Option<Vec<String>>, Fault> {
        let path =
            format!("/api/forebay/route/{}/{}", segment(&self.vhost), path_name(&self.exchange));
        let body = json!({ "routing_key": self.routing_key, "headers": headers }).to_string();
        let answer = match self.admin.request("POST", &path, body.as_bytes()) {
            // RabbitMQ knows the path not at all.
            Err(AdminError::Refused { status: 404 | 405, .. }) => return Ok(None),
            answer => answer?,
        };
        let answer: Value = serde_json::from_slice(&answer)?;
        let queues = answer.get("queues").and_then(Value::as_array);
        let queues = queues.ok_or_else(|| self.admin.nonsense(&path))?;
        Ok(Some(queues.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
    }

    fn work_out(&self, headers: &Map<String, Value>) -> Result<Vec<String>, Fault> {
        let vhost = segment(&self.vhost);
        let Some(exchanges) = self.admin.find(&format!("/api/exchanges/{vhost}"))? else {
            return Err(format!(
                "no vhost `{}`; `forebay vhost list` shows what there is",
                self.vhost
            )
            .into());
        };
        let exchanges = exchanges.as_array().map(Vec::as_slice).unwrap_or_default();
        let named =
            |exchange: &Value| exchange.get("name").and_then(Value::as_str) == Some(&self.exchange);
        if !exchanges.iter().any(named) {
            return Err(format!(
                "no exchange `{}` in vhost `{}`; `forebay exchange list` shows what there is",
                self.exchange, self.vhost
            )
            .into());
        }
        let bindings = self.admin.list(&format!("/api/bindings/{vhost}"))?;
        let table = RoutingTable::new(exchanges, &bindings, self.alternates(exchanges, &vhost)?);
        Ok(table.route(&self.exchange, &self.routing_key, headers)?)
    }

    /// Alternate exchanges that a policy gives.
    fn alternates(
        &self,
        exchanges: &[Value],
        vhost: &str,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let text = |value: &Value, member: &str| value.get(member)?.as_str().map(str::to_owned);
        let mut alternates = BTreeMap::new();
        for exchange in exchanges {
            let (Some(name), Some(policy)) = (text(exchange, "name"), text(exchange, "policy"))
            else {
                continue;
            };
            let policy = self.admin.find(&format!("/api/policies/{vhost}/{}", segment(&policy)))?;
            let alternate =
                policy.as_ref().and_then(|policy| policy.pointer("/definition/alternate-exchange"));
            alternates.extend(
                alternate.and_then(Value::as_str).map(|alternate| (name, alternate.to_owned())),
            );
        }
        Ok(alternates)
    }
}

/// The default exchange has a name in paths.
fn path_name(exchange: &str) -> String {
    if exchange.is_empty() { "amq.default".to_owned() } else { segment(exchange) }
}
