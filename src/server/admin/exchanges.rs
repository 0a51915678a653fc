//! `/api/exchanges`.

use super::api_error::ApiError;
use super::caller::{Caller, Vhost, VhostAccess};
use super::context::Admin;
use super::extract::{Path, Query, UnreadBody, condition};
use super::figures::{Figures, put_field};
use super::listing::Listing;
use super::names::exchange_name;
use super::names::short;
use super::reply::{json_reply, no_content, put_reply};
use crate::definitions::table_json;
use crate::metrics::BrokerRates;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::BrokerSnapshot;
use forebay_engine::access::{Access, Object};
use forebay_engine::model::{ExchangeDeclaration, ObjectName, TopologyRequest};
use forebay_engine::topology::{ExchangeKind, ExchangeRecord, Topology};
use forebay_wire::{FieldTable, ShortStr};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    let catalogue = admin.catalogue();
    let seen = catalogue.vhosts().filter(|vhost| caller.sees(&admin, vhost));
    let exchanges = seen.flat_map(|vhost| all(&catalogue, vhost)).collect();
    let figures = admin.exchange_figures();
    listing.reply(exchanges, move |exchange| figures.describe(exchange)).await
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
    listing: Listing,
) -> Result<Response, ApiError> {
    let exchanges = all(&admin.catalogue(), &vhost);
    let figures = admin.exchange_figures();
    listing.reply(exchanges, move |exchange| figures.describe(exchange)).await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let name = exchange_name("exchange", &name)?;
    let exchange = admin.exchange(&vhost, &name)?;
    Ok(json_reply(&admin.exchange_figures().describe(&exchange)))
}

pub(super) async fn declare(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<(String, String)>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let name = exchange_name("exchange", &name)?;
    caller.check_access(&admin, &vhost, Access::Configure, Object::Exchange(&name))?;
    let body = body.read().await?;
    let request = TopologyRequest::DeclareExchange(ExchangeDeclaration {
        name: name.clone(),
        kind: short("type", body.text("type")?.unwrap_or("direct"))?,
        durable: body.flag("durable", true)?,
        auto_delete: body.flag("auto_delete", false)?,
        internal: body.flag("internal", false)?,
        arguments: body.table("arguments")?,
        ..ExchangeDeclaration::default()
    });
    caller.check_request(&admin, &vhost, &request)?;
    let is_new = admin.exchange(&vhost, &name).is_err();
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
    let if_unused = condition("if-unused", flags.get("if-unused").map(String::as_str))?;
    let request = TopologyRequest::DeleteExchange { name: name.clone(), if_unused };
    caller.check_request(&admin, &vhost, &request)?;
    admin.check_exchange(&vhost, &name)?;
    admin.request(&caller, vhost, request).await?;
    Ok(no_content())
}

impl Admin {
    /// # Errors
    /// 404 when there is no such exchange.
    fn exchange(&self, vhost: &ShortStr, name: &ObjectName) -> Result<ExchangeRecord, ApiError> {
        if name.is_empty() {
            return Ok(default_exchange(vhost));
        }
        let missing = || ApiError::not_found(format!("no exchange '{name}' in vhost '{vhost}'"));
        self.catalogue().find_exchange(vhost, name).cloned().ok_or_else(missing)
    }

    /// # Errors
    /// 404 when there is no such exchange.
    pub(super) fn check_exchange(
        &self,
        vhost: &ShortStr,
        name: &ObjectName,
    ) -> Result<(), ApiError> {
        self.exchange(vhost, name).map(drop)
    }

    fn exchange_figures(&self) -> ExchangeFigures {
        ExchangeFigures { snapshot: self.snapshot(), rates: self.inner.broker_rates.load_full() }
    }
}

/// What passed through exchanges.
struct ExchangeFigures {
    snapshot: Arc<BrokerSnapshot>,
    rates: Arc<BrokerRates>,
}

impl ExchangeFigures {
    fn describe(&self, exchange: &ExchangeRecord) -> Value {
        let ExchangeRecord { vhost, name, .. } = exchange;
        let mut shown = json!({
            "arguments": table_json::to_json(&exchange.arguments),
            "auto_delete": exchange.auto_delete,
            "durable": exchange.durable,
            "internal": exchange.internal,
            "name": name.to_string(),
            "policy": exchange.policy.as_ref().map(ToString::to_string),
            "type": exchange.kind.name(),
            "vhost": vhost.to_string(),
        });
        if let Some(counters) = self.snapshot.routes.exchange_counters(vhost, name) {
            let (rate_in, rate_out) = self.rates.exchange(vhost, name);
            let mut figures = Figures::default();
            figures.put("publish_in", counters.published_in(), rate_in);
            figures.put("publish_out", counters.published_out(), rate_out);
            put_field(&mut shown, "message_stats", figures.into_json());
        }
        shown
    }
}

/// The exchanges of a virtual host, the default one first.
fn all(catalogue: &Topology, vhost: &ShortStr) -> Vec<ExchangeRecord> {
    let declared = catalogue.exchanges(vhost).cloned();
    std::iter::once(default_exchange(vhost)).chain(declared).collect()
}

/// Every virtual host has it, and no record tells of it.
fn default_exchange(vhost: &ShortStr) -> ExchangeRecord {
    ExchangeRecord {
        vhost: vhost.clone(),
        name: ShortStr::EMPTY,
        kind: ExchangeKind::Direct,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: FieldTable::new(),
        alternate: None,
        policy: None,
    }
}
