//! `/api/connections` and `/api/consumers`.

use super::api_error::ApiError;
use super::caller::{Caller, Visit};
use super::listing::Listing;
use super::{Admin, NODE, json_reply, no_content};
use crate::connection_about::ConnectionAbout;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use forebay_engine::fault::Fault;
use forebay_engine::ids::ConnectionId;
use forebay_engine::shard::ConsumerReport;
use forebay_wire::{ReplyCode, ShortStr};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    let connections = admin.connections_of(&caller);
    listing.reply(connections.iter().map(|(id, about)| describe(*id, about)).collect())
}

pub(super) async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let connections = admin.connections_of(&caller);
    let found = connections.iter().find(|(id, about)| connection_name(*id, about) == name);
    let (id, about) = found.ok_or_else(|| missing(&name))?;
    Ok(json_reply(&describe(*id, about)))
}

/// The header `X-Reason` is what the client is told.
pub(super) async fn close(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let own = caller.name.clone();
    let may_all = caller.check_administrator().is_ok();
    let reason = headers.get("x-reason").and_then(|reason| reason.to_str().ok());
    let reason = reason.unwrap_or("Closed via management plugin");
    let fault = Fault::connection(ReplyCode::ConnectionForced, reason);
    let closed = admin.link().connections.close_some(&fault, |id, about| {
        connection_name(id, about) == name && (may_all || about.user == own)
    });
    if closed == 0 { Err(missing(&name)) } else { Ok(no_content()) }
}

pub(super) async fn consumers(
    State(admin): State<Admin>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(admin.consumers(&caller, |_| true).await?)
}

pub(super) async fn consumers_of_vhost(
    State(admin): State<Admin>,
    Visit { caller, vhost }: Visit,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(admin.consumers(&caller, |there| *there == vhost).await?)
}

impl Admin {
    /// All connections, or the caller's own.
    pub(super) fn connections_of(
        &self,
        caller: &Caller,
    ) -> Vec<(ConnectionId, Arc<ConnectionAbout>)> {
        let mut connections = self.link().connections.list();
        if !caller.sees_everything() {
            connections.retain(|(_, about)| about.user == caller.name);
        }
        connections
    }

    async fn consumers(
        &self,
        caller: &Caller,
        is_wanted: impl Fn(&ShortStr) -> bool,
    ) -> Result<Vec<Value>, ApiError> {
        let connections: HashMap<_, _> = self.link().connections.list().into_iter().collect();
        let consumers = self.link().look(forebay_engine::shard::Shard::consumers).await?;
        let seen = consumers
            .iter()
            .filter(|consumer| is_wanted(&consumer.vhost) && caller.sees(self, &consumer.vhost));
        Ok(seen.map(|consumer| describe_consumer(consumer, &connections)).collect())
    }
}

fn describe_consumer(
    consumer: &ConsumerReport,
    connections: &HashMap<ConnectionId, Arc<ConnectionAbout>>,
) -> Value {
    let id = consumer.key.connection;
    let name = connections.get(&id).map(|about| connection_name(id, about)).unwrap_or_default();
    json!({
        "ack_required": !consumer.no_ack,
        "active": true,
        "channel_details": {
            "connection_name": name,
            "name": format!("{name} ({})", consumer.key.channel),
            "node": NODE,
            "number": consumer.key.channel.0,
        },
        "consumer_tag": consumer.tag.to_string(),
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
        "queue": { "name": consumer.queue.to_string(), "vhost": consumer.vhost.to_string() },
    })
}

fn describe(id: ConnectionId, about: &ConnectionAbout) -> Value {
    json!({
        "channels": about.channels().len(),
        "connected_at": about.connected_at.0,
        "name": connection_name(id, about),
        "node": NODE,
        "peer_host": about.peer.ip().to_string(),
        "peer_port": about.peer.port(),
        "protocol": "AMQP 0-9-1",
        "state": about.state(),
        "type": "network",
        "user": about.user.to_string(),
        "user_provided_name": about.name.as_ref().map(ToString::to_string),
        "vhost": about.vhost.to_string(),
    })
}

/// The peer's address alone would not be unique over time.
pub(super) fn connection_name(id: ConnectionId, about: &ConnectionAbout) -> String {
    format!("{} -> {id}", about.peer)
}

fn missing(name: &str) -> ApiError {
    ApiError::not_found(format!("no connection '{name}'"))
}
