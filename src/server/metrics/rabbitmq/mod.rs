//! The same figures under RabbitMQ's names, so that dashboards, alerts and autoscalers made for it
//! work as they are. Names, labels, families and the three paths are those of its Prometheus
//! plugin (4.x, and what 3.x has more of that we know).

mod families;
mod selection;

pub(super) use selection::Selection;

use super::connection_totals::Totals;
use super::exposition::{Number, Page, escape};
use super::queue_families::labels;
use super::queue_rates::QueueRates;
use crate::config::product::Product;
use crate::system::alarms::Alarms;
use crate::system::node_name::node_name;
use families::{Column, Kind, Single};
use forebay_engine::connection::MESSAGE_SIZE_BOUNDS;
use forebay_engine::shard::{QueueReport, QueueStatistics, ShardStatistics};
use selection::Family;
use std::path::Path;
use std::time::Duration;

/// What is told.
pub(super) struct Broker<'a> {
    /// Queues.
    pub(super) statistics: &'a ShardStatistics,
    /// How fast they are.
    pub(super) rates: &'a QueueRates,
    /// What connections did.
    pub(super) totals: &'a Totals,
    /// Open ones.
    pub(super) connections: u64,
    /// Ever opened.
    pub(super) connections_opened: u64,
    /// For its disk.
    pub(super) data_dir: &'a Path,
    /// What is short.
    pub(super) alarms: &'a Alarms,
    /// Since the start.
    pub(super) uptime: Duration,
    /// Who the broker says it is.
    pub(super) product: &'a Product,
}

/// What everything that came over AMQP 0-9-1 is labelled with.
const PROTOCOL: &str = "{protocol=\"amqp091\"}";

/// Adds what is selected.
pub(super) fn write(page: &mut Page, broker: &Broker<'_>, selection: &Selection) {
    match selection {
        Selection::Aggregated => {
            write_identity(page, broker.product, "aggregated");
            write_node(page, broker);
            for column in
                families::COARSE.iter().chain(&families::METRICS).chain(&families::DELIVERY)
            {
                page.header(&format!("rabbitmq_{}", column.name), column.kind.name(), SUM);
                let value = broker.sum(column);
                page.sample(&format!("rabbitmq_{}", column.name), "", value);
            }
            write_singles(page, "rabbitmq_", "", &broker.channels());
        }
        Selection::PerObject => {
            write_identity(page, broker.product, "per-object");
            write_node(page, broker);
            for family in Family::OF_QUEUES {
                write_queues(page, "rabbitmq_", family, broker, |_| true);
            }
        }
        Selection::Detailed { families, vhosts } => {
            write_identity(page, broker.product, "detailed");
            for family in families {
                write_family(page, *family, broker, vhosts);
            }
        }
    }
}

const SUM: &str = "As RabbitMQ's, over all queues.";

/// What there is of the node, for who does not ask for families.
fn write_node(page: &mut Page, broker: &Broker<'_>) {
    write_singles(page, "rabbitmq_", "", &broker.open());
    write_singles(page, "rabbitmq_", "", &broker.churn());
    write_singles(page, "rabbitmq_", "", &broker.node_coarse());
    write_singles(page, "rabbitmq_", "", &broker.node());
    write_singles(page, "rabbitmq_", PROTOCOL, &broker.logins());
    write_singles(page, "rabbitmq_", PROTOCOL, &broker.global());
    let dead = "{dead_letter_strategy=\"at_least_once\"}";
    write_singles(page, "rabbitmq_global_messages_dead_lettered_", dead, &broker.dead_lettered());
    write_message_sizes(page, broker.totals);
}

fn write_family(page: &mut Page, family: Family, broker: &Broker<'_>, vhosts: &[String]) {
    let prefix = "rabbitmq_detailed_";
    match family {
        Family::Coarse | Family::Consumers | Family::Metrics | Family::Delivery => {
            write_queues(page, prefix, family, broker, |queue| {
                vhosts.is_empty() || vhosts.contains(&queue.record.vhost.to_string())
            });
        }
        Family::Churn => write_singles(page, prefix, "", &broker.churn()),
        Family::NodeCoarse => write_singles(page, prefix, "", &broker.node_coarse()),
        Family::Node => write_singles(page, prefix, "", &broker.node()),
        Family::Logins => write_singles(page, prefix, PROTOCOL, &broker.logins()),
    }
}

fn write_singles(page: &mut Page, prefix: &str, labels: &str, singles: &[Single]) {
    for Single { name, kind, value } in singles {
        let name = format!("{prefix}{name}");
        page.header(&name, kind.name(), "As RabbitMQ's.");
        page.sample(&name, labels, *value);
    }
}

fn write_queues(
    page: &mut Page,
    prefix: &str,
    family: Family,
    broker: &Broker<'_>,
    is_wanted: impl Fn(&QueueReport) -> bool,
) {
    let queues: Vec<(&QueueReport, String)> = broker
        .statistics
        .queues
        .iter()
        .filter(|queue| is_wanted(queue))
        .map(|queue| (queue, labels(queue)))
        .collect();
    for column in family.columns() {
        let name = format!("{prefix}{}", column.name);
        page.header(&name, column.kind.name(), "As RabbitMQ's, for each queue.");
        for (queue, labels) in &queues {
            page.sample(&name, labels, (column.value)(&queue.statistics));
        }
    }
    if family == Family::Metrics {
        for name in ["queue_consumer_capacity", "queue_consumer_utilisation"] {
            let name = format!("{prefix}{name}");
            page.header(&name, Kind::Gauge.name(), "As RabbitMQ's, for each queue.");
            for (queue, labels) in &queues {
                page.sample(&name, labels, broker.rates.utilisation(queue));
            }
        }
    }
}

/// With RabbitMQ's way to write the bounds, which its dashboard compares as text.
fn write_message_sizes(page: &mut Page, totals: &Totals) {
    const BOUNDS: [&str; MESSAGE_SIZE_BOUNDS.len()] =
        ["100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08"];
    let name = "rabbitmq_message_size_bytes";
    page.header(name, "histogram", "As RabbitMQ's: bodies of messages from publishers.");
    let mut count = 0;
    for (messages, bound) in totals.traffic.sizes.iter().zip(BOUNDS.into_iter().chain(["+Inf"])) {
        count += messages;
        let labels = format!("{{protocol=\"amqp091\",le=\"{bound}\"}}");
        page.sample("rabbitmq_message_size_bytes_bucket", &labels, count);
    }
    page.sample("rabbitmq_message_size_bytes_sum", PROTOCOL, totals.traffic.bytes);
    page.sample("rabbitmq_message_size_bytes_count", PROTOCOL, count);
}

fn write_identity(page: &mut Page, product: &Product, endpoint: &str) {
    let mut node = String::new();
    escape(&mut node, node_name());
    let help = "Who this is, in RabbitMQ's labels; the node is the machine.";
    page.header("rabbitmq_identity_info", "gauge", help);
    let identity = format!(
        "{{rabbitmq_node=\"{node}\",rabbitmq_cluster=\"{node}\",\
         rabbitmq_cluster_permanent_id=\"{node}\",rabbitmq_endpoint=\"{endpoint}\"}}"
    );
    page.sample("rabbitmq_identity_info", &identity, 1);
    let help = "Who the broker says it is (the setting product), in RabbitMQ's labels.";
    page.header("rabbitmq_build_info", "gauge", help);
    let mut name = String::new();
    escape(&mut name, &product.name);
    let (spoken, version) = (product.rabbitmq_version(), &product.version);
    let build = format!(
        "{{rabbitmq_version=\"{spoken}\",product_name=\"{name}\",product_version=\"{version}\"}}"
    );
    page.sample("rabbitmq_build_info", &build, 1);
}

impl Broker<'_> {
    /// Over all queues; of a counter with those that are gone, so that it never falls.
    fn sum(&self, column: &Column) -> Number {
        let sum: u64 =
            self.statistics.queues.iter().map(|queue| (column.value)(&queue.statistics)).sum();
        let gone = match column.kind {
            Kind::Counter => (column.value)(&self.statistics.gone),
            Kind::Gauge => 0,
        };
        Number::from(sum + gone)
    }

    fn total(&self, value: fn(&QueueStatistics) -> u64) -> Number {
        self.sum(&Column { name: "", kind: Kind::Counter, value })
    }
}
