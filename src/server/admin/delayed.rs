//! `/api/queues/VHOST/QUEUE/delayed`: messages that wait for a time of their own: to list them, to cancel
//! them, to have them delivered now. Nothing is kept here between two requests: a list says in `next` where
//! the next page begins.

use super::api_error::ApiError;
use super::audit;
use super::caller::{Caller, Vhost};
use super::context::Admin;
use super::extract::{Path, Query};
use super::messages::describe_message;
use super::names::object_name;
use super::reply::json_reply;
use crate::limits::{ADMIN_DELAYED_MESSAGES_DEFAULT, ADMIN_DELAYED_MESSAGES_MAX};
use crate::shard::shard_link::SESSION_CHANNEL;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::{Access, Object};
use forebay_engine::command::Command;
use forebay_engine::delayed_request::{DelayedAction, DelayedFate, DelayedPage, DelayedRequest};
use forebay_engine::event::Reply;
use forebay_engine::model::{DelayedId, ObjectName};
use forebay_wire::ShortStr;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a list may be told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Only messages behind this one.
    after: Option<String>,
    /// So many at most.
    count: Option<usize>,
    /// Bytes of each body at most.
    truncate: Option<usize>,
}

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, queue)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let queue = object_name("queue", &queue)?;
    caller.check_access(&admin, &vhost, Access::Read, Object::Queue(&queue))?;
    let after = wanted.after.as_deref().map(id).transpose()?;
    let count_max = wanted.count.unwrap_or(ADMIN_DELAYED_MESSAGES_DEFAULT);
    if !(1..=ADMIN_DELAYED_MESSAGES_MAX).contains(&count_max) {
        let text = format!("count: {count_max}, expected 1 to {ADMIN_DELAYED_MESSAGES_MAX}");
        return Err(ApiError::bad(text));
    }
    let action = DelayedAction::List { after, count_max };
    let page = admin.request_delayed(&caller, vhost, queue, action).await?;
    let next = page.listed.last().filter(|_| !page.is_end).map(|listed| listed.id.to_string());
    let messages = page.listed.iter().map(|listed| {
        let mut shown = describe_message(&listed.message, &[], false, wanted.truncate);
        shown.insert("id".to_owned(), listed.id.to_string().into());
        shown.insert("due_at".to_owned(), listed.due.0.into());
        Value::Object(shown)
    });
    let messages: Vec<Value> = messages.collect();
    Ok(json_reply(&json!({ "messages": messages, "next": next })))
}

pub(super) async fn cancel(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, queue, id)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let action = DelayedAction::One(self::id(&id)?, DelayedFate::Cancelled);
    admin.end_delayed(&caller, vhost, &queue, action, "cancelled").await
}

pub(super) async fn cancel_all(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, queue)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let action = DelayedAction::All(DelayedFate::Cancelled);
    admin.end_delayed(&caller, vhost, &queue, action, "cancelled").await
}

pub(super) async fn deliver(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, queue, id)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let action = DelayedAction::One(self::id(&id)?, DelayedFate::Delivered);
    admin.check_may_publish()?;
    admin.end_delayed(&caller, vhost, &queue, action, "delivered").await
}

pub(super) async fn deliver_all(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, queue)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let action = DelayedAction::All(DelayedFate::Delivered);
    admin.check_may_publish()?;
    admin.end_delayed(&caller, vhost, &queue, action, "delivered").await
}

fn id(text: &str) -> Result<DelayedId, ApiError> {
    text.parse().map_err(|error| ApiError::bad(format!("'{text}': {error}")))
}

impl Admin {
    /// Ends the wait of messages. Who may take a queue's messages out may do that with those to come.
    async fn end_delayed(
        &self,
        caller: &Caller,
        vhost: ShortStr,
        queue: &str,
        action: DelayedAction,
        counted: &str,
    ) -> Result<Response, ApiError> {
        let queue = object_name("queue", queue)?;
        caller.check_access(self, &vhost, Access::Read, Object::Queue(&queue))?;
        let page = self.request_delayed(caller, vhost.clone(), queue.clone(), action).await?;
        let act = if counted == "cancelled" { "cancel delayed" } else { "deliver delayed now" };
        audit::tell_of_queue(caller, act, &vhost, &queue, Some(page.ended));
        Ok(json_reply(&json!({ counted: page.ended })))
    }

    async fn request_delayed(
        &self,
        caller: &Caller,
        vhost: ShortStr,
        queue: ObjectName,
        action: DelayedAction,
    ) -> Result<DelayedPage, ApiError> {
        let request = Box::new(DelayedRequest { queue, action });
        let command = Command::Delayed { channel: SESSION_CHANNEL, request };
        match self.link().ask(vhost, caller.name.clone(), command).await? {
            Reply::Delayed(page) => Ok(*page),
            _ => Ok(DelayedPage::default()),
        }
    }
}
