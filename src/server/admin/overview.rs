//! `/api/overview`, `/api/whoami`, `/api/nodes`, `/api/cluster-name`.

use super::api_error::ApiError;
use super::caller::Caller;
use super::queues::message_stats;
use super::{Admin, NODE, json_reply};
use crate::alarms::Alarm;
use crate::metrics::process;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::shard::QueueStatistics;
use serde_json::json;

/// What RabbitMQ's API it is: tools compare it.
const MANAGEMENT_VERSION: &str = "3.13.0";

pub(super) async fn overview(
    State(admin): State<Admin>,
    _caller: Caller,
) -> Result<Response, ApiError> {
    let exchanges = admin.link().look(|shard| {
        let topology = shard.topology();
        topology.vhosts().map(|vhost| topology.exchanges(vhost).count() + 1).sum::<usize>()
    });
    let exchanges = exchanges.await?;
    let statistics = admin.link().report(None).await?;
    let mut sum = statistics.gone;
    for queue in &statistics.queues {
        add(&mut sum, &queue.statistics);
    }
    let connections = admin.link().connections.list();
    let channels = connections.iter().map(|(_, about)| about.channels().len()).sum::<usize>();
    Ok(json_reply(&json!({
        "cluster_name": "forebay",
        "exchange_types": [],
        "management_version": MANAGEMENT_VERSION,
        "message_stats": message_stats(&sum, &admin.inner.rates.load().total_flow()),
        "node": NODE,
        "object_totals": {
            "channels": channels,
            "connections": connections.len(),
            "consumers": sum.consumers,
            "exchanges": exchanges,
            "queues": statistics.queues.len(),
        },
        "product_name": admin.inner.product.name,
        "product_version": admin.inner.product.version,
        "queue_totals": {
            "messages": sum.ready + sum.unacked,
            "messages_ready": sum.ready,
            "messages_unacknowledged": sum.unacked,
        },
        "rabbitmq_version": MANAGEMENT_VERSION,
        "rates_mode": "basic",
        "statistics_db_event_queue": 0,
    })))
}

pub(super) async fn whoami(caller: Caller) -> Response {
    json_reply(&json!({ "name": caller.name.to_string(), "tags": caller.tags }))
}

pub(super) async fn nodes(
    State(admin): State<Admin>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.check_monitoring()?;
    let alarms = &admin.inner.alarms;
    let limits = alarms.limits();
    Ok(json_reply(&json!([{
        "disk_free_alarm": alarms.is_raised(Alarm::Disk),
        "disk_free_limit": limits.disk_free_min,
        "mem_alarm": alarms.is_raised(Alarm::Memory),
        "mem_limit": limits.memory_max,
        "mem_used": process::resident_memory(),
        "name": NODE,
        "running": true,
        "type": "disc",
    }])))
}

pub(super) async fn cluster_name(_caller: Caller) -> Response {
    json_reply(&json!({ "name": "forebay" }))
}

fn add(sum: &mut QueueStatistics, queue: &QueueStatistics) {
    sum.ready += queue.ready;
    sum.unacked += queue.unacked;
    sum.consumers += queue.consumers;
    sum.published += queue.published;
    sum.delivered += queue.delivered;
    sum.delivered_no_ack += queue.delivered_no_ack;
    sum.redelivered += queue.redelivered;
    sum.got += queue.got;
    sum.acked += queue.acked;
}
