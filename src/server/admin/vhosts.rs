//! `/api/vhosts`.

use super::api_error::ApiError;
use super::caller::{Administrator, Caller, Vhost, VhostAccess};
use super::context::Admin;
use super::extract::UnreadBody;
use super::figures::{Figures, add};
use super::listing::Listing;
use super::reply::{json_reply, no_content, put_reply};
use crate::metrics::Flow;
use crate::system::node_name::node_name;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::Permission;
use forebay_engine::administration::Administration;
use forebay_engine::model::Fault;
use forebay_engine::shard::QueueStatistics;
use forebay_engine::topology::{QueueKind, VhostMetadata, VhostUpdate};
use forebay_wire::{ReplyCode, ShortStr};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    let mut vhosts = admin.vhosts().await?;
    vhosts.retain(|vhost, _| caller.sees(&admin, vhost));
    listing.reply(vhosts.into_iter().collect(), |(name, vhost)| vhost.describe(name)).await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found(format!("no vhost '{vhost}'"));
    let vhosts = admin.vhosts().await?;
    Ok(json_reply(&vhosts.get(&vhost).ok_or_else(missing)?.describe(&vhost)))
}

pub(super) async fn put(
    State(admin): State<Admin>,
    Administrator(caller): Administrator,
    Vhost(name): Vhost,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let body = body.read().await?;
    if body.flag("tracing", false)? {
        return Err(ApiError::bad("tracing: messages can't be traced here, expected false"));
    }
    let default_queue_type = body.text("default_queue_type")?;
    let update = VhostUpdate {
        description: body.text("description")?.map(str::to_owned),
        tags: body.tags()?,
        default_queue_type: default_queue_type.map(queue_kind).transpose()?,
    };
    let is_new = !admin.snapshot().routes.has_vhost(name.as_bytes());
    caller.administer(&admin, Administration::PutVhost { name: name.clone(), update }).await?;
    if is_new {
        admin.grant_everything(&caller, name).await?;
    }
    Ok(put_reply(is_new))
}

fn queue_kind(name: &str) -> Result<QueueKind, ApiError> {
    let wrong =
        || ApiError::bad(format!("default_queue_type: '{name}', expected 'classic' or 'quorum'"));
    QueueKind::from_name(name).ok_or_else(wrong)
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    Administrator(caller): Administrator,
    Vhost(name): Vhost,
) -> Result<Response, ApiError> {
    caller.administer(&admin, Administration::DeleteVhost { name: name.clone() }).await?;
    let text = format!("vhost '{name}' was deleted");
    let fault = Fault::connection(ReplyCode::ConnectionForced, text);
    admin.link().connections.close_some(&fault, |_, about| about.vhost == name);
    Ok(no_content())
}

/// A virtual host with what its queues have.
struct VhostView {
    metadata: VhostMetadata,
    sum: QueueStatistics,
    flow: Flow,
}

impl Admin {
    /// Whoever makes a virtual host may do everything in it, as in RabbitMQ. Users of the
    /// configuration have what that says.
    async fn grant_everything(&self, caller: &Caller, vhost: ShortStr) -> Result<(), ApiError> {
        let user = caller.name.clone();
        if self.authenticator().is_configured(&user) {
            return Ok(());
        }
        let everything = Permission::new(".*", ".*", ".*");
        let permission = everything.map_err(|error| ApiError::Unavailable(error.to_string()))?;
        caller.administer(self, Administration::Grant { user, vhost, permission }).await
    }

    async fn vhosts(&self) -> Result<BTreeMap<ShortStr, VhostView>, ApiError> {
        let queues = self.link().report(None).await?.queues;
        let catalogue = self.catalogue();
        let (sum, flow) = (QueueStatistics::default(), Flow::default());
        let view = |name: &ShortStr| {
            let metadata = catalogue.vhost_metadata(name).cloned().unwrap_or_default();
            (name.clone(), VhostView { metadata, sum, flow })
        };
        let mut vhosts: BTreeMap<_, _> = catalogue.vhosts().map(view).collect();
        let rates = self.inner.rates.load();
        for queue in queues {
            if let Some(vhost) = vhosts.get_mut(&queue.record.vhost) {
                add(&mut vhost.sum, &queue.statistics);
                vhost.flow = vhost.flow.plus(&rates.flow(queue.record.id));
            }
        }
        Ok(vhosts)
    }
}

impl VhostView {
    fn describe(&self, name: &ShortStr) -> Value {
        let VhostMetadata { description, tags, default_queue_type } = &self.metadata;
        let default_queue_type = default_queue_type.unwrap_or_default().name();
        let mut shown = json!({
            "cluster_state": { (node_name()): "running" },
            "default_queue_type": default_queue_type,
            "description": description,
            "message_stats": Figures::of_messages(&self.sum, &self.flow).into_json(),
            "metadata": {
                "default_queue_type": default_queue_type,
                "description": description,
                "tags": tags,
            },
            "name": name.to_string(),
            "tags": tags,
            // There is none.
            "tracing": false,
        });
        let mut figures = Figures::default();
        figures.put_messages(&self.sum, &self.flow);
        figures.add_to(&mut shown);
        shown
    }
}
