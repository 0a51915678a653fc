//! `/api/queues`.

use super::api_error::ApiError;
use super::caller::{Caller, Vhost, Visit};
use super::listing::Listing;
use super::request_body::RequestBody;
use super::session::SESSION_CHANNEL;
use super::{Admin, NODE, json_reply, no_content, object_name, put_reply, table_json};
use crate::metrics::{Flow, QueueRates};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use forebay_engine::command::{Command, TopologyRequest};
use forebay_engine::object_name::ObjectName;
use forebay_engine::shard::{QueueReport, QueueStatistics};
use forebay_engine::topology::{QueueKind, QueueRecord};
use forebay_wire::{FieldValue, ShortStr};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(queues(&admin, &caller, None).await?)
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    Visit { caller, vhost }: Visit,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(queues(&admin, &caller, Some(&vhost)).await?)
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Visit { vhost, .. }: Visit,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    let (there, wanted) = (vhost.clone(), name.clone());
    let id = admin
        .link()
        .look(move |shard| shard.topology().find_queue(&there, &wanted).map(|record| record.id));
    let missing = || ApiError::not_found(format!("no queue '{name}' in vhost '{vhost}'"));
    let id = id.await?.ok_or_else(missing)?;
    let statistics = admin.link().report(Some(id)).await?;
    let queue = statistics.queues.first().ok_or_else(missing)?;
    Ok(json_reply(&describe(queue, &admin.inner.rates.load())))
}

pub(super) async fn declare(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    if name.is_empty() {
        return Err(ApiError::bad("queue: the name is empty, expected one of 1 to 255 octets"));
    }
    let body = RequestBody::parse(&body)?;
    let mut arguments = body.table("arguments")?;
    if let Some(kind) = body.text("queue_type")?.filter(|_| arguments.get(KIND).is_none()) {
        arguments.insert(ShortStr::from_static(KIND), FieldValue::from(kind));
    }
    let request = TopologyRequest::DeclareQueue {
        name: name.clone(),
        is_generated: false,
        passive: false,
        durable: body.flag("durable", true)?,
        exclusive: false,
        auto_delete: body.flag("auto_delete", false)?,
        arguments,
    };
    caller.check_request(&admin, &vhost, &request)?;
    let (there, queue) = (vhost.clone(), name);
    let is_new =
        admin.link().look(move |shard| shard.topology().find_queue(&there, &queue).is_none());
    let is_new = is_new.await?;
    admin.request(&caller, vhost, request).await?;
    Ok(put_reply(is_new))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct DeleteFlags {
    #[serde(rename = "if-unused", default)]
    if_unused: Option<String>,
    #[serde(rename = "if-empty", default)]
    if_empty: Option<String>,
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<(String, String)>,
    Query(flags): Query<DeleteFlags>,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    let request = TopologyRequest::DeleteQueue {
        name: name.clone(),
        if_unused: flags.if_unused.as_deref() == Some("true"),
        if_empty: flags.if_empty.as_deref() == Some("true"),
    };
    caller.check_request(&admin, &vhost, &request)?;
    admin.check_queue(&vhost, &name).await?;
    admin.request(&caller, vhost, request).await?;
    Ok(no_content())
}

const KIND: &str = "x-queue-type";

impl Admin {
    /// A request about the topology, by a caller who was found to be allowed to.
    pub(super) async fn request(
        &self,
        caller: &Caller,
        vhost: ShortStr,
        request: TopologyRequest,
    ) -> Result<(), ApiError> {
        let command = Command::Topology { channel: SESSION_CHANNEL, request, nowait: false };
        self.link().ask(vhost, caller.name.clone(), command).await?;
        Ok(())
    }

    /// # Errors
    /// 404 when there is no such queue.
    pub(super) async fn check_queue(
        &self,
        vhost: &ShortStr,
        name: &ObjectName,
    ) -> Result<(), ApiError> {
        let (there, queue) = (vhost.clone(), name.clone());
        let found =
            self.link().look(move |shard| shard.topology().find_queue(&there, &queue).is_some());
        if found.await? {
            return Ok(());
        }
        Err(ApiError::not_found(format!("no queue '{name}' in vhost '{vhost}'")))
    }
}

/// The queues that the caller sees: all, or those of a virtual host.
async fn queues(
    admin: &Admin,
    caller: &Caller,
    vhost: Option<&ShortStr>,
) -> Result<Vec<Value>, ApiError> {
    let statistics = admin.link().report(None).await?;
    let rates = admin.inner.rates.load();
    let is_seen = |record: &QueueRecord| {
        vhost.is_none_or(|vhost| record.vhost == *vhost) && caller.sees(admin, &record.vhost)
    };
    let mut seen: Vec<_> =
        statistics.queues.iter().filter(|queue| is_seen(&queue.record)).collect();
    seen.sort_by_key(|queue| (&queue.record.vhost, &queue.record.name));
    Ok(seen.into_iter().map(|queue| describe(queue, &rates)).collect())
}

fn describe(report: &QueueReport, rates: &QueueRates) -> Value {
    let QueueReport { record: queue, statistics } = report;
    let kind = match queue.settings.kind {
        QueueKind::Classic => "classic",
        QueueKind::Quorum => "quorum",
    };
    let messages = statistics.ready + statistics.unacked;
    let oldest_age = if messages == 0 { Some(0) } else { statistics.oldest_age };
    let policy = |name: &Option<ShortStr>| name.as_ref().map(ToString::to_string);
    json!({
        "arguments": table_json::to_json(&queue.arguments),
        "auto_delete": queue.auto_delete,
        "consumers": statistics.consumers,
        "durable": queue.durable,
        "exclusive": queue.exclusive_owner.is_some(),
        "message_bytes": statistics.octets,
        "message_stats": message_stats(statistics, &rates.flow(queue.id)),
        "messages": messages,
        "messages_ready": statistics.ready,
        "messages_unacknowledged": statistics.unacked,
        // Ours; null while nobody has read the oldest message since the start.
        "oldest_message_age_ms": oldest_age,
        "name": queue.name.to_string(),
        "node": NODE,
        "operator_policy": policy(&queue.operator_policy),
        "policy": policy(&queue.policy),
        "state": "running",
        "type": kind,
        "vhost": queue.vhost.to_string(),
    })
}

pub(super) fn message_stats(statistics: &QueueStatistics, flow: &Flow) -> Value {
    let got = statistics.got;
    json!({
        "ack": statistics.acked,
        "ack_details": { "rate": flow.acked },
        "deliver_get": statistics.delivered,
        "deliver_get_details": { "rate": flow.delivered },
        "deliver": statistics.delivered.saturating_sub(statistics.delivered_no_ack),
        "deliver_no_ack": statistics.delivered_no_ack,
        "get": got,
        "publish": statistics.published,
        "publish_details": { "rate": flow.published },
        "redeliver": statistics.redelivered,
        "redeliver_details": { "rate": flow.redelivered },
    })
}
