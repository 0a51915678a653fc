//! `/api/forebay/parked`: messages of a queue that came back and wait for their next delivery: how often
//! and why they came back, and when they are due. They are looked at without being consumed.

use super::api_error::ApiError;
use super::caller::{Caller, Vhost};
use super::context::Admin;
use super::extract::{Path, UnreadBody};
use super::messages::describe_message;
use super::names::object_name;
use super::reply::json_reply;
use super::walk;
use crate::limits::ADMIN_PEEK_MESSAGES_DEFAULT;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::{Access, Object};
use forebay_engine::browse::{Browse, BrowseAction, BrowseFilter, Shown};
use serde_json::{Map, Value, json};

pub(super) async fn peek(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, queue)): Path<(String, String)>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let queue = object_name("queue", &queue)?;
    caller.check_access(&admin, &vhost, Access::Read, Object::Queue(&queue))?;
    let body = body.read().await?;
    body.check_fields(&["count", "runs", "truncate"])?;
    let truncate = body.integer("truncate")?.and_then(|bytes| usize::try_from(bytes).ok());
    let browse = Browse {
        queue,
        runs: walk::runs(&body)?,
        filter: BrowseFilter::default(),
        action: BrowseAction::ShowParked,
        taken_max: walk::count(&body, ADMIN_PEEK_MESSAGES_DEFAULT)?,
        trust_headers: false,
    };
    let page = admin.browse(&caller, vhost, browse).await?;
    let now = admin.inner.clock.now().wall.0;
    let messages = page.shown.iter().map(|shown| {
        let mut message = describe_message(&shown.message, &[], false, truncate);
        message.extend(describe_wait(shown, now));
        Value::Object(message)
    });
    let messages: Vec<Value> = messages.collect();
    let rest = walk::rest(&page.rest);
    Ok(json_reply(&json!({ "examined": page.examined, "messages": messages, "rest": rest })))
}

fn describe_wait(shown: &Shown, now: u64) -> Map<String, Value> {
    let Shown { position, failures, returns, retry, due_in, .. } = shown;
    let fields = [
        ("attempts", (u64::from(*failures) + u64::from(*returns)).into()),
        ("delay_ms", retry.map(|retry| retry.delay).into()),
        ("due_in_ms", (*due_in).into()),
        ("due_at_ms", due_in.map(|due_in| now.saturating_add(due_in)).into()),
        ("failures", (*failures).into()),
        ("last_reason", retry.map(|retry| retry.reason.name()).into()),
        ("position", json!([position.level.0, position.offset.0])),
        ("published_at_ms", shown.message.published_at().0.into()),
        ("returns", (*returns).into()),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}
