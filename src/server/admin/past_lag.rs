//! `/api/forebay/lag/VHOST/QUEUE`: how the lag of a queue was in the last days, and what was normal then.

use super::api_error::ApiError;
use super::caller::VhostAccess;
use super::context::Admin;
use super::extract::{Path, Query};
use super::names::object_name;
use super::reply::json_reply;
use axum::extract::State;
use axum::response::Response;
use forebay_lag::PastLag;
use forebay_lag::limits::HISTORY_DAYS;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// So many days before now.
    days: Option<usize>,
}

pub(super) async fn show(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
    Path((_, queue)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let queue = object_name("queue", &queue)?;
    admin.check_queue(&vhost, &queue)?;
    let days = wanted.days.unwrap_or(1);
    if !(1..=HISTORY_DAYS).contains(&days) {
        return Err(ApiError::bad(format!("days: {days}, expected 1 to {HISTORY_DAYS}")));
    }
    let id = admin.catalogue().find_queue(&vhost, &queue).map(|record| record.id);
    let (lag, now) = (Arc::clone(&admin.inner.lag), admin.inner.clock.now().wall.0 / 1000);
    let past = tokio::task::spawn_blocking(move || lag.past(id?, now, days)).await;
    let past = past.map_err(|error| ApiError::Unavailable(error.to_string()))?;
    // One that was made some seconds ago, or nothing is learnt at all.
    let Some(past) = past else {
        return Ok(json_reply(&json!({ "step_seconds": null, "parts": [] })));
    };
    let part = |part: &PastLag| {
        json!({
            "at": part.at * 1000,
            "peak": part.peak,
            "normal_peak": part.normal_peak,
            "alert_line": part.line,
        })
    };
    let parts: Vec<Value> = past.parts.iter().map(part).collect();
    Ok(json_reply(&json!({ "step_seconds": past.step_seconds, "parts": parts })))
}
