//! `/api/channels`: what connections say of their channels, with what the shard knows of those that
//! consume.

use super::api_error::ApiError;
use super::caller::{Caller, VhostAccess};
use super::context::Admin;
use super::extract::Path;
use super::listing::Listing;
use super::reply::json_reply;
use crate::connection::connection_about::ConnectionAbout;
use crate::system::node_name::node_name;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::connection::{ChannelMode, OpenChannel};
use forebay_engine::model::{ChannelId, ChannelKey, ConnectionId};
use forebay_engine::shard::ChannelReport;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    admin.channels(&caller, |_, _| true).await?.reply(listing).await
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    VhostAccess { caller, vhost }: VhostAccess,
    listing: Listing,
) -> Result<Response, ApiError> {
    admin.channels(&caller, |_, about| about.vhost == vhost).await?.reply(listing).await
}

pub(super) async fn list_of_connection(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    listing: Listing,
) -> Result<Response, ApiError> {
    let is_meant = |id, about: &ConnectionAbout| about.shown_name(id) == name;
    let channels = admin.channels(&caller, is_meant).await?;
    if channels.connections.is_empty() {
        return Err(ApiError::not_found(format!("no connection '{name}'")));
    }
    channels.reply(listing).await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found(format!("no channel '{name}'"));
    // `CONNECTION (NUMBER)`.
    let (connection, _) = name.rsplit_once(" (").ok_or_else(missing)?;
    let is_meant = |id, about: &ConnectionAbout| about.shown_name(id) == connection;
    let channels = admin.channels(&caller, is_meant).await?;
    let shown = channels.open.iter().map(|open| channels.reports.describe(open));
    let found = shown.into_iter().find(|channel| channel.get("name") == Some(&json!(name)));
    Ok(json_reply(&found.ok_or_else(missing)?))
}

type OpenChannels = Vec<(ConnectionId, Arc<ConnectionAbout>, OpenChannel)>;

/// The channels of some connections.
struct Channels {
    connections: Vec<ConnectionId>,
    open: OpenChannels,
    reports: Reports,
}

/// What the shard knows of channels.
struct Reports(HashMap<ChannelKey, ChannelReport>);

impl Channels {
    async fn reply(self, listing: Listing) -> Result<Response, ApiError> {
        let Self { open, reports, .. } = self;
        listing.reply(open, move |open| reports.describe(open)).await
    }
}

impl Admin {
    /// The channels of the connections that the caller sees and that are meant.
    async fn channels(
        &self,
        caller: &Caller,
        is_meant: impl Fn(ConnectionId, &ConnectionAbout) -> bool,
    ) -> Result<Channels, ApiError> {
        let mut connections = self.connections_of(caller);
        connections.retain(|(id, about)| is_meant(*id, about));
        self.link().connections.describe_channels(&connections).await;
        let reports = self.link().channels().await?;
        let reports = Reports(reports.into_iter().map(|report| (report.key, report)).collect());
        let open = connections.iter().flat_map(|(id, about)| {
            about.channels().into_iter().map(|open| (*id, Arc::clone(about), open))
        });
        let open = open.collect();
        let connections = connections.iter().map(|(id, _)| *id).collect();
        Ok(Channels { connections, open, reports })
    }
}

impl Reports {
    fn describe(
        &self,
        (id, about, open): &(ConnectionId, Arc<ConnectionAbout>, OpenChannel),
    ) -> Value {
        let report = self.0.get(&ChannelKey { connection: *id, channel: open.id });
        let connection = about.shown_name(*id);
        json!({
            "acks_uncommitted": open.acks_uncommitted,
            "confirm": open.mode == ChannelMode::Confirm,
            "connection_details": {
                "name": connection,
                "peer_host": about.peer.ip().to_canonical().to_string(),
                "peer_port": about.peer.port(),
            },
            "consumer_count": report.map_or(0, |report| report.consumers),
            "global_prefetch_count": report.map_or(0, |report| report.prefetch),
            "messages_unacknowledged": open.unacked,
            "messages_uncommitted": open.publishes_uncommitted,
            "messages_unconfirmed": open.unconfirmed,
            "name": format!("{connection} ({})", open.id),
            "node": node_name(),
            "number": open.id.0,
            "prefetch_count": open.prefetch,
            "state": about.state(),
            "transactional": open.mode == ChannelMode::Transaction,
            "user": about.user.to_string(),
            "user_who_performed_action": about.user.to_string(),
            "vhost": about.vhost.to_string(),
        })
    }
}

/// A channel as it is named where something of it is shown.
pub(super) fn channel_details(
    id: ConnectionId,
    about: &ConnectionAbout,
    channel: ChannelId,
) -> Value {
    let connection = about.shown_name(id);
    json!({
        "connection_name": connection,
        "name": format!("{connection} ({channel})"),
        "node": node_name(),
        "number": channel.0,
        "peer_host": about.peer.ip().to_canonical().to_string(),
        "peer_port": about.peer.port(),
        "user": about.user.to_string(),
    })
}
