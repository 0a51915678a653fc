//! `/api/exchanges`.

use super::api_error::ApiError;
use super::caller::{Caller, Vhost, Visit};
use super::listing::Listing;
use super::messages::exchange_name;
use super::request_body::RequestBody;
use super::{Admin, json_reply, no_content, put_reply, short, table_json};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use forebay_engine::command::TopologyRequest;
use forebay_engine::object_name::ObjectName;
use forebay_engine::topology::ExchangeRecord;
use forebay_wire::ShortStr;
use serde_json::{Value, json};
use std::collections::HashMap;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    let exchanges = admin.link().look(|shard| {
        let topology = shard.topology();
        let of_vhost = |vhost: &ShortStr| {
            std::iter::once(default_exchange(vhost))
                .chain(topology.exchanges(vhost).map(describe))
                .map(|exchange| (vhost.clone(), exchange))
                .collect::<Vec<_>>()
        };
        topology.vhosts().flat_map(of_vhost).collect::<Vec<_>>()
    });
    let seen = exchanges.await?.into_iter().filter(|(vhost, _)| caller.sees(&admin, vhost));
    listing.reply(seen.map(|(_, exchange)| exchange).collect())
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    Visit { vhost, .. }: Visit,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    let exchanges = admin.link().look(move |shard| {
        let declared = shard.topology().exchanges(&vhost).map(describe);
        std::iter::once(default_exchange(&vhost)).chain(declared).collect()
    });
    listing.reply(exchanges.await?)
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Visit { vhost, .. }: Visit,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let name = exchange_name("exchange", &name)?;
    Ok(json_reply(&admin.exchange(&vhost, &name).await?))
}

pub(super) async fn declare(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let name = exchange_name("exchange", &name)?;
    let body = RequestBody::parse(&body)?;
    let request = TopologyRequest::DeclareExchange {
        name: name.clone(),
        kind: short("type", body.text("type")?.unwrap_or("direct"))?,
        passive: false,
        durable: body.flag("durable", true)?,
        auto_delete: body.flag("auto_delete", false)?,
        internal: body.flag("internal", false)?,
        arguments: body.table("arguments")?,
    };
    caller.check_request(&admin, &vhost, &request)?;
    let is_new = admin.exchange(&vhost, &name).await.is_err();
    admin.request(&caller, vhost, request).await?;
    Ok(put_reply(is_new))
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<(String, String)>,
    Query(flags): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let name = exchange_name("exchange", &name)?;
    let if_unused = flags.get("if-unused").is_some_and(|flag| flag == "true");
    let request = TopologyRequest::DeleteExchange { name: name.clone(), if_unused };
    caller.check_request(&admin, &vhost, &request)?;
    admin.exchange(&vhost, &name).await?;
    admin.request(&caller, vhost, request).await?;
    Ok(no_content())
}

impl Admin {
    /// # Errors
    /// 404 when there is no such exchange.
    async fn exchange(&self, vhost: &ShortStr, name: &ObjectName) -> Result<Value, ApiError> {
        if name.is_empty() {
            return Ok(default_exchange(vhost));
        }
        let (there, wanted) = (vhost.clone(), name.clone());
        let found = self.link().look(move |shard| {
            let mut exchanges = shard.topology().exchanges(&there);
            exchanges.find(|exchange| wanted == exchange.name).map(describe)
        });
        let missing = || ApiError::not_found(format!("no exchange '{name}' in vhost '{vhost}'"));
        found.await?.ok_or_else(missing)
    }
}

fn describe(exchange: &ExchangeRecord) -> Value {
    json!({
        "arguments": table_json::to_json(&exchange.arguments),
        "auto_delete": exchange.auto_delete,
        "durable": exchange.durable,
        "internal": exchange.internal,
        "name": exchange.name.to_string(),
        "policy": exchange.policy.as_ref().map(ToString::to_string),
        "type": exchange.kind.name(),
        "vhost": exchange.vhost.to_string(),
    })
}

/// Every virtual host has it, and no record tells of it.
fn default_exchange(vhost: &ShortStr) -> Value {
    json!({
        "arguments": {},
        "auto_delete": false,
        "durable": true,
        "internal": false,
        "name": "",
        "policy": null,
        "type": "direct",
        "vhost": vhost.to_string(),
    })
}
