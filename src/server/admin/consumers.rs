//! `/api/consumers`, and the consumers of a queue.

use super::api_error::ApiError;
use super::caller::{Caller, VhostAccess};
use super::channels::channel_details;
use super::context::Admin;
use super::listing::Listing;
use crate::connection::connection_about::ConnectionAbout;
use crate::definitions::table_json;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::model::{ConnectionId, Monotonic, QueueId};
use forebay_engine::shard::{ConsumerActivity, ConsumerReport};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

type Connections = HashMap<ConnectionId, Arc<ConnectionAbout>>;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    let mut consumers = admin.link().consumers(None).await?;
    consumers.retain(|consumer| caller.sees(&admin, &consumer.vhost));
    let (connections, now) = (admin.connections_by_id(), admin.inner.clock.now().monotonic);
    listing.reply(consumers, move |consumer| describe(consumer, &connections, now)).await
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
    listing: Listing,
) -> Result<Response, ApiError> {
    let mut consumers = admin.link().consumers(None).await?;
    consumers.retain(|consumer| consumer.vhost == vhost);
    let (connections, now) = (admin.connections_by_id(), admin.inner.clock.now().monotonic);
    listing.reply(consumers, move |consumer| describe(consumer, &connections, now)).await
}

impl Admin {
    fn connections_by_id(&self) -> Connections {
        self.link().connections.list().into_iter().collect()
    }

    /// The consumers of a queue, and the tag of the single active one.
    pub(super) async fn consumers_of(
        &self,
        queue: QueueId,
    ) -> Result<(Value, Option<String>), ApiError> {
        let consumers = self.link().consumers(Some(queue)).await?;
        let connections = self.connections_by_id();
        let now = self.inner.clock.now().monotonic;
        let active = consumers.iter().find(|it| it.activity == ConsumerActivity::SingleActive);
        let active = active.map(|consumer| consumer.tag.to_string());
        Ok((
            consumers.iter().map(|consumer| describe(consumer, &connections, now)).collect(),
            active,
        ))
    }
}

fn describe(consumer: &ConsumerReport, connections: &Connections, now: Monotonic) -> Value {
    let id = consumer.key.connection;
    // One that has just ended.
    let channel = connections.get(&id).map_or_else(
        || Value::Object(Map::new()),
        |about| channel_details(id, about, consumer.key.channel),
    );
    let (active, status) = match consumer.activity {
        ConsumerActivity::Up => (true, "up"),
        ConsumerActivity::SingleActive => (true, "single_active"),
        ConsumerActivity::Waiting => (false, "waiting"),
    };
    json!({
        "ack_required": !consumer.no_ack,
        "active": active,
        "activity_status": status,
        "arguments": table_json::to_json(&consumer.arguments),
        "channel_details": channel,
        "consumer_tag": consumer.tag.to_string(),
        // In ms. 0 for any time, since clients of the API insist on a number.
        "consumer_timeout": consumer.timeout.unwrap_or(0),
        "exclusive": consumer.exclusive,
        // Ours: how long it has held messages without settling one, in ms.
        "holding_ms": (consumer.unacked > 0).then(|| now.0.saturating_sub(consumer.active_since.0)),
        "prefetch_count": consumer.prefetch,
        // Ours: messages that it holds.
        "unacknowledged": consumer.unacked,
        "queue": { "name": consumer.queue.to_string(), "vhost": consumer.vhost.to_string() },
    })
}
