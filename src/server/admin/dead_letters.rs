//! `/api/forebay/dead-letters`: which queues take dead letters and why those died, looking at them
//! without consuming them, and sending them back to where they died.
//!
//! A request does one step of a walk ([`Browse`]) and says in `rest` what is left; who wants more
//! sends that back as `runs`. Nothing is kept here between two requests. A redrive at a rate goes on by itself
//! ([`super::redrives`]).

use super::api_error::ApiError;
use super::audit;
use super::caller::{Caller, Vhost, VhostAccess};
use super::context::Admin;
use super::extract::{Path, UnreadBody};
use super::listing::Listing;
use super::messages::describe_message;
use super::names::{object_name, short};
use super::reply::{json_reply, no_content};
use super::request_body::RequestBody;
use super::walk;
use crate::limits::{ADMIN_PEEK_MESSAGES_DEFAULT, ADMIN_REDRIVE_RATE_MAX};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use forebay_engine::access::{Access, Object};
use forebay_engine::browse::{
    Browse, BrowseAction, BrowseFilter, BrowsePage, RedriveOutcome, Shown,
};
use forebay_engine::limits::BROWSE_MESSAGES_MAX;
use forebay_engine::model::{Message, ObjectName};
use forebay_engine::topology::QueueRecord;
use forebay_wire::ShortStr;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Named = (String, String);

/// Fields of both requests below.
const FILTER: [&str; 6] = ["count", "header", "queue", "reason", "routing_key", "runs"];

/// Why messages die, as `x-death` has it.
const REASONS: [&str; 4] = ["rejected", "expired", "maxlen", "delivery_limit"];

/// Messages of each dead-letter queue, by name.
type Counts = BTreeMap<ShortStr, u64>;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    let catalogue = admin.catalogue();
    let mut found = Vec::new();
    for vhost in catalogue.vhosts().filter(|vhost| caller.sees(&admin, vhost)) {
        found.extend(dead_letter_queues(&admin, &caller, vhost.clone()).await?);
    }
    listing.reply(found, Value::clone).await
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    VhostAccess { caller, vhost }: VhostAccess,
    listing: Listing,
) -> Result<Response, ApiError> {
    listing.reply(dead_letter_queues(&admin, &caller, vhost).await?, Value::clone).await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    VhostAccess { caller, vhost }: VhostAccess,
    Path((_, queue)): Path<Named>,
) -> Result<Response, ApiError> {
    let queue = object_name("queue", &queue)?;
    let messages = admin.ready_in(&vhost, &queue).await?;
    Ok(json_reply(&admin.describe_dead_letters(&caller, &vhost, &queue, messages).await?))
}

pub(super) async fn peek(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, queue)): Path<Named>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let queue = object_name("queue", &queue)?;
    caller.check_access(&admin, &vhost, Access::Read, Object::Queue(&queue))?;
    let body = body.read().await?;
    body.check_fields(&[&FILTER[..], &["truncate"]].concat())?;
    let truncate = body.integer("truncate")?.and_then(|bytes| usize::try_from(bytes).ok());
    let browse = browse(queue, &body, BrowseAction::Show, ADMIN_PEEK_MESSAGES_DEFAULT)?;
    let page = admin.browse(&caller, vhost, browse).await?;
    let messages = page.shown.iter().map(|Shown { position, message, .. }| {
        let mut shown = describe_message(message, &[], false, truncate);
        shown.insert("position".to_owned(), json!([position.level.0, position.offset.0]));
        shown.insert("dead_since".to_owned(), message.published_at().0.into());
        shown.insert("death".to_owned(), death(message));
        Value::Object(shown)
    });
    let messages: Vec<Value> = messages.collect();
    let rest = walk::rest(&page.rest);
    Ok(json_reply(&json!({ "examined": page.examined, "messages": messages, "rest": rest })))
}

pub(super) async fn redrive(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, queue)): Path<Named>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let queue = object_name("queue", &queue)?;
    admin.check_may_redrive(&caller, &vhost, &queue)?;
    let body = body.read().await?;
    body.check_fields(&[&FILTER[..], &["dry_run", "rate", "trust_headers"]].concat())?;
    if let Some(rate) = rate(&body)? {
        return redrive_at_rate(&admin, caller, vhost, queue, &body, rate).await;
    }
    let is_dry = body.flag("dry_run", false)?;
    if !is_dry {
        // What is moved is written once more.
        admin.check_may_publish()?;
    }
    let trust_headers = body.flag("trust_headers", false)?;
    let action = if is_dry { BrowseAction::Count } else { BrowseAction::Redrive };
    let browse =
        Browse { trust_headers, ..browse(queue.clone(), &body, action, BROWSE_MESSAGES_MAX)? };
    let page = admin.browse(&caller, vhost.clone(), browse).await?;
    let redriven = count(&page, |outcome| outcome == RedriveOutcome::Redriven);
    if !is_dry && redriven > 0 {
        audit::tell_of_queue(&caller, "redrive", &vhost, &queue, Some(redriven));
    }
    Ok(json_reply(&json!({
        "deaths": deaths(&page),
        "dry_run": is_dry,
        "examined": page.examined,
        "redriven": redriven,
        "rest": walk::rest(&page.rest),
        "skipped": skipped(&page),
        "stayed": page.taken() - redriven,
    })))
}

/// Begins a redrive that the broker goes on with.
async fn redrive_at_rate(
    admin: &Admin,
    caller: Caller,
    vhost: ShortStr,
    queue: ObjectName,
    body: &RequestBody,
    rate: u64,
) -> Result<Response, ApiError> {
    // It has a step of its own, and moves what it finds.
    if let Some(field) = ["count", "dry_run"].into_iter().find(|field| body.get(field).is_some()) {
        return Err(ApiError::bad(format!("{field}: has no effect beside rate; leave one out")));
    }
    let messages = admin.ready_in(&vhost, &queue).await?;
    let trust_headers = body.flag("trust_headers", false)?;
    let walk = browse(queue, body, BrowseAction::Redrive, BROWSE_MESSAGES_MAX)?;
    let walk = Browse { trust_headers, ..walk };
    let described = admin.begin_redrive(caller, vhost, walk, rate, messages)?;
    Ok((StatusCode::ACCEPTED, json_reply(&described)).into_response())
}

/// The last redrive at a rate of a queue, or null.
pub(super) async fn show_redrive(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
    Path((_, queue)): Path<Named>,
) -> Result<Response, ApiError> {
    let queue = object_name("queue", &queue)?.into_short();
    let redrive = admin.inner.redrives.of(&vhost, &queue);
    Ok(json_reply(&redrive.map_or(Value::Null, |redrive| redrive.describe())))
}

pub(super) async fn stop_redrive(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, queue)): Path<Named>,
) -> Result<Response, ApiError> {
    let queue = object_name("queue", &queue)?;
    admin.check_may_redrive(&caller, &vhost, &queue)?;
    let redrive = admin.inner.redrives.of(&vhost, &queue.clone().into_short());
    let missing = || {
        ApiError::not_found(format!("no redrive at a rate of queue '{queue}' in vhost '{vhost}'"))
    };
    redrive.ok_or_else(missing)?.stop();
    Ok(no_content())
}

impl Admin {
    /// # Errors
    /// 401 unless the caller may do what a client needs that takes messages out and publishes them to their
    /// queues.
    pub(super) fn check_may_redrive(
        &self,
        caller: &Caller,
        vhost: &ShortStr,
        queue: &ObjectName,
    ) -> Result<(), ApiError> {
        caller.check_access(self, vhost, Access::Read, Object::Queue(queue))?;
        caller.check_access(self, vhost, Access::Write, Object::Exchange(&ObjectName::EMPTY))
    }

    /// Messages ready in a shared queue.
    ///
    /// # Errors
    /// 404 when it is not there.
    async fn ready_in(&self, vhost: &ShortStr, queue: &ObjectName) -> Result<u64, ApiError> {
        let missing = || ApiError::not_found(format!("no queue '{queue}' in vhost '{vhost}'"));
        let catalogue = self.catalogue();
        let record = catalogue.find_queue(vhost, queue);
        let shared = record.filter(|record| record.exclusive_owner.is_none());
        let id = shared.ok_or_else(missing)?.id;
        let statistics = self.link().report(Some(id)).await?;
        Ok(statistics.queues.first().ok_or_else(missing)?.statistics.ready)
    }

    async fn describe_dead_letters(
        &self,
        caller: &Caller,
        vhost: &ShortStr,
        queue: &ShortStr,
        messages: u64,
    ) -> Result<Value, ApiError> {
        let step = Browse {
            queue: queue.into(),
            runs: None,
            filter: BrowseFilter::default(),
            action: BrowseAction::Count,
            taken_max: BROWSE_MESSAGES_MAX,
            trust_headers: false,
        };
        let page = self.browse(caller, vhost.clone(), step).await?;
        let now = self.inner.clock.now().wall.0;
        Ok(json!({
            "deaths": deaths(&page),
            "examined": page.examined,
            "may_redrive": self.check_may_redrive(caller, vhost, &queue.into()).is_ok(),
            "messages": messages,
            "name": queue.to_string(),
            "oldest_age_ms": page.oldest.map(|stamp| now.saturating_sub(stamp.0)),
            "redrive": self.inner.redrives.of(vhost, queue).map(|redrive| redrive.describe()),
            "vhost": vhost.to_string(),
        }))
    }
}

async fn dead_letter_queues(
    admin: &Admin,
    caller: &Caller,
    vhost: ShortStr,
) -> Result<Vec<Value>, ApiError> {
    let (catalogue, there) = (admin.catalogue(), vhost.clone());
    let names = tokio::task::spawn_blocking(move || catalogue.dead_letter_queues(&there));
    let names = names.await.map_err(|error| ApiError::Unavailable(error.to_string()))?;
    let mut counts = ready(admin, &vhost).await?;
    counts.retain(|name, _| names.contains(name));
    let mut queues = Vec::new();
    for (name, messages) in counts {
        match admin.describe_dead_letters(caller, &vhost, &name, messages).await {
            // One that was deleted meanwhile.
            Err(ApiError::NotFound(_)) => {}
            described => queues.push(described?),
        }
    }
    Ok(queues)
}

/// Messages ready in each shared queue of a virtual host.
async fn ready(admin: &Admin, vhost: &ShortStr) -> Result<Counts, ApiError> {
    let queues = admin.link().report(None).await?.queues.into_iter();
    let is_wanted =
        |record: &QueueRecord| record.vhost == *vhost && record.exclusive_owner.is_none();
    let wanted = queues.filter(|queue| is_wanted(&queue.record));
    Ok(wanted.map(|queue| (queue.record.name.clone(), queue.statistics.ready)).collect())
}

fn browse(
    queue: ObjectName,
    body: &RequestBody,
    action: BrowseAction,
    count_default: usize,
) -> Result<Browse, ApiError> {
    let count = walk::count(body, count_default)?;
    let (runs, filter) = (walk::runs(body)?, filter(body)?);
    Ok(Browse { queue, runs, filter, action, taken_max: count, trust_headers: false })
}

fn filter(body: &RequestBody) -> Result<BrowseFilter, ApiError> {
    let name = |key: &str| body.text(key)?.map(|text| short(key, text)).transpose();
    let header = match body.get("header") {
        None => None,
        Some(Value::Object(header)) => header_filter(header)?,
        Some(other) => return Err(wrong_header(other)),
    };
    let (queue, reason) = (name("queue")?, name("reason")?);
    if let Some(other) =
        reason.as_ref().filter(|reason| !REASONS.iter().any(|one| **reason == *one))
    {
        let text = format!("reason: '{other}', expected one of {}", REASONS.join(", "));
        return Err(ApiError::bad(text));
    }
    Ok(BrowseFilter { queue, reason, routing_key: name("routing_key")?, header })
}

fn header_filter(header: &Map<String, Value>) -> Result<Option<(ShortStr, String)>, ApiError> {
    let mut entries = header.iter();
    match (entries.next(), entries.next()) {
        (None, _) => Ok(None),
        (Some((name, Value::String(value))), None) => {
            Ok(Some((short("header", name)?, value.clone())))
        }
        _ => Err(wrong_header(&Value::Object(header.clone()))),
    }
}

fn wrong_header(found: &Value) -> ApiError {
    ApiError::bad(format!("header: {found}, expected one name with a string, as {{\"n\": \"v\"}}"))
}

/// The last death as the broker knows it, whatever the headers say; null when it knows none.
fn death(message: &Message) -> Value {
    message.origins().first().map_or(Value::Null, |origin| {
        json!({
            "exchange": origin.exchange.to_string(),
            "queue": origin.queue.to_string(),
            "reason": origin.reason.to_string(),
            "routing_key": origin.routing_key.to_string(),
        })
    })
}

fn deaths(page: &BrowsePage) -> Value {
    let text = |name: &Option<ShortStr>| name.as_ref().map(ToString::to_string);
    let groups = page.groups.iter().map(|(group, messages)| {
        let way_back = match group.outcome {
            RedriveOutcome::Redriven => "open",
            RedriveOutcome::NoOrigin => "no_origin",
            RedriveOutcome::Unproven => "unproven",
            RedriveOutcome::QueueGone => "queue_gone",
            RedriveOutcome::QueueFull => "queue_full",
        };
        json!({
            "messages": messages,
            "queue": text(&group.queue),
            "reason": text(&group.reason),
            "way_back": way_back,
        })
    });
    groups.collect()
}

/// Messages a second at most, when the broker is to go on by itself.
fn rate(body: &RequestBody) -> Result<Option<u64>, ApiError> {
    let Some(rate) = body.integer("rate")? else { return Ok(None) };
    let known = u64::try_from(rate).ok().filter(|rate| (1..=ADMIN_REDRIVE_RATE_MAX).contains(rate));
    let wrong =
        || ApiError::bad(format!("rate: {rate}, expected 1 to {ADMIN_REDRIVE_RATE_MAX} a second"));
    known.ok_or_else(wrong).map(Some)
}

/// Messages that stayed because only their header tells of their death.
pub(super) fn skipped(page: &BrowsePage) -> u64 {
    count(page, |outcome| outcome == RedriveOutcome::Unproven)
}

pub(super) fn count(page: &BrowsePage, is_counted: impl Fn(RedriveOutcome) -> bool) -> u64 {
    let groups = page.groups.iter();
    groups.filter(|(group, _)| is_counted(group.outcome)).map(|(_, messages)| messages).sum()
}
