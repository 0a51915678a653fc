//! `/api/connections`.

use super::api_error::ApiError;
use super::caller::{Caller, VhostAccess};
use super::context::Admin;
use super::extract::Path;
use super::figures::Figures;
use super::listing::Listing;
use super::names::short;
use super::reply::{json_reply, no_content};
use crate::connection::connection_about::ConnectionAbout;
use crate::definitions::table_json;
use crate::system::node_name::node_name;
use crate::tls::TlsDetails;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use forebay_engine::model::{ConnectionId, Fault};
use forebay_wire::ReplyCode;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    listing.reply(admin.connections_of(&caller), |(id, about)| describe(*id, about)).await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let connections = admin.connections_of(&caller);
    let found = connections.iter().find(|(id, about)| about.shown_name(*id) == name);
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
    let closed = admin.link().connections.close_some(&closing(&headers), |id, about| {
        about.shown_name(id) == name && (may_all || about.user == own)
    });
    if closed == 0 { Err(missing(&name)) } else { Ok(no_content()) }
}

/// Those of a virtual host.
pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    VhostAccess { caller, vhost }: VhostAccess,
    listing: Listing,
) -> Result<Response, ApiError> {
    let mut connections = admin.connections_of(&caller);
    connections.retain(|(_, about)| about.vhost == vhost);
    listing.reply(connections, |(id, about)| describe(*id, about)).await
}

/// Those of a user; everybody sees their own.
pub(super) async fn list_of_user(
    State(admin): State<Admin>,
    caller: Caller,
    Path(user): Path<String>,
    listing: Listing,
) -> Result<Response, ApiError> {
    let user = short("user", &user)?;
    let mut connections = admin.connections_of(&caller);
    connections.retain(|(_, about)| about.user == user);
    listing.reply(connections, |(id, about)| describe(*id, about)).await
}

/// Closes all of a user.
pub(super) async fn close_of_user(
    State(admin): State<Admin>,
    caller: Caller,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let user = short("user", &user)?;
    if user != caller.name {
        caller.check_administrator()?;
    }
    admin.link().connections.close_some(&closing(&headers), |_, about| about.user == user);
    Ok(no_content())
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
}

/// What a client is told whose connection an operator closes.
fn closing(headers: &HeaderMap) -> Fault {
    let reason = headers.get("x-reason").and_then(|reason| reason.to_str().ok());
    let reason = reason.unwrap_or("Closed via management plugin");
    Fault::connection(ReplyCode::ConnectionForced, reason)
}

fn describe(id: ConnectionId, about: &ConnectionAbout) -> Value {
    let user = about.user.to_string();
    let client = &about.client;
    let passed = about.traffic.passed();
    let (received_rate, sent_rate) = about.traffic.rates();
    let mut figures = Figures::default();
    figures.put("recv_oct", passed.received, received_rate);
    figures.put("send_oct", passed.sent, sent_rate);
    let mut shown = json!({
        "auth_mechanism": client.mechanism,
        "channel_max": client.channels_max,
        "channels": about.channels().len(),
        "client_properties": table_json::to_json(&client.properties),
        "connected_at": about.connected_at.0,
        "frame_max": client.frame_size_max,
        "host": about.local.map(|local| local.ip().to_canonical().to_string()),
        "name": about.shown_name(id),
        "node": node_name(),
        "peer_host": about.peer.ip().to_canonical().to_string(),
        "peer_port": about.peer.port(),
        "port": about.local.map(|local| local.port()),
        "protocol": "AMQP 0-9-1",
        "recv_cnt": passed.reads,
        "send_cnt": passed.writes,
        "send_pend": about.traffic.pending(),
        "ssl": about.tls.is_some(),
        "state": about.state(),
        "timeout": client.heartbeat_s,
        "type": "network",
        "user": user,
        "user_provided_name": about.name.as_ref().map(ToString::to_string),
        "user_who_performed_action": user,
        "vhost": about.vhost.to_string(),
    });
    figures.add_to(&mut shown);
    add_tls(about.tls.as_ref(), &mut shown);
    shown
}

/// What was agreed over TLS; null without.
fn add_tls(tls: Option<&TlsDetails>, shown: &mut Value) {
    let Some(shown) = shown.as_object_mut() else { return };
    let peer = tls.and_then(|tls| tls.peer.as_ref());
    let fields = [
        ("peer_cert_issuer", json!(peer.map(|peer| &peer.issuer))),
        ("peer_cert_subject", json!(peer.map(|peer| &peer.subject))),
        ("peer_cert_validity", json!(peer.map(|peer| &peer.validity))),
        ("ssl_cipher", json!(tls.and_then(|tls| tls.cipher.as_deref()))),
        ("ssl_hash", json!(tls.and_then(|tls| tls.hash.as_deref()))),
        ("ssl_key_exchange", json!(tls.and_then(|tls| tls.key_exchange.as_deref()))),
        ("ssl_protocol", json!(tls.and_then(|tls| tls.protocol))),
    ];
    shown.extend(fields.map(|(name, value)| (name.to_owned(), value)));
}

fn missing(name: &str) -> ApiError {
    ApiError::not_found(format!("no connection '{name}'"))
}
