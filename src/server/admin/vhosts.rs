//! `/api/vhosts`.

use super::api_error::ApiError;
use super::caller::{Caller, Vhost, Visit};
use super::listing::Listing;
use super::{Admin, json_reply, no_content, put_reply};
use axum::extract::{Query, State};
use axum::response::Response;
use forebay_engine::access::Permission;
use forebay_engine::administration::Administration;
use forebay_engine::fault::Fault;
use forebay_wire::{ReplyCode, ShortStr};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    let vhosts = admin.vhosts().await?;
    let seen = vhosts.into_iter().filter(|(vhost, _)| caller.sees(&admin, vhost));
    listing.reply(seen.map(|(_, vhost)| vhost).collect())
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Visit { vhost, .. }: Visit,
) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found(format!("no vhost '{vhost}'"));
    Ok(json_reply(admin.vhosts().await?.get(&vhost).ok_or_else(missing)?))
}

pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(name): Vhost,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    let is_new = !admin.routes().has_vhost(name.as_bytes());
    admin.administer(&caller, Administration::CreateVhost { name: name.clone() }).await?;
    if is_new {
        admin.grant_everything(&caller, name).await?;
    }
    Ok(put_reply(is_new))
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(name): Vhost,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    admin.administer(&caller, Administration::DeleteVhost { name: name.clone() }).await?;
    let text = format!("vhost '{name}' was deleted");
    let fault = Fault::connection(ReplyCode::ConnectionForced, text);
    admin.link().connections.close_some(&fault, |_, about| about.vhost == name);
    Ok(no_content())
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
        self.administer(caller, Administration::Grant { user, vhost, permission }).await
    }

    async fn vhosts(&self) -> Result<BTreeMap<ShortStr, Value>, ApiError> {
        let names = self.link().look(|shard| {
            let names = shard.topology().vhosts().map(|vhost| (vhost.clone(), (0, 0)));
            names.collect::<BTreeMap<ShortStr, (u64, u64)>>()
        });
        let mut sums = names.await?;
        for queue in self.link().report(None).await?.queues {
            if let Some((ready, unacked)) = sums.get_mut(&queue.record.vhost) {
                *ready += queue.statistics.ready;
                *unacked += queue.statistics.unacked;
            }
        }
        let describe = |(name, (ready, unacked)): (ShortStr, (u64, u64))| {
            let vhost = json!({
                "cluster_state": { super::NODE: "running" },
                "default_queue_type": "classic",
                "description": "",
                "messages": ready + unacked,
                "messages_ready": ready,
                "messages_unacknowledged": unacked,
                "name": name.to_string(),
                "tags": [],
                "tracing": false,
            });
            (name, vhost)
        };
        Ok(sums.into_iter().map(describe).collect())
    }
}
