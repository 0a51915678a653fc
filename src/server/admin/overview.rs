//! `/api/overview`, `/api/whoami`, `/api/cluster-name`, and what says that there is none of something:
//! `/api/extensions`, `/api/feature-flags`, `/api/deprecated-features`, `/api/auth`.

use super::api_error::ApiError;
use super::caller::Caller;
use super::console::recent_figures::Watched;
use super::context::Admin;
use super::figures::{Figures, add, put_field};
use super::reply::json_reply;
use crate::config::product::CLUSTER_NAME;
use crate::lag::QueueLag;
use crate::metrics::{BrokerCounts, Flow};
use crate::system::node_name::node_name;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::shard::{QueueStatistics, QueueTurnover};
use forebay_engine::topology::ExchangeKind;
use forebay_lag::Symptom;
use serde_json::{Map, Value, json};

/// Counters of what came and went.
pub(super) const CHURN: [&str; 7] = [
    "channel_closed",
    "channel_created",
    "connection_closed",
    "connection_created",
    "queue_created",
    "queue_declared",
    "queue_deleted",
];

pub(super) async fn overview(
    State(admin): State<Admin>,
    caller: Caller,
    watched: Option<Extension<Watched>>,
) -> Result<Response, ApiError> {
    let statistics = admin.queue_figures(watched.is_some()).await?;
    let catalogue = admin.catalogue();
    let sees = |vhost: &_| caller.sees(&admin, vhost);
    let exchanges: usize = catalogue
        .vhosts()
        .filter(|vhost| sees(vhost))
        .map(|vhost| catalogue.exchanges(vhost).count() + 1)
        .sum();
    let rates = admin.inner.rates.load();
    let seen = || statistics.queues.iter().filter(|queue| sees(&queue.record.vhost));
    let (mut sum, mut flow) = (QueueStatistics::default(), Flow::default());
    for queue in seen() {
        add(&mut sum, &queue.statistics);
        flow = flow.plus(&rates.flow(queue.record.id));
    }
    let mut totals = Figures::default();
    totals.put_messages(&sum, &flow);
    // Of deleted queues only their counters are left.
    sum.absorb(&statistics.gone);
    let counts = admin.broker_counts(&statistics.turnover);
    let connections = admin.connections_of(&caller);
    let channels = connections.iter().map(|(_, about)| about.channels().len()).sum::<usize>();
    let mut overview = json!({
        "churn_rates": admin.broker_figures(&counts, &CHURN).into_json(),
        "cluster_name": CLUSTER_NAME,
        "cluster_tags": {},
        "contexts": admin.contexts(),
        "disable_stats": false,
        "enable_queue_totals": false,
        // There is no Erlang; some clients insist on the fields.
        "erlang_full_version": "",
        "erlang_version": "",
        "exchange_types": exchange_types(),
        "management_version": admin.inner.product.rabbitmq_version(),
        "message_stats": admin.message_figures(&sum, &flow, &counts).into_json(),
        "node": node_name(),
        "node_tags": {},
        "object_totals": {
            "channels": channels,
            "connections": connections.len(),
            "consumers": sum.consumers,
            "exchanges": exchanges,
            "queues": seen().count(),
        },
        "product_name": admin.inner.product.name,
        "product_version": admin.inner.product.version,
        "queue_totals": totals.into_json(),
        "rabbitmq_version": admin.inner.product.rabbitmq_version(),
        "rates_mode": "basic",
        "statistics_db_event_queue": 0,
    });
    // Ours: what is wrong with the lag of the queues that the caller sees.
    let lag = admin.inner.lag.shown();
    let known = seen().filter_map(|queue| lag.get(&queue.record.id));
    put_field(&mut overview, "lag", lag_totals(known));
    // As in RabbitMQ, for those who watch the broker.
    if caller.sees_everything() {
        put_field(&mut overview, "listeners", admin.listeners());
    }
    Ok(json_reply(&overview))
}

/// How many queues have a symptom, and how many have each.
fn lag_totals<'a>(queues: impl Iterator<Item = &'a QueueLag>) -> Value {
    let (mut unwell, mut counts) = (0_u64, [0_u64; Symptom::ALL.len()]);
    for queue in queues.filter(|queue| queue.assessment.has_any()) {
        unwell += 1;
        for (count, symptom) in counts.iter_mut().zip(Symptom::ALL) {
            *count += u64::from(queue.assessment.has(symptom));
        }
    }
    let symptoms = Symptom::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
    let symptoms: Map<String, Value> =
        symptoms.map(|(symptom, count)| (symptom.name().to_owned(), count.into())).collect();
    json!({ "queues_with_symptoms": unwell, "symptoms": symptoms })
}

impl Admin {
    /// What the broker counted as a whole.
    pub(super) fn broker_counts(&self, turnover: &QueueTurnover) -> BrokerCounts {
        let totals = self.inner.totals.load();
        BrokerCounts::new(&totals, self.link().connections.counts(), turnover)
    }

    /// Some of the broker's counters with their rates.
    pub(super) fn broker_figures(&self, counts: &BrokerCounts, names: &[&str]) -> Figures {
        let rates = self.inner.broker_rates.load();
        let mut figures = Figures::default();
        for name in names {
            figures.put(name, counts.get(name), rates.flow(name));
        }
        figures
    }

    /// What was counted of messages in all queues and by all connections.
    fn message_figures(
        &self,
        sum: &QueueStatistics,
        flow: &Flow,
        counts: &BrokerCounts,
    ) -> Figures {
        let mut figures = Figures::of_messages(sum, flow);
        // `publish` counts messages here, not the queues that each went to.
        let names = ["confirm", "drop_unroutable", "publish", "return_unroutable"];
        figures.extend(self.broker_figures(counts, &names));
        figures
    }

    /// What listens for AMQP and HTTP.
    fn listeners(&self) -> Value {
        let listeners = self.inner.listeners.iter().map(|listener| {
            json!({
                "ip_address": listener.address.ip().to_string(),
                "node": node_name(),
                "port": listener.address.port(),
                "protocol": listener.protocol,
            })
        });
        listeners.collect()
    }

    /// What is served over HTTP.
    pub(super) fn contexts(&self) -> Value {
        let served = |protocol| match protocol {
            "http" | "https" => Some(("Admin API", "/api")),
            "http/prometheus" | "https/prometheus" => Some(("Metrics and health", "/")),
            _ => None,
        };
        let contexts = self.inner.listeners.iter().filter_map(|listener| {
            let (description, path) = served(listener.protocol)?;
            Some(json!({
                "description": description,
                "ip": listener.address.ip().to_string(),
                "node": node_name(),
                "path": path,
                "port": listener.address.port().to_string(),
                "ssl": listener.protocol.starts_with("https"),
            }))
        });
        contexts.collect()
    }
}

/// What clients can declare.
pub(super) fn exchange_types() -> Value {
    let described = |kind: ExchangeKind| json!({ "description": description(kind), "enabled": true, "name": kind.name() });
    ExchangeKind::ALL.into_iter().map(described).collect()
}

const fn description(kind: ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Direct => "by equal routing key",
        ExchangeKind::Fanout => "to every bound queue",
        ExchangeKind::Topic => "by pattern of words in the routing key",
        ExchangeKind::Headers => "by headers",
        ExchangeKind::ConsistentHash => "to one bound queue, by a hash of the routing key",
        ExchangeKind::Delayed => "as x-delayed-type says, when the delay is over",
    }
}

pub(super) async fn whoami(caller: Caller) -> Response {
    json_reply(&json!({ "name": caller.name.to_string(), "tags": caller.tags }))
}

pub(super) async fn cluster_name(_caller: Caller) -> Response {
    json_reply(&json!({ "name": CLUSTER_NAME }))
}

/// There is no page with extensions, no feature that can be switched, no topic permission.
pub(super) async fn nothing(_caller: Caller) -> Response {
    json_reply(&json!([]))
}

/// Passwords alone let in here.
pub(super) async fn auth() -> Response {
    json_reply(&json!({ "enable_uaa": false, "oauth_enabled": false }))
}
