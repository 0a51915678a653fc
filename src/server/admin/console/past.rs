//! `/api/forebay/past`: how queues stood in the last minutes.

use super::super::api_error::ApiError;
use super::super::caller::Caller;
use super::super::context::Admin;
use super::super::extract::UnreadBody;
use super::super::names::{object_name, short};
use super::super::reply::json_reply;
use crate::limits::{CONSOLE_ROUND_INTERVAL, CONSOLE_TRAILS_MAX};
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::sleep;

/// Looks whether the rates were renewed, as long as it is polled.
pub(in super::super) async fn follow_rates(admin: Admin) {
    let mut last = admin.inner.rates.load_full();
    loop {
        sleep(CONSOLE_ROUND_INTERVAL).await;
        let rates = admin.inner.rates.load_full();
        if !Arc::ptr_eq(&last, &rates) {
            let time = admin.inner.clock.now().wall.0;
            let published = admin.inner.broker_rates.load().flow("publish");
            admin.inner.console.trails().push(time, &rates, published);
            last = rates;
        }
    }
}

/// Of some queues, and of all together for those who see all.
pub(super) async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let body = body.read().await?;
    let wrong = || {
        ApiError::bad(format!(
            "queues: expected a list of at most {CONSOLE_TRAILS_MAX} times [\"VHOST\", \"NAME\"]"
        ))
    };
    let asked = match body.get("queues") {
        None => &[][..],
        Some(asked) => {
            asked.as_array().filter(|asked| asked.len() <= CONSOLE_TRAILS_MAX).ok_or_else(wrong)?
        }
    };
    let catalogue = admin.catalogue();
    let mut queues = Vec::new();
    for pair in asked {
        let text = |at| pair.get(at).and_then(Value::as_str).ok_or_else(wrong);
        let (vhost, name) = (short("vhost", text(0)?)?, object_name("queue", text(1)?)?);
        let found = catalogue.find_queue(&vhost, &name).filter(|_| caller.sees(&admin, &vhost));
        queues.push(found.map(|queue| queue.id));
    }
    let trails = admin.inner.console.trails();
    let queues: Value =
        queues.into_iter().map(|queue| queue.map_or(json!([]), |queue| trails.of(queue))).collect();
    let total = if caller.sees_everything() { trails.of_all() } else { json!([]) };
    drop(trails);
    Ok(json_reply(&json!({ "queues": queues, "total": total })))
}
