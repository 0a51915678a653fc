//! `/api/forebay/route`: which queues a message would go to that is published now.

use super::super::api_error::ApiError;
use super::super::caller::VhostAccess;
use super::super::context::Admin;
use super::super::extract::{Path, UnreadBody};
use super::super::names::{exchange_name, short};
use super::super::reply::json_reply;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

pub(super) async fn show(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
    Path((_, exchange)): Path<(String, String)>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let exchange = exchange_name("exchange", &exchange)?;
    let body = body.read().await?;
    let routing_key = short("routing_key", body.text("routing_key")?.unwrap_or_default())?;
    let headers = body.table("headers")?;
    let keys = [routing_key];
    let targets =
        admin.snapshot().routes.route(&vhost, &exchange, &keys, &|| Some(headers.clone()))?;
    let catalogue = admin.catalogue();
    let records = targets.iter().filter_map(|target| catalogue.queue_by_id(*target));
    let mut queues: Vec<String> = records.map(|record| record.name.to_string()).collect();
    queues.sort();
    let queues: Vec<Value> = queues.into_iter().map(Value::from).collect();
    Ok(json_reply(&json!({ "queues": queues })))
}
