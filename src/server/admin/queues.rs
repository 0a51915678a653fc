//! `/api/queues`.

use super::api_error::ApiError;
use super::attention::Attention;
use super::audit;
use super::caller::{Caller, Vhost, VhostAccess};
use super::console::recent_figures::Watched;
use super::context::Admin;
use super::extract::{Path, Query, UnreadBody, condition};
use super::figures::{Figures, put_field};
use super::listing::{Listing, Shortcuts};
use super::names::object_name;
use super::queue_settings;
use super::reply::{json_reply, no_content, put_reply};
use crate::connection::connection_about::ConnectionAbout;
use crate::definitions::table_json;
use crate::lag::QueueLag;
use crate::metrics::{MESSAGE_COUNTERS, QueueRates};
use crate::shard::shard_link::SESSION_CHANNEL;
use crate::system::node_name::node_name;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::{Access, Object};
use forebay_engine::command::Command;
use forebay_engine::event::Reply;
use forebay_engine::model::{ConnectionId, ObjectName, QueueDeclaration, QueueId, TopologyRequest};
use forebay_engine::shard::{HeldBack, QueueReport, QueueState, QueueStatistics};
use forebay_engine::topology::{QueueKind, QueueRecord, Topology};
use forebay_lag::Symptom;
use forebay_wire::{FieldValue, ShortStr};
use serde::Deserialize;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    watched: Option<Extension<Watched>>,
    listing: Listing,
) -> Result<Response, ApiError> {
    queues(&admin, &caller, None, watched.is_some(), listing).await
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    VhostAccess { caller, vhost }: VhostAccess,
    watched: Option<Extension<Watched>>,
    listing: Listing,
) -> Result<Response, ApiError> {
    queues(&admin, &caller, Some(&vhost), watched.is_some(), listing).await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    let missing = || ApiError::not_found(format!("no queue '{name}' in vhost '{vhost}'"));
    let id = admin.catalogue().find_queue(&vhost, &name).map(|record| record.id);
    let id = id.ok_or_else(missing)?;
    let statistics = admin.link().report(Some(id)).await?;
    let queue = statistics.queues.first().ok_or_else(missing)?;
    let mut shown = admin.queue_view().describe(queue);
    let (consumers, active) = admin.consumers_of(id).await?;
    let tags = consumers.as_array().into_iter().flatten();
    let exclusive = tags.clone().find(|consumer| consumer.get("exclusive") == Some(&json!(true)));
    let exclusive = exclusive.and_then(|consumer| consumer.get("consumer_tag")).cloned();
    put_field(&mut shown, "exclusive_consumer_tag", json!(exclusive));
    // Ours: what holds for it and why.
    let defaults = admin.inner.queue_defaults;
    let settings = queue_settings::describe(
        &queue.record,
        &admin.catalogue(),
        defaults,
        &admin.inner.lag.defaults().settings,
    );
    put_field(&mut shown, "settings", settings);
    put_field(&mut shown, "consumer_details", consumers);
    put_field(&mut shown, "single_active_consumer_tag", json!(active));
    Ok(json_reply(&shown))
}

pub(super) async fn declare(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<(String, String)>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    if name.is_empty() {
        return Err(ApiError::bad("queue: the name is empty, expected one of 1 to 255 bytes"));
    }
    caller.check_access(&admin, &vhost, Access::Configure, Object::Queue(&name))?;
    let body = body.read().await?;
    if body.flag("exclusive", false)? {
        let text = "exclusive: true, expected false: an exclusive queue goes with the connection that \
                    declares it";
        return Err(ApiError::bad(text));
    }
    let mut arguments = body.table("arguments")?;
    if let Some(kind) = body.text("queue_type")?.filter(|_| arguments.get(KIND).is_none()) {
        arguments.insert(ShortStr::from_static(KIND), FieldValue::from(kind));
    }
    let request = TopologyRequest::DeclareQueue(QueueDeclaration {
        name: name.clone(),
        durable: body.flag("durable", true)?,
        auto_delete: body.flag("auto_delete", false)?,
        arguments,
        ..QueueDeclaration::default()
    });
    caller.check_request(&admin, &vhost, &request)?;
    let is_new = admin.catalogue().find_queue(&vhost, &name).is_none();
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
        if_unused: condition("if-unused", flags.if_unused.as_deref())?,
        if_empty: condition("if-empty", flags.if_empty.as_deref())?,
    };
    caller.check_request(&admin, &vhost, &request)?;
    admin.check_queue(&vhost, &name)?;
    let messages = admin.request(&caller, vhost.clone(), request).await?;
    audit::tell_of_queue(&caller, "delete", &vhost, &name, messages);
    Ok(no_content())
}

const KIND: &str = "x-queue-type";
/// Ours: how much a queue needs a person. Lists can be sorted by it.
const ATTENTION: &str = "attention";

impl Admin {
    /// A request about the topology, by a caller who was found to be allowed to; how many messages it concerned,
    /// where it says so.
    pub(super) async fn request(
        &self,
        caller: &Caller,
        vhost: ShortStr,
        request: TopologyRequest,
    ) -> Result<Option<u64>, ApiError> {
        let command = Command::Topology { channel: SESSION_CHANNEL, request, nowait: false };
        Ok(match self.link().ask(vhost, caller.name.clone(), command).await? {
            Reply::MessageCount(messages) => Some(messages.into()),
            _ => None,
        })
    }

    /// # Errors
    /// 404 when there is no such queue.
    pub(super) fn check_queue(&self, vhost: &ShortStr, name: &ObjectName) -> Result<(), ApiError> {
        match self.catalogue().find_queue(vhost, name) {
            Some(_) => Ok(()),
            None => Err(ApiError::not_found(format!("no queue '{name}' in vhost '{vhost}'"))),
        }
    }

    fn queue_view(&self) -> QueueView {
        QueueView {
            catalogue: self.catalogue(),
            rates: self.inner.rates.load_full(),
            lag: self.inner.lag.shown(),
            connections: self.link().connections.list().into_iter().collect(),
        }
    }
}

/// Calls the present lag of a queue normal.
pub(super) async fn accept_normal(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    caller.check_access(&admin, &vhost, Access::Configure, Object::Queue(&name))?;
    admin.check_queue(&vhost, &name)?;
    let queue = admin.catalogue().find_queue(&vhost, &name).map(|record| record.id);
    let lag = Arc::clone(&admin.inner.lag);
    let accepted = tokio::task::spawn_blocking(move || lag.accept_normal(queue?)).await;
    match accepted.map_err(|error| ApiError::Unavailable(error.to_string()))? {
        Some(()) => Ok(no_content()),
        None => Err(ApiError::bad(format!(
            "queue '{name}' in vhost '{vhost}' has not been looked at yet; try again in some seconds"
        ))),
    }
}

const NO_ACTION: &str = "expected 'sync' or 'cancel_sync'";

/// There are no mirrors: each of them is always in step.
pub(super) async fn act(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<(String, String)>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    caller.check_access(&admin, &vhost, Access::Configure, Object::Queue(&name))?;
    admin.check_queue(&vhost, &name)?;
    match body.read().await?.required("action")? {
        "sync" | "cancel_sync" => Ok(no_content()),
        other => Err(ApiError::bad(format!("action: '{other}', {NO_ACTION}"))),
    }
}

/// The queues that the caller sees: all, or those of a virtual host.
async fn queues(
    admin: &Admin,
    caller: &Caller,
    vhost: Option<&ShortStr>,
    is_watched: bool,
    listing: Listing,
) -> Result<Response, ApiError> {
    let mut queues = admin.queue_figures(is_watched).await?.queues.clone();
    queues.retain(|queue| {
        let record = &queue.record;
        vhost.is_none_or(|vhost| record.vhost == *vhost) && caller.sees(admin, &record.vhost)
    });
    queues.sort_by(|left, right| {
        let key = |queue: &QueueReport| (queue.record.vhost.clone(), queue.record.name.clone());
        key(left).cmp(&key(right))
    });
    let view = admin.queue_view();
    let columns = QueueColumns { rates: Arc::clone(&view.rates), lag: Arc::clone(&view.lag) };
    listing.reply_knowing(queues, columns, move |queue| view.describe(queue)).await
}

/// What lists of queues are sorted and searched by.
struct QueueColumns {
    rates: Arc<QueueRates>,
    lag: Arc<HashMap<QueueId, QueueLag>>,
}

impl Shortcuts<QueueReport> for QueueColumns {
    fn name(&self, queue: &QueueReport) -> Option<String> {
        Some(queue.record.name.to_string())
    }

    fn compare(&self, column: &str, left: &QueueReport, right: &QueueReport) -> Option<Ordering> {
        let flow = |queue: &QueueReport| self.rates.flow(queue.record.id);
        if column == ATTENTION {
            let attention = |queue: &QueueReport| {
                Attention::of(queue, &flow(queue), self.lag.get(&queue.record.id))
            };
            return Some(attention(left).cmp(&attention(right)));
        }
        if column == "name" {
            return Some(left.record.name.cmp(&right.record.name));
        }
        if let Some(name) = column.strip_prefix("message_stats.") {
            let name = name.strip_suffix("_details.rate")?;
            let at = MESSAGE_COUNTERS.iter().position(|counter| counter.name == name)?;
            let rate = |queue| flow(queue).messages.get(at).copied().unwrap_or_default();
            return Some(rate(left).total_cmp(&rate(right)));
        }
        let number = |QueueReport { statistics, .. }: &QueueReport| match column {
            "consumers" => Some(statistics.consumers),
            "messages" => Some(statistics.ready + statistics.unacked),
            "messages_delayed" => Some(statistics.delayed),
            "messages_ready" => Some(statistics.ready),
            "messages_unacknowledged" => Some(statistics.unacked),
            "messages_parked" => Some(statistics.parked),
            "oldest_message_age_ms" => Some(oldest_age(statistics).map_or(0, |age| age + 1)),
            _ => None,
        };
        Some(number(left)?.cmp(&number(right)?))
    }
}

/// In ms; 0 of an empty queue, nothing while nobody has read the oldest message since the start.
fn oldest_age(statistics: &QueueStatistics) -> Option<u64> {
    let is_empty = statistics.ready + statistics.unacked == 0;
    if is_empty { Some(0) } else { statistics.oldest_age }
}

/// What is shown of queues beside what they report.
struct QueueView {
    catalogue: Arc<Topology>,
    rates: Arc<QueueRates>,
    lag: Arc<HashMap<QueueId, QueueLag>>,
    connections: HashMap<ConnectionId, Arc<ConnectionAbout>>,
}

impl QueueView {
    fn describe(&self, report: &QueueReport) -> Value {
        let QueueReport { record: queue, statistics, state } = report;
        let policy = |name: &Option<ShortStr>| name.as_ref().map(ToString::to_string);
        let flow = self.rates.flow(queue.id);
        let mut shown = json!({
            "arguments": table_json::to_json(&queue.arguments),
            ATTENTION: Attention::of(report, &flow, self.lag.get(&queue.id)).to_json(),
            "auto_delete": queue.auto_delete,
            "consumer_capacity": self.rates.utilisation(report),
            "consumer_utilisation": self.rates.utilisation(report),
            "consumers": statistics.consumers,
            "durable": queue.durable,
            "effective_policy_definition": self.effective_policy(queue),
            "exclusive": queue.exclusive_owner.is_some(),
            "message_bytes": statistics.bytes,
            "message_stats": Figures::of_messages(statistics, &flow).into_json(),
            // Ours; null while nobody has read the oldest message since the start.
            "oldest_message_age_ms": oldest_age(statistics),
            // Ours: groups of which a message is delivered, or came back and is not done.
            "groups_held": statistics.groups_held,
            // Ours; null while no message waits for a retry.
            "next_retry_in_ms": statistics.next_due,
            // Ours: in ms since the epoch; null when nothing is delayed.
            "next_delayed_due_at": statistics.next_delayed.map(|due| due.0),
            "name": queue.name.to_string(),
            "node": node_name(),
            // Ours: what holds messages back which a consumer could take.
            "held_back_by": statistics.held_back.map(HeldBack::name),
            "operator_policy": policy(&queue.operator_policy),
            // Ours: whether somebody has stopped its deliveries, when (in ms since the epoch) and who.
            "paused": queue.pause.is_some(),
            "paused_by": queue.pause.as_ref().map(|pause| pause.by.to_string()),
            "paused_since": queue.pause.as_ref().map(|pause| pause.since.0),
            "policy": policy(&queue.policy),
            // RabbitMQ's word for a queue that can't be served.
            "state": if state.is_damaged() { "crashed" } else { "running" },
            "type": queue.settings.kind.name(),
            "vhost": queue.vhost.to_string(),
        });
        if let Some(lag) = self.lag.get(&queue.id) {
            // Ours: what lag is normal, and what is wrong.
            put_field(&mut shown, "lag", describe_lag(lag, statistics.ready + statistics.unacked));
        }
        if queue.settings.dedup_window.is_some() {
            // Ours: how many keys it remembers, and what came of it.
            let deduplication = json!({
                "duplicates": statistics.deduplicated,
                "keys": statistics.dedup_keys,
                "keys_evicted": statistics.dedup_evicted,
            });
            put_field(&mut shown, "deduplication", deduplication);
        }
        if let QueueState::Damaged(what) = state {
            // Ours: what is damaged.
            put_field(&mut shown, "damage", json!(&**what));
        }
        let mut figures = Figures::default();
        figures.put_messages(statistics, &flow);
        figures.add_to(&mut shown);
        if queue.settings.kind == QueueKind::Quorum {
            put_field(&mut shown, "leader", json!(node_name()));
            put_field(&mut shown, "members", json!([node_name()]));
            put_field(&mut shown, "online", json!([node_name()]));
        }
        if let Some(owner) = queue.exclusive_owner
            && let Some(about) = self.connections.get(&owner)
        {
            let details = json!({
                "name": about.shown_name(owner),
                "peer_host": about.peer.ip().to_canonical().to_string(),
                "peer_port": about.peer.port(),
            });
            put_field(&mut shown, "owner_pid_details", details);
        }
        shown
    }

    fn effective_policy(&self, queue: &QueueRecord) -> Value {
        let (policy, operator) = (queue.policy.as_ref(), queue.operator_policy.as_ref());
        let definition = self.catalogue.effective_definition(&queue.vhost, policy, operator);
        table_json::to_json(&definition)
    }
}

fn describe_lag(lag: &QueueLag, messages: u64) -> Value {
    let now = &lag.assessment;
    let symptoms: Vec<&str> =
        Symptom::ALL.into_iter().filter(|symptom| now.has(*symptom)).map(Symptom::name).collect();
    json!({
        "role": lag.role.name(),
        "symptoms": symptoms,
        "normal_peak": now.normal_peak,
        "ratio": now.ratio(messages),
        "alert_line": now.line,
        "above_line_seconds": now.above_since.map(|since| lag.at.saturating_sub(since)),
        "confidence": now.confidence.name(),
        "history_days": lag.days,
        "drain_seconds": now.drain_seconds,
        "drain_line_seconds": now.drain_line_seconds,
        "needed_seconds": now.needed_seconds,
        "oldest_age_line_seconds": now.age_line_seconds,
        "pause_seconds": now.pause_seconds,
        "pause_line_seconds": now.pause_line_seconds,
        "service_seconds": now.service_seconds,
        "stall_line_seconds": now.stall_line_seconds,
    })
}
