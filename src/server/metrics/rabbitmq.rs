//! The same figures under RabbitMQ's names, so that dashboards, alerts and autoscalers made for it
//! work as they are. Names, labels and the three paths are those of its Prometheus plugin.

use super::exposition::{Page, escape};
use super::process;
use super::queue_families::labels;
use super::queue_rates::settled;
use forebay_engine::shard::{QueueReport, QueueStatistics, ShardStatistics};
use rustix::process::{Resource, getrlimit};
use std::path::Path;
use std::time::Duration;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// `/metrics`: sums over all queues.
    Aggregated,
    /// `/metrics/per-object`: each queue.
    PerObject,
    /// `/metrics/detailed`: some families of some virtual hosts.
    Detailed {
        /// The families.
        families: Vec<Family>,
        /// The virtual hosts; none named: all.
        vhosts: Vec<String>,
    },
}

/// A group of metrics as `family=` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Messages and octets of each queue.
    Coarse,
    /// Consumers of each queue.
    Consumers,
    /// What each queue counted.
    Delivery,
}

/// What is told.
pub(super) struct Broker<'a> {
    /// Queues.
    pub(super) statistics: &'a ShardStatistics,
    /// Open ones.
    pub(super) connections: u64,
    /// Ever opened.
    pub(super) connections_opened: u64,
    /// Open ones.
    pub(super) channels: f64,
    /// Messages routed to a queue.
    pub(super) published: u64,
    /// Messages confirmed.
    pub(super) confirmed: u64,
    /// For its disk.
    pub(super) data_dir: &'a Path,
    /// Since the start.
    pub(super) uptime: Duration,
}

type Value = fn(&QueueStatistics) -> u64;
type Row = (&'static str, &'static str, Value);

const COARSE: [Row; 4] = [
    ("rabbitmq_queue_messages_ready", "gauge", |queue| queue.ready),
    ("rabbitmq_queue_messages_unacked", "gauge", |queue| queue.unacked),
    ("rabbitmq_queue_messages", "gauge", |queue| queue.ready + queue.unacked),
    ("rabbitmq_queue_messages_bytes", "gauge", |queue| queue.octets),
];
const CONSUMERS: [Row; 1] = [("rabbitmq_queue_consumers", "gauge", |queue| queue.consumers)];
const DELIVERY: [Row; 4] = [
    ("rabbitmq_queue_messages_published_total", "counter", |queue| queue.published),
    ("rabbitmq_queue_messages_delivered_total", "counter", |queue| queue.delivered),
    ("rabbitmq_queue_messages_acked_total", "counter", settled),
    ("rabbitmq_queue_messages_redelivered_total", "counter", |queue| queue.redelivered),
];

/// Totals with the label `protocol`.
const GLOBAL: [Row; 7] = [
    ("rabbitmq_global_messages_acknowledged_total", "counter", |queue| queue.acked),
    ("rabbitmq_global_messages_delivered_total", "counter", |queue| queue.delivered),
    ("rabbitmq_global_messages_delivered_consume_auto_ack_total", "counter", |queue| {
        queue.delivered_no_ack
    }),
    ("rabbitmq_global_messages_delivered_consume_manual_ack_total", "counter", |queue| {
        queue.delivered.saturating_sub(queue.delivered_no_ack).saturating_sub(queue.got)
    }),
    ("rabbitmq_global_messages_delivered_get_manual_ack_total", "counter", |queue| queue.got),
    ("rabbitmq_global_messages_redelivered_total", "counter", |queue| queue.redelivered),
    ("rabbitmq_global_consumers", "gauge", |queue| queue.consumers),
];
const AMQP: &str = "{protocol=\"amqp091\"}";

impl Family {
    /// `family=…&vhost=…`, each as often as wanted. An unknown family gives nothing, as in
    /// RabbitMQ.
    pub(super) fn parse_query(query: &str) -> Selection {
        let (mut families, mut vhosts) = (Vec::new(), Vec::new());
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (key, value) {
                ("family", "queue_coarse_metrics") => families.push(Self::Coarse),
                ("family", "queue_consumer_count") => families.push(Self::Consumers),
                ("family", "queue_metrics" | "queue_delivery_metrics") => {
                    families.extend([Self::Consumers, Self::Delivery]);
                }
                ("vhost", vhost) => vhosts.push(decode(vhost)),
                _ => {}
            }
        }
        families.dedup();
        Selection::Detailed { families, vhosts }
    }

    const fn rows(self) -> &'static [Row] {
        match self {
            Self::Coarse => &COARSE,
            Self::Consumers => &CONSUMERS,
            Self::Delivery => &DELIVERY,
        }
    }
}

/// Adds what is selected.
pub(super) fn write(page: &mut Page, broker: &Broker<'_>, selection: &Selection) {
    let queues = &broker.statistics.queues;
    match selection {
        Selection::Aggregated => {
            write_identity(page, "aggregated");
            write_broker(page, broker);
            for (name, kind, value) in COARSE.iter().chain(&CONSUMERS).chain(&DELIVERY) {
                page.header(name, kind, "As RabbitMQ's, over all queues.");
                page.sample(name, "", total(broker.statistics, *value, kind));
            }
        }
        Selection::PerObject => {
            write_identity(page, "per-object");
            write_broker(page, broker);
            for family in [Family::Coarse, Family::Consumers, Family::Delivery] {
                write_queues(page, "rabbitmq_", family, queues, |_| true);
            }
        }
        Selection::Detailed { families, vhosts } => {
            write_identity(page, "detailed");
            for family in families {
                write_queues(page, "rabbitmq_detailed_", *family, queues, |queue| {
                    vhosts.is_empty() || vhosts.contains(&queue.vhost.to_string())
                });
            }
        }
    }
}

fn write_queues(
    page: &mut Page,
    prefix: &str,
    family: Family,
    queues: &[QueueReport],
    is_wanted: impl Fn(&QueueReport) -> bool,
) {
    for (name, kind, value) in family.rows() {
        let name = format!("{prefix}{}", name.trim_start_matches("rabbitmq_"));
        page.header(&name, kind, "As RabbitMQ's, for each queue.");
        for queue in queues.iter().filter(|queue| is_wanted(queue)) {
            page.sample(&name, &labels(queue, ""), value(&queue.statistics) as f64);
        }
    }
}

fn write_identity(page: &mut Page, endpoint: &str) {
    let mut node = String::new();
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    escape(&mut node, &name);
    let help = "Who this is, in RabbitMQ's labels; the node is the machine.";
    page.header("rabbitmq_identity_info", "gauge", help);
    let identity = format!(
        "{{rabbitmq_node=\"forebay@{node}\",rabbitmq_cluster=\"forebay@{node}\",\
         rabbitmq_cluster_permanent_id=\"forebay@{node}\",rabbitmq_endpoint=\"{endpoint}\"}}"
    );
    page.sample("rabbitmq_identity_info", &identity, 1.0);
    let version = env!("CARGO_PKG_VERSION");
    let help = "Forebay's version, in RabbitMQ's labels.";
    page.header("rabbitmq_build_info", "gauge", help);
    let build = format!(
        "{{rabbitmq_version=\"{version}\",prometheus_plugin_version=\"{version}\",\
         prometheus_client_version=\"{version}\",erlang_version=\"none\",product_name=\"Forebay\",\
         product_version=\"{version}\"}}"
    );
    page.sample("rabbitmq_build_info", &build, 1.0);
}

fn write_broker(page: &mut Page, broker: &Broker<'_>) {
    let closed = broker.connections_opened.saturating_sub(broker.connections);
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let files_max = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let disk = rustix::fs::statvfs(broker.data_dir).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
    let singles = [
        ("rabbitmq_connections", "gauge", broker.connections as f64),
        ("rabbitmq_connections_opened_total", "counter", broker.connections_opened as f64),
        ("rabbitmq_connections_closed_total", "counter", closed as f64),
        ("rabbitmq_channels", "gauge", broker.channels),
        ("rabbitmq_queues", "gauge", broker.statistics.queues.len() as f64),
        ("rabbitmq_consumers", "gauge", total(broker.statistics, |queue| queue.consumers, "gauge")),
        ("rabbitmq_process_open_fds", "gauge", files as f64),
        ("rabbitmq_process_max_fds", "gauge", files_max as f64),
        (
            "rabbitmq_process_resident_memory_bytes",
            "gauge",
            process::resident_memory().unwrap_or(0) as f64,
        ),
        (
            "rabbitmq_resident_memory_limit_bytes",
            "gauge",
            process::memory_limit().unwrap_or(0) as f64,
        ),
        ("rabbitmq_disk_space_available_bytes", "gauge", disk as f64),
        ("rabbitmq_disk_space_available_limit_bytes", "gauge", 0.0),
        ("rabbitmq_erlang_uptime_seconds", "gauge", broker.uptime.as_secs_f64()),
    ];
    for (name, kind, value) in singles {
        page.header(name, kind, "As RabbitMQ's.");
        page.sample(name, "", value);
    }
    let counted = [
        ("rabbitmq_global_messages_received_total", broker.published),
        ("rabbitmq_global_messages_routed_total", broker.published),
        ("rabbitmq_global_messages_confirmed_total", broker.confirmed),
    ];
    for (name, value) in counted {
        page.header(name, "counter", "As RabbitMQ's.");
        page.sample(name, AMQP, value as f64);
    }
    for (name, kind, value) in GLOBAL {
        page.header(name, kind, "As RabbitMQ's.");
        page.sample(name, AMQP, total(broker.statistics, value, kind));
    }
}

/// A sum over all queues; of a counter with those that are gone, so that it never falls.
fn total(statistics: &ShardStatistics, value: Value, kind: &str) -> f64 {
    let sum: u64 = statistics.queues.iter().map(|queue| value(&queue.statistics)).sum();
    let gone = if kind == "counter" { value(&statistics.gone) } else { 0 };
    (sum + gone) as f64
}

/// Percent-decoded.
fn decode(value: &str) -> String {
    let octets = value.as_bytes();
    let (mut decoded, mut index) = (Vec::with_capacity(octets.len()), 0);
    while let Some(octet) = octets.get(index) {
        let pair = value.get(index + 1..index + 3);
        match pair.filter(|_| *octet == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(hex) => {
                decoded.push(hex);
                index += 3;
            }
            None => {
                decoded.push(*octet);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_selects_families_and_virtual_hosts() {
        let selection = Family::parse_query("vhost=%2F&vhost=a&family=queue_coarse_metrics&x=y");
        let expected = Selection::Detailed {
            families: vec![Family::Coarse],
            vhosts: vec!["/".to_owned(), "a".to_owned()],
        };
        assert_eq!(selection, expected);
    }
}
