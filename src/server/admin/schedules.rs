//! `/api/schedules`: messages that the broker publishes again and again, when a cron expression is due.

use super::api_error::ApiError;
use super::caller::{Caller, Vhost, VhostAccess};
use super::context::Admin;
use super::extract::{Path, UnreadBody};
use super::listing::Listing;
use super::names::short;
use super::reply::{json_reply, no_content, put_reply};
use crate::definitions::schedule_json;
use crate::shard::shard_link::SESSION_CHANNEL;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::{Access, Object};
use forebay_engine::administration::Administration;
use forebay_engine::command::Command;
use forebay_engine::event::Reply;
use forebay_engine::model::{ObjectName, WallClock};
use forebay_engine::schedules::{Schedule, ScheduleKey};
use forebay_engine::shard::ScheduleReport;
use forebay_wire::ShortStr;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

type Named = (String, String);

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    listing.reply(schedules(&admin, &caller, None).await?, Value::clone).await
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    VhostAccess { caller, vhost }: VhostAccess,
    listing: Listing,
) -> Result<Response, ApiError> {
    listing.reply(schedules(&admin, &caller, Some(vhost)).await?, Value::clone).await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    VhostAccess { caller, vhost }: VhostAccess,
    Path((_, name)): Path<Named>,
) -> Result<Response, ApiError> {
    let key = ScheduleKey { vhost, name: short("schedule", &name)? };
    let schedule = admin.find_schedule(&key)?;
    let reports = admin.link().schedules().await?;
    let report = reports.iter().find(|report| report.key == key);
    Ok(json_reply(&describe(&admin, &caller, &key.vhost, &schedule, report)))
}

pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<Named>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let name = short("schedule", &name)?;
    caller.check_policymaker(&admin, &vhost)?;
    let body = body.read().await?;
    let before = admin.catalogue().schedule(&vhost, &name).cloned();
    // Who sets a schedule again to change its message does not mean to set it going.
    let is_paused = before.as_ref().is_some_and(|before| before.is_paused());
    let schedule = schedule_json::from_json(&name, &body.into_value(), is_paused)
        .map_err(|error| ApiError::bad(error.to_string()))?;
    caller.check_may_write(&admin, &vhost, schedule.exchange())?;
    let request = Administration::SetSchedule { vhost, schedule: Box::new(schedule) };
    caller.administer(&admin, request).await?;
    Ok(put_reply(before.is_none()))
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<Named>,
) -> Result<Response, ApiError> {
    caller.check_policymaker(&admin, &vhost)?;
    let key = ScheduleKey { vhost, name: short("schedule", &name)? };
    caller.administer(&admin, Administration::DeleteSchedule(key)).await?;
    Ok(no_content())
}

pub(super) async fn pause(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<Named>,
) -> Result<Response, ApiError> {
    set_paused(&admin, &caller, vhost, &name, true).await
}

pub(super) async fn resume(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<Named>,
) -> Result<Response, ApiError> {
    set_paused(&admin, &caller, vhost, &name, false).await
}

pub(super) async fn run(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<Named>,
) -> Result<Response, ApiError> {
    caller.check_policymaker(&admin, &vhost)?;
    let key = ScheduleKey { vhost: vhost.clone(), name: short("schedule", &name)? };
    let schedule = admin.find_schedule(&key)?;
    caller.check_may_write(&admin, &vhost, schedule.exchange())?;
    admin.check_may_publish()?;
    let request = Box::new(Administration::RunSchedule(key));
    let command = Command::Administer { channel: SESSION_CHANNEL, request };
    match admin.link().ask(vhost, caller.name.clone(), command).await? {
        Reply::ScheduleRun(outcome) => {
            Ok(json_reply(&json!({ "result": outcome.name(), "queues": outcome.queues() })))
        }
        _ => Ok(no_content()),
    }
}

async fn set_paused(
    admin: &Admin,
    caller: &Caller,
    vhost: ShortStr,
    name: &str,
    is_paused: bool,
) -> Result<Response, ApiError> {
    caller.check_policymaker(admin, &vhost)?;
    let key = ScheduleKey { vhost, name: short("schedule", name)? };
    if !is_paused {
        let schedule = admin.find_schedule(&key)?;
        caller.check_may_write(admin, &key.vhost, schedule.exchange())?;
    }
    caller.administer(admin, Administration::PauseSchedule { key, is_paused }).await?;
    Ok(no_content())
}

async fn schedules(
    admin: &Admin,
    caller: &Caller,
    wanted: Option<ShortStr>,
) -> Result<Vec<Value>, ApiError> {
    let catalogue = admin.catalogue();
    let reports = admin.link().schedules().await?;
    let reports: BTreeMap<&ScheduleKey, &ScheduleReport> =
        reports.iter().map(|report| (&report.key, report)).collect();
    let vhosts = catalogue.vhosts().filter(|vhost| wanted.as_ref().is_none_or(|w| w == *vhost));
    let seen = vhosts.filter(|vhost| caller.sees(admin, vhost));
    let of_vhost = |vhost| {
        let of_vhost = catalogue.schedules(vhost);
        let reports = &reports;
        of_vhost.map(move |schedule| {
            let key = ScheduleKey { vhost: vhost.clone(), name: schedule.name().clone() };
            describe(admin, caller, vhost, schedule, reports.get(&key).copied())
        })
    };
    Ok(seen.flat_map(of_vhost).collect())
}

/// The message is for those who may set it: it may be for nobody else's eyes.
fn describe(
    admin: &Admin,
    caller: &Caller,
    vhost: &ShortStr,
    schedule: &Schedule,
    report: Option<&ScheduleReport>,
) -> Value {
    let mut shown = schedule_json::times(vhost, schedule);
    if caller.check_policymaker(admin, vhost).is_ok() {
        shown.extend(schedule_json::message(schedule));
    }
    let problem = report.and_then(|report| report.problem.as_ref());
    let state = match problem {
        Some(_) => "broken",
        None if schedule.is_paused() => "paused",
        None => "active",
    };
    let progress = report.map(|report| report.progress).unwrap_or_default();
    let time = |time: Option<WallClock>| time.map(|time| time.0);
    let last = progress.last;
    let status = json!({
        "state": state,
        "problem": problem,
        "next_due_at": time(report.and_then(|report| report.next_due)),
        "last_due_at": time(progress.last_due),
        "last_fired_at": time(last.map(|last| last.at)),
        "last_result": last.map(|last| last.outcome.name()),
        "last_queues": last.map(|last| last.outcome.queues()),
        "fired": progress.fired,
        "missed": progress.missed,
        "failed": progress.failed,
        "runs": progress.runs,
    });
    if let Value::Object(status) = status {
        shown.extend(status);
    }
    Value::Object(shown)
}

impl Admin {
    fn find_schedule(&self, key: &ScheduleKey) -> Result<Arc<Schedule>, ApiError> {
        let catalogue = self.catalogue();
        let missing = || format!("no schedule '{}' in vhost '{}'", key.name, key.vhost);
        let schedule = catalogue.schedule(&key.vhost, &key.name).cloned();
        schedule.ok_or_else(|| ApiError::not_found(missing()))
    }
}

impl Caller {
    /// Whether it may publish to the exchange of a schedule.
    fn check_may_write(
        &self,
        admin: &Admin,
        vhost: &ShortStr,
        exchange: &ObjectName,
    ) -> Result<(), ApiError> {
        self.check_access(admin, vhost, Access::Write, Object::Exchange(exchange))
    }
}
