//! `/api/queues/VHOST/QUEUE/trace`: what happened to the last messages of a queue that keeps it (`x-trace`).
//! The shard is asked for a part at a time, so that other clients come in between.

use super::api_error::ApiError;
use super::caller::{Caller, Vhost};
use super::context::Admin;
use super::extract::{Path, Query};
use super::names::object_name;
use super::reply::json_reply;
use crate::limits::{ADMIN_TRACE_MESSAGES_DEFAULT, ADMIN_TRACE_MESSAGES_MAX};
use crate::shard::shard_link::{SESSION_CHANNEL, Session, SessionError};
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::{Access, Object};
use forebay_engine::command::Command;
use forebay_engine::event::Reply;
use forebay_engine::limits::{LIFE_EVENTS_FIRST, TRACE_PAGE_MAX};
use forebay_engine::model::Party;
use forebay_engine::trace::{Happening, Life, LifeEvent, LifeNumber, TracePage};
use forebay_engine::trace_request::TraceRequest;
use forebay_wire::ShortStr;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Only messages with this `message-id`.
    #[serde(rename = "message-id")]
    message_id: Option<String>,
    /// So many at most.
    limit: Option<usize>,
    /// Only those below this number, as an earlier answer had it in `next`.
    before: Option<u64>,
}

pub(super) async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let queue = object_name("queue", &name)?;
    caller.check_access(&admin, &vhost, Access::Read, Object::Queue(&queue))?;
    let limit = wanted.limit.unwrap_or(ADMIN_TRACE_MESSAGES_DEFAULT);
    if !(1..=ADMIN_TRACE_MESSAGES_MAX).contains(&limit) {
        let text = format!("limit: {limit}, expected 1 to {ADMIN_TRACE_MESSAGES_MAX}");
        return Err(ApiError::bad(text));
    }
    let message_id = match wanted.message_id.as_deref().map(ShortStr::try_from) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(error)) => return Err(ApiError::bad(format!("message-id: {error}"))),
    };
    let below = wanted.before.map(LifeNumber);
    let request = TraceRequest { queue, message_id, below, count_max: limit };
    let (link, user) = (admin.link(), caller.name.clone());
    let reads =
        link.in_session(vhost.clone(), user, move |session| Box::pin(read(session, request)));
    let page: TracePage = reads.await?;
    let shown = json!({
        "messages": page.lives.iter().map(describe).collect::<Vec<_>>(),
        "messages_max": page.lives_max,
        "name": name,
        "next": page.next.map(|next| next.0),
        "since_ms": page.since.0,
        "vhost": vhost.to_string(),
    });
    Ok(json_reply(&shown))
}

/// Asks until there is enough, or no more.
async fn read(session: &mut Session, request: TraceRequest) -> Result<TracePage, SessionError> {
    let mut found: Option<TracePage> = None;
    loop {
        let known = found.as_ref().map_or(0, |page| page.lives.len());
        let below = found.as_ref().map_or(request.below, |page| page.next);
        let count_max = (request.count_max - known).min(TRACE_PAGE_MAX);
        let part = Box::new(TraceRequest { below, count_max, ..request.clone() });
        let command = Command::Trace { channel: SESSION_CHANNEL, request: part };
        let Reply::Trace(page) = session.ask(command).await? else {
            return Err(SessionError::Stopping);
        };
        let page = match found.take() {
            None => *page,
            Some(mut before) => {
                before.lives.extend(page.lives);
                TracePage { lives: before.lives, ..*page }
            }
        };
        if page.next.is_none() || page.lives.len() >= request.count_max {
            return Ok(page);
        }
        found = Some(page);
    }
}

fn describe(life: &Life) -> Value {
    let position = life.position.map(|position| json!([position.level.0, position.offset.0]));
    let mut events: Vec<Value> = life.events.iter().map(describe_event).collect();
    if life.omitted > 0 {
        let place = LIFE_EVENTS_FIRST.min(events.len());
        events.insert(place, json!({ "count": life.omitted, "event": "omitted" }));
    }
    json!({
        "delayed_id": life.delayed.map(|id| id.to_string()),
        "events": events,
        "exchange": life.exchange.to_string(),
        "message_id": life.message_id.as_ref().map(ToString::to_string),
        "number": life.number.0,
        "payload_bytes": life.size,
        "position": position,
        "routing_key": life.routing_key.to_string(),
    })
}

fn describe_event(event: &LifeEvent) -> Value {
    let mut shown = Map::new();
    shown.insert("at_ms".to_owned(), event.at.0.into());
    shown.insert("event".to_owned(), event.what.name().into());
    let details: Vec<(&str, Value)> = match &event.what {
        Happening::Published { by } => vec![("by", describe_party(by.as_ref()))],
        Happening::Repeated { by } => vec![("by", describe_party(Some(by)))],
        Happening::Scheduled { by } => vec![("schedule", by.to_string().into())],
        Happening::CameAsDeadLetter { from, reason } => {
            vec![("from", from.to_string().into()), ("reason", reason.name().into())]
        }
        Happening::CameRedriven { from } => vec![("from", from.to_string().into())],
        Happening::Delayed { until } => vec![("until_ms", until.0.into())],
        Happening::Delivered { to, consumer, attempt, is_redelivered, is_settled } => vec![
            ("attempt", (*attempt).into()),
            ("consumer_tag", consumer.as_ref().map(ToString::to_string).into()),
            ("no_ack", (*is_settled).into()),
            ("redelivered", (*is_redelivered).into()),
            ("to", describe_party(to.as_ref())),
        ],
        Happening::Acknowledged { is_late } | Happening::Rejected { is_late } => {
            vec![("late", (*is_late).into())]
        }
        Happening::CameBack { cause } => vec![("reason", cause.name().into())],
        Happening::Parked { until, delay } => {
            vec![("delay_ms", (*delay).into()), ("until_ms", until.0.into())]
        }
        Happening::Died { reason, is_dead_letter } => {
            vec![("dropped", (!is_dead_letter).into()), ("reason", reason.name().into())]
        }
        Happening::DeadLettered { exchange, queues } => {
            let queues: Vec<String> = queues.iter().map(ToString::to_string).collect();
            vec![("exchange", exchange.to_string().into()), ("queues", queues.into())]
        }
        Happening::Redriven { to } => vec![("to_queue", to.to_string().into())],
        Happening::Due
        | Happening::Cancelled
        | Happening::Refused
        | Happening::HeldByGroup
        | Happening::Ready
        | Happening::Quarantined
        | Happening::Purged => Vec::new(),
    };
    shown.extend(details.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(shown)
}

/// Who did it; null where that is not known. The connection is null where an operator did, over HTTP.
fn describe_party(party: Option<&Party>) -> Value {
    let Some(Party { channel, identity, .. }) = party else { return Value::Null };
    let has_connection = !identity.connection.is_empty();
    let connection = has_connection.then(|| identity.connection.to_string());
    json!({
        "channel": has_connection.then_some(channel.0),
        "connection": connection,
        "connection_name": identity.client_name.as_ref().map(ToString::to_string),
        "user": identity.user.to_string(),
    })
}
