//! `/api/vhost-limits` and `/api/user-limits`.

use super::api_error::ApiError;
use super::caller::{Administrator, Caller, Vhost, VhostAccess};
use super::context::Admin;
use super::extract::{Path, UnreadBody};
use super::listing::Listing;
use super::names::short;
use super::reply::{json_reply, no_content};
use crate::definitions::object_json::limits_of;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::{Limit, Limits};
use forebay_engine::administration::Administration;
use forebay_wire::ShortStr;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Named = (String, String);

pub(super) async fn of_vhosts(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    let snapshot = admin.snapshot();
    let seen = by_owner(snapshot.access.limits(), Limit::OF_VHOST).into_iter();
    let seen = seen.filter(|(vhost, _)| caller.sees(&admin, vhost));
    let seen = seen.map(|(vhost, value)| describe("vhost", &vhost, &value)).collect();
    listing.reply(seen, Value::clone).await
}

pub(super) async fn of_vhost(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
) -> Result<Response, ApiError> {
    let value = limits_of(admin.snapshot().access.limits(), Limit::OF_VHOST, &vhost);
    Ok(json_reply(&json!([describe("vhost", &vhost, &value)])))
}

pub(super) async fn set_of_vhost(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<Named>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let limit = checked(&caller, &name, Limit::OF_VHOST)?;
    let most = most(body).await?;
    set_limit(&admin, &caller, limit, vhost, most).await
}

pub(super) async fn clear_of_vhost(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<Named>,
) -> Result<Response, ApiError> {
    let limit = checked(&caller, &name, Limit::OF_VHOST)?;
    set_limit(&admin, &caller, limit, vhost, None).await
}

pub(super) async fn of_users(
    State(admin): State<Admin>,
    _: Administrator,
    listing: Listing,
) -> Result<Response, ApiError> {
    let snapshot = admin.snapshot();
    let users = by_owner(snapshot.access.limits(), Limit::OF_USER).into_iter();
    let users = users.map(|(user, value)| describe("user", &user, &value)).collect();
    listing.reply(users, Value::clone).await
}

pub(super) async fn of_user(
    State(admin): State<Admin>,
    _: Administrator,
    Path(user): Path<String>,
) -> Result<Response, ApiError> {
    let user = known_user(&admin, &user)?;
    let value = limits_of(admin.snapshot().access.limits(), Limit::OF_USER, &user);
    Ok(json_reply(&json!([describe("user", &user, &value)])))
}

pub(super) async fn set_of_user(
    State(admin): State<Admin>,
    caller: Caller,
    Path((user, name)): Path<Named>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let limit = checked(&caller, &name, Limit::OF_USER)?;
    let user = known_user(&admin, &user)?;
    let most = most(body).await?;
    set_limit(&admin, &caller, limit, user, most).await
}

pub(super) async fn clear_of_user(
    State(admin): State<Admin>,
    caller: Caller,
    Path((user, name)): Path<Named>,
) -> Result<Response, ApiError> {
    let limit = checked(&caller, &name, Limit::OF_USER)?;
    set_limit(&admin, &caller, limit, known_user(&admin, &user)?, None).await
}

fn by_owner(limits: &Limits, among: [Limit; 3]) -> BTreeMap<ShortStr, Map<String, Value>> {
    let meant = limits.iter().filter(|(limit, ..)| among.contains(limit));
    meant.map(|(_, owner, _)| (owner.clone(), limits_of(limits, among, owner))).collect()
}

fn describe(kind: &str, owner: &ShortStr, value: &Map<String, Value>) -> Value {
    json!({ kind: owner.to_string(), "value": value })
}

fn checked(caller: &Caller, name: &str, among: [Limit; 3]) -> Result<Limit, ApiError> {
    caller.check_administrator()?;
    named(name, among)
}

/// A limit of virtual hosts by its name.
pub(super) fn limit_of_vhost(name: &str) -> Result<Limit, ApiError> {
    named(name, Limit::OF_VHOST)
}

fn named(name: &str, among: [Limit; 3]) -> Result<Limit, ApiError> {
    Limit::named(name, among).ok_or_else(|| {
        let names = among.map(Limit::name).join(", ");
        ApiError::bad(format!("unrecognised limit '{name}', expected one of {names}"))
    })
}

fn known_user(admin: &Admin, user: &str) -> Result<ShortStr, ApiError> {
    let user = short("user", user)?;
    match admin.authenticator().tags(&user) {
        Some(_) => Ok(user),
        None => Err(ApiError::not_found(format!("no user '{user}'"))),
    }
}

/// A negative number lifts a limit, as in RabbitMQ.
async fn most(body: UnreadBody) -> Result<Option<u64>, ApiError> {
    let value = body.read().await?.integer("value")?;
    let value = value.ok_or_else(|| ApiError::bad("value: missing, expected an integer"))?;
    Ok(u64::try_from(value).ok())
}

/// Sets a limit, or lifts it, for a caller who was found to be allowed to.
pub(super) async fn set_limit(
    admin: &Admin,
    caller: &Caller,
    limit: Limit,
    owner: ShortStr,
    most: Option<u64>,
) -> Result<Response, ApiError> {
    caller.administer(admin, Administration::SetLimit { limit, owner, most }).await?;
    Ok(no_content())
}
