//! `/api/channels`: what connections say of their channels, with what the shard knows of those that
//! consume.

use super::api_error::ApiError;
use super::caller::{Caller, Visit};
use super::connections::connection_name;
use super::listing::Listing;
use super::{Admin, NODE, json_reply};
use crate::connection_about::ConnectionAbout;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use forebay_engine::connection::{ChannelMode, OpenChannel};
use forebay_engine::ids::{ChannelKey, ConnectionId};
use forebay_engine::shard::{ChannelReport, Shard};
use serde_json::{Value, json};
use std::collections::HashMap;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(admin.channels(&caller, |_, _| true).await?)
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    Visit { caller, vhost }: Visit,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(admin.channels(&caller, |_, about| about.vhost == vhost).await?)
}

pub(super) async fn list_of_connection(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    let is_meant = |id, about: &ConnectionAbout| connection_name(id, about) == name;
    listing.reply(admin.channels(&caller, is_meant).await?)
}

pub(super) async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let channels = admin.channels(&caller, |_, _| true).await?;
    let found = channels.into_iter().find(|channel| channel["name"] == name);
    let channel = found.ok_or_else(|| ApiError::not_found(format!("no channel '{name}'")))?;
    Ok(json_reply(&channel))
}

impl Admin {
    /// The channels of the connections that the caller sees and that are meant.
    async fn channels(
        &self,
        caller: &Caller,
        is_meant: impl Fn(ConnectionId, &ConnectionAbout) -> bool,
    ) -> Result<Vec<Value>, ApiError> {
        let reports = self.link().look(Shard::channels).await?;
        let reports: HashMap<_, _> =
            reports.into_iter().map(|report| (report.key, report)).collect();
        let mut channels = Vec::new();
        for (id, about) in self.connections_of(caller) {
            if is_meant(id, &about) {
                channels.extend(about.channels().into_iter().map(|open| {
                    let key = ChannelKey { connection: id, channel: open.id };
                    describe(&connection_name(id, &about), &about, open, reports.get(&key))
                }));
            }
        }
        Ok(channels)
    }
}

fn describe(
    connection: &str,
    about: &ConnectionAbout,
    open: OpenChannel,
    report: Option<&ChannelReport>,
) -> Value {
    json!({
        "confirm": open.mode == ChannelMode::Confirm,
        "connection_details": {
            "name": connection,
            "peer_host": about.peer.ip().to_string(),
            "peer_port": about.peer.port(),
        },
        "consumer_count": report.map_or(0, |report| report.consumers),
        "global_prefetch_count": report.map_or(0, |report| report.prefetch),
        "messages_unacknowledged": report.map_or(0, |report| report.unacked),
        "name": format!("{connection} ({})", open.id),
        "node": NODE,
        "number": open.id.0,
        "prefetch_count": open.prefetch,
        "state": about.state(),
        "transactional": open.mode == ChannelMode::Transaction,
        "user": about.user.to_string(),
        "vhost": about.vhost.to_string(),
    })
}
